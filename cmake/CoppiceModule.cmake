# coppice_module(name DEPENDS a b PACKAGES p q [LIGHT]): one target per folder, all its sources.
# LIGHT: nothing in it is hot, so a release build spends less time on it.

# From nothing on two cores a third of the build is parsing the same headers again and again.
# Off by default: compiler caches and precompiled headers don't go together.
option(COPPICE_PCH "Precompile common headers" OFF)

add_library(coppice_flags INTERFACE)
target_compile_options(coppice_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wconversion -Wno-sign-conversion
  # GCC 12 warns wrongly about text + std::string (its bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # Decision arithmetic must be the same everywhere: never contract a*b+c behind our back.
  -ffp-contract=off)
target_include_directories(coppice_flags INTERFACE ${CMAKE_SOURCE_DIR})
# Candidate code runs in a process of this program: where calls go must not be writable.
target_link_options(coppice_flags INTERFACE -Wl,-z,relro,-z,now)

function(coppice_module name)
  cmake_parse_arguments(ARG "LIGHT" "" "DEPENDS;PACKAGES" ${ARGN})
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
  # One precompiled header for each of the two ways to compile; the first folder of a kind makes it.
  if(ARG_LIGHT)
    target_compile_options(coppice_${name} PRIVATE $<$<CONFIG:Release>:-O1>)
    coppice_precompile(coppice_${name} light ${CMAKE_SOURCE_DIR}/cmake/common_headers.h)
  else()
    coppice_precompile(coppice_${name} full ${CMAKE_SOURCE_DIR}/cmake/common_headers.h)
  endif()
endfunction()

function(coppice_precompile target kind header)
  if(NOT COPPICE_PCH)
    return()
  endif()
  get_property(leader GLOBAL PROPERTY coppice_pch_${kind})
  if(leader)
    target_precompile_headers(${target} REUSE_FROM ${leader})
  else()
    set_property(GLOBAL PROPERTY coppice_pch_${kind} ${target})
    target_precompile_headers(${target} PRIVATE ${header})
  endif()
endfunction()
