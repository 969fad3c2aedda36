#!/bin/sh
# tests/consumer/check.sh COMPILER FOLDER: uses the library as strangers do, each way from nothing.
set -u
compiler=${1:?compiler}
folder=${2:?folder for builds}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder" || exit 2
folder=$(pwd)
command -v make >/dev/null 2>&1 || export CMAKE_GENERATOR=Ninja
passed=0 failed=0 skipped=0

# way NAME COMMAND...: runs the command; shows what it said if it fails.
way() {
  name=$1
  shift
  if "$@" >"$name.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok: $name"
  else
    failed=$((failed + 1))
    echo "failed: $name"
    tail -30 "$name.log"
  fi
}

configure() { cmake -S "$1" -B "$2" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH="$folder/moved"; }

with_find_package() {
  configure "$here/find_package" build_find && cmake --build build_find && ./build_find/consumer
}
with_subdirectory() {
  configure "$here/subdirectory" build_sub && cmake --build build_sub && ./build_sub/consumer
}
with_pkg_config() {
  flags=$(PKG_CONFIG_PATH="$folder/moved/share/pkgconfig" pkg-config --cflags --libs nbit) || return 1
  # shellcheck disable=SC2086
  "$compiler" "$here/main.cpp" "$here/other.cpp" $flags -o with_pkg_config && ./with_pkg_config
}
with_single_header() {
  mkdir -p one && cp "$root/single_include/nbit.hpp" one/ &&
    "$compiler" -std=c++20 -Wall -Wextra -Wpedantic -Werror -DCONSUMER_SINGLE_HEADER -I one "$here/main.cpp" "$here/other.cpp" \
      -o with_single && ./with_single
}
# The project itself is configured without its tests: a machine that installs has no Catch2.
install_it() {
  cmake -S "$root" -B build_nbit -DCMAKE_CXX_COMPILER="$compiler" -DNBIT_TESTS=OFF -DNBIT_BENCH=OFF -DNBIT_EXAMPLES=OFF &&
    cmake --install build_nbit --prefix "$folder/prefix"
}

way install install_it
# Moved after the install: nothing in it may hold a path of the machine that made it.
mv prefix moved
way no_paths sh -c "! grep -rn '$folder' moved/share"
way every_header_is_installed sh -c "test \$(find '$root/include/nbit'  -type f | wc -l) = \$(find moved/include/nbit -type f | wc -l)"
way find_package with_find_package
way subdirectory with_subdirectory
if command -v pkg-config >/dev/null 2>&1; then
  way pkg_config with_pkg_config
else
  skipped=$((skipped + 1))
  echo "skipped: pkg_config (not installed)"
fi
way single_header with_single_header
echo "count: consumer: $passed ways passed, $skipped skipped, $failed failed"
[ "$failed" = 0 ]
