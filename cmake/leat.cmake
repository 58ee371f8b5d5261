# SPDX-License-Identifier: Apache-2.0
# leat_library(FOLDER [KIND kind] SOURCES... [DEPENDENCIES...]): the library of one folder of src/, linked along layers.txt.
# leat_test(FOLDER SOURCES...): the unit tests that stand beside that folder's code, one binary a folder.

add_library(leat_options INTERFACE)
target_compile_options(leat_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers
  -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(leat_options INTERFACE -Wthread-safety)
endif()
if(LEAT_SANITIZE)
  # -O0: with the sanitizers' checks, optimizing takes more time than the tests then save.
  target_compile_options(leat_options INTERFACE -fsanitize=${LEAT_SANITIZE} -fno-omit-frame-pointer -O0 -g1
    -fno-sanitize-recover=all)
  target_link_options(leat_options INTERFACE -fsanitize=${LEAT_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(leat_options INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -g1)
endif()
target_include_directories(leat_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(leat_options INTERFACE Threads::Threads)

# Headers of libraries that many files include and that take seconds to parse, parsed once for each kind of target. Files
# include what they use all the same: -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cc CONTENT "")
function(leat_precompiled kind)
  cmake_parse_arguments(arg "" "" "HEADERS;DEPENDENCIES" ${ARGN})
  add_library(leat_precompiled_${kind} OBJECT ${CMAKE_BINARY_DIR}/precompiled.cc)
  target_link_libraries(leat_precompiled_${kind} PRIVATE leat_options ${arg_DEPENDENCIES})
  target_precompile_headers(leat_precompiled_${kind} PRIVATE
    <algorithm> <atomic> <chrono> <functional> <map> <memory> <mutex> <string> <thread> <unordered_map> <vector>
    <tl/expected.hpp> <nlohmann/json.hpp> ${arg_HEADERS})
endfunction()
leat_precompiled(library DEPENDENCIES nlohmann_json::nlohmann_json)
leat_precompiled(program HEADERS <CLI/CLI.hpp> DEPENDENCIES nlohmann_json::nlohmann_json CLI11::CLI11)
leat_precompiled(test HEADERS <gmock/gmock.h> <gtest/gtest.h> DEPENDENCIES nlohmann_json::nlohmann_json GTest::gmock)

# layers.txt -> LEAT_LAYER_<folder>: the libraries that folder may link.
file(STRINGS ${CMAKE_SOURCE_DIR}/layers.txt lines REGEX "^[a-z0-9]+:")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/layers.txt)
foreach(line ${lines})
  string(REGEX MATCH "^([a-z0-9]+):(.*)$" _ "${line}")
  set(folder ${CMAKE_MATCH_1})
  string(STRIP "${CMAKE_MATCH_2}" folders)
  separate_arguments(folders)
  set(LEAT_LAYER_${folder})
  if(NOT folder STREQUAL "base")
    list(APPEND LEAT_LAYER_${folder} leat_base)
  endif()
  foreach(lower ${folders})
    list(APPEND LEAT_LAYER_${folder} leat_${lower})
  endforeach()
endforeach()

function(leat_library folder)
  cmake_parse_arguments(arg "" "KIND" "SOURCES;DEPENDENCIES" ${ARGN})
  if(NOT arg_KIND)
    set(arg_KIND library)
  endif()
  if(arg_SOURCES)
    add_library(leat_${folder} STATIC ${arg_SOURCES})
    target_precompile_headers(leat_${folder} REUSE_FROM leat_precompiled_${arg_KIND})
    set(scope PUBLIC)
  else()
    add_library(leat_${folder} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_link_libraries(leat_${folder} ${scope} leat_options ${LEAT_LAYER_${folder}} ${arg_DEPENDENCIES})
endfunction()

# DEPENDENCIES: what the tests need beside their own folder (sim's fakes, for example).
function(leat_test folder)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDENCIES" ${ARGN})
  add_executable(${folder}_test ${arg_SOURCES})
  target_precompile_headers(${folder}_test REUSE_FROM leat_precompiled_test)
  target_link_libraries(${folder}_test PRIVATE leat_${folder} ${arg_DEPENDENCIES} GTest::gmock GTest::gtest_main)
  add_dependencies(unit_tests ${folder}_test)
  add_test(NAME unit/${folder} COMMAND ${folder}_test)
endfunction()
