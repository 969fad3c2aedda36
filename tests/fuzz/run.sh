#!/bin/sh
# Hunts with libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer:  sh tests/fuzz/run.sh [SECONDS [NAME...]]
#
# Builds tests/fuzz/*_fuzz.cpp with clang++ and runs each for SECONDS (default 20), two at a time, from the committed
# corpus (tests/fuzz/corpus/NAME) and the golden files. What is found is kept in build/fuzz/NAME.found and fails the run.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 2
seconds=${1:-20}
[ $# -gt 0 ] && shift
names=$*
if [ -z "$names" ]; then
  for file in $(ls -S tests/fuzz/*_fuzz.cpp); do  # what compiles longest first
    name=$(basename "$file" _fuzz.cpp)
    names="$names $name"
  done
fi
compiler=${FUZZ_CXX:-clang++}
launcher=""
command -v ccache >/dev/null 2>&1 && launcher=ccache
mkdir -p build/fuzz

# hunt NAME : one entry, built and run
hunt() {
  name=$1
  # The launcher may be nothing.
  # shellcheck disable=SC2086
  $launcher "$compiler" -std=c++20 -g1 -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
    -Iinclude -c "tests/fuzz/${name}_fuzz.cpp" -o "build/fuzz/$name.o" &&
    "$compiler" -fsanitize=fuzzer,address,undefined "build/fuzz/$name.o" -o "build/fuzz/$name" || { echo "$name: build failed"; return 1; }
  mkdir -p "build/fuzz/$name.new" "build/fuzz/$name.found"
  seeds=tests/golden/io
  [ "$name" = checkpoint ] && seeds=tests/golden/checkpoints
  # The last folders are read only; what is new goes into the first.
  set -- "build/fuzz/$name.new"
  [ -d "tests/fuzz/corpus/$name" ] && set -- "$@" "tests/fuzz/corpus/$name"
  for folder in "$seeds"/*/; do set -- "$@" "$folder"; done
  ASAN_OPTIONS=allocator_may_return_null=1 "build/fuzz/$name" -max_total_time="$seconds" -max_len=65536 -timeout=20 \
    -rss_limit_mb=2048 -malloc_limit_mb=1024 -artifact_prefix="build/fuzz/$name.found/" "$@" >"build/fuzz/$name.log" 2>&1
  code=$?
  runs=$(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 runs in \2 s/p' "build/fuzz/$name.log")
  echo "count: fuzz: $name: ${runs:-stopped}, exit $code"
  [ "$code" = 0 ] || { tail -40 "build/fuzz/$name.log"; return 1; }
}

# shellcheck disable=SC2086
set -- $names
if [ $# = 1 ]; then
  hunt "$1" >"build/fuzz/$1.out" 2>&1
  code=$?
  cat "build/fuzz/$1.out"
  [ $code = 0 ] || echo "FAILED: $1"
  exit $code
fi
# A run of this script for each, two at a time
printf '%s\n' "$@" | xargs -P 2 -n 1 sh "$root/tests/fuzz/run.sh" "$seconds" || { echo "FAILED: see above"; exit 1; }
echo "all fuzz entries passed"
