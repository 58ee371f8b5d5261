# SPDX-License-Identifier: Apache-2.0
# Every library Leat is built on, found through pkg-config or CMake. Reasons: docs/decisions/0001-dependencies.md
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
foreach(name fuse3 libcurl openssl sqlite3 expat spdlog fmt libisal libpcre2-8 libarchive libmicrohttpd rocksdb)
  string(MAKE_C_IDENTIFIER ${name} id)
  pkg_check_modules(${id} REQUIRED IMPORTED_TARGET ${name})
  add_library(dep::${name} ALIAS PkgConfig::${id})
endforeach()
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tl-expected REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(GTest REQUIRED)
