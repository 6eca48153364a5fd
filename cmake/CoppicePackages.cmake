# The libraries from the distribution; each is used by the folder that STYLE names, and no other.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(SQLite3 REQUIRED)
find_package(TBB REQUIRED)
pkg_check_modules(LIBGIT2 REQUIRED IMPORTED_TARGET libgit2)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
# Only the folder llm speaks HTTP.
file(GLOB llm_sources ${CMAKE_SOURCE_DIR}/llm/*.cpp)
if(llm_sources)
  pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
endif()
find_package(CLI11 REQUIRED)  # package libcli11-dev
# D3 draws the report; the whole library goes into the page (package node-d3).
find_file(COPPICE_D3_FILE d3.min.js REQUIRED
          PATHS /usr/share/nodejs/d3/dist /usr/share/javascript/d3 NO_DEFAULT_PATH)
# Recorded autotuning tables are gzip files (apt: zlib1g-dev).
find_package(ZLIB REQUIRED)
