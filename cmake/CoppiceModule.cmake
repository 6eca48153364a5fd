# coppice_module(name DEPENDS a b PACKAGES p q): one target per folder, all its sources, headers checked alone.

add_library(coppice_flags INTERFACE)
target_compile_options(coppice_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wconversion -Wno-sign-conversion
  # GCC 12 warns wrongly about text + std::string (its bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # Decision arithmetic must be the same everywhere: never contract a*b+c behind our back.
  -ffp-contract=off)
target_compile_definitions(coppice_flags INTERFACE
  EIGEN_DONT_VECTORIZE EIGEN_DONT_PARALLELIZE EIGEN_MPL2_ONLY)
target_include_directories(coppice_flags INTERFACE ${CMAKE_SOURCE_DIR})

function(coppice_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;PACKAGES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
  # experiments/ops and experiments/include are data; main.cpp makes the program.
  list(FILTER sources EXCLUDE REGEX "/experiments/(ops|include)/|/cli/main\\.cpp$")
  list(FILTER headers EXCLUDE REGEX "/experiments/(ops|include)/")
  if(NOT sources)
    set(empty ${CMAKE_CURRENT_BINARY_DIR}/${name}_empty.cpp)
    file(WRITE ${empty} "// ${name} has no sources yet.\n")
    set(sources ${empty})
  endif()
  add_library(coppice_${name} STATIC ${sources})
  target_sources(coppice_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR}
                 FILES ${headers})
  target_link_libraries(coppice_${name} PUBLIC coppice_flags)
  foreach(dependency IN LISTS ARG_DEPENDS)
    target_link_libraries(coppice_${name} PUBLIC coppice_${dependency})
  endforeach()
  target_link_libraries(coppice_${name} PRIVATE ${ARG_PACKAGES})
endfunction()
