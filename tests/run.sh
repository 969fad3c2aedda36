#!/bin/sh
# The one test command:  sh tests/run.sh            everything
#                        sh tests/run.sh --only gcc  one part, or several: --only gcc,clang
#                        sh tests/run.sh --list      the parts
#
# Installs what is missing (Debian 12, Debian 13, Ubuntu 24.04), builds with g++ and with clang, runs every test under both,
# again under AddressSanitizer and UndefinedBehaviorSanitizer, and once against the single header.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
. tests/support/packages.sh

# no-exceptions is not among the chosen: tests/freestanding compiles every header that way within gcc and clang.
parts="format gcc clang asan asan-all single-header scalar-only tsan cross fuzz no-exceptions"
chosen="format gcc clang asan single-header scalar-only tsan cross fuzz"
while [ $# -gt 0 ]; do
  case $1 in
    --only) [ $# -ge 2 ] || stop "--only needs parts: $parts"; chosen=$(printf '%s' "$2" | tr ',' ' '); shift 2 ;;
    --only=*) chosen=$(printf '%s' "${1#--only=}" | tr ',' ' '); shift ;;
    --list) say "$parts"; exit 0 ;;
    *) stop "unknown option $1; allowed: --only PART[,PART...], --list; parts: $parts" ;;
  esac
done
for part in $chosen; do
  case " $parts " in *" $part "*) ;; *) stop "unknown part '$part'; allowed: $parts" ;; esac
done

need_packages g++ clang cmake ninja-build python3 python3-venv git pkg-config
need_catch2

jobs=$(nproc 2>/dev/null || echo 2)
launcher=""
command -v ccache >/dev/null 2>&1 && launcher=-DCMAKE_CXX_COMPILER_LAUNCHER=ccache
report=build/report.txt
mkdir -p build
: >"$report"
failed=""

# record PART SECONDS GOOD SUMMARY
record() {
  printf '%-14s %5s s  %s\n' "$1" "$2" "$4" >>"$report"
  [ "$3" = yes ] || failed="$failed $1"
}

# preset PART PRESET TARGET TESTS [configure options]: configures, builds targets and runs the tests whose names match.
preset() {
  part=$1 preset=$2 target=$3 tests=$4
  shift 4
  say "" "==== $part: preset $preset ===="
  start=$(date +%s)
  generator=""
  [ -f "build/$preset/CMakeCache.txt" ] || generator="-G Ninja"
  # shellcheck disable=SC2086
  if ! cmake --preset "$preset" $generator $launcher "$@" >build/configure.log 2>&1; then
    cat build/configure.log
    record "$part" $(($(date +%s) - start)) no "configure failed"
    return
  fi
  # Several targets are several words.
  # shellcheck disable=SC2086
  if ! cmake --build --preset "$preset" -j "$jobs" --target $target; then
    record "$part" $(($(date +%s) - start)) no "build failed"
    return
  fi
  log=build/$preset/Testing/Temporary/LastTest.log
  rm -f "$log"
  good=yes
  ctest --preset "$preset" -j "$jobs" -R "$tests" --no-tests=error >build/ctest.log 2>&1 || good=no
  cat build/ctest.log
  # What every test says about itself: cases, assertions, skips with their reasons.
  [ -f "$log" ] && grep -hE '^(count: |skipped: )|explicitly skipped|SKIPPED:|data folder has no' "$log" | sort | uniq -c |
    sed 's/^ *1 /  /; s/^ *\([0-9]\{1,\}\) \(.*\)/  \2  (\1 times)/'
  record "$part" $(($(date +%s) - start)) "$good" "$(grep -E 'tests passed' build/ctest.log)"
}

for part in $chosen; do
  case $part in
    format)
      say "" "==== format ===="
      start=$(date +%s) good=yes
      sh tests/format.sh >build/format.log 2>&1 || good=no
      cat build/format.log
      record format $(($(date +%s) - start)) $good "$(tail -1 build/format.log)"
      ;;
    fuzz)
      say "" "==== fuzz ===="
      start=$(date +%s) good=yes
      sh tests/fuzz/run.sh 20 >build/fuzz.log 2>&1 || good=no
      cat build/fuzz.log
      record fuzz $(($(date +%s) - start)) $good "$(tail -1 build/fuzz.log)"
      ;;
    gcc) preset gcc dev all . -DNBIT_INTEROP=ON ;;
    # The tool's script and its solvers' speed are gcc's part; here it is compiled, at -O0, and started.
    clang)
      preset clang clang all . -DNBIT_TREE_CHECKS=COMPILER -DNBIT_BENCH=OFF \
        "-DNBIT_UNOPTIMISED=nbit_tool;nbit_engine_main;nbit_tests_io"
      ;;
    # The examples are compiled and run by the two parts above; here and below the tests alone are the gate.
    # Readers run under both sanitizers in fuzz; asan-all has the kernels, solvers and the engine as well, whose unrolled code
    # compiles too slowly for every run.
    asan)
      preset asan asan "nbit_tests_arch nbit_tests_base nbit_tests_cuda nbit_tests_eval nbit_tests_layout \
        nbit_tests_plan nbit_tests_static nbit_tests_tensor" '^(arch|base|cuda|eval|layout|plan|static|tensor)$' \
        -DNBIT_EXAMPLES=OFF
      ;;
    asan-all) preset asan asan all . -DNBIT_EXAMPLES=OFF ;;
    # The single header holds the same text (single_include/amalgamate.py --check compares), so a few folders that touch
    # every layer are enough; each of their units compiles all of it.
    single-header)
      preset single-header single-header \
        "nbit_tests_static nbit_tests_arch nbit_tests_tensor nbit_tests_eval" \
        '^(static|arch|tensor|eval)$' -DNBIT_EXAMPLES=OFF
      ;;
    # tests/freestanding compiles every header this way; what runs here are the folders that compile quickly.
    no-exceptions)
      preset no-exceptions no-exceptions "nbit_tests_base nbit_tests_layout nbit_tests_parallel nbit_tests_static" \
        '^(base|layout|parallel|static)$' -DCMAKE_CXX_FLAGS=-O0
      ;;
    # The definitions are run optimised by every other part; here at -O0.
    scalar-only)
      preset scalar-only scalar-only nbit_tests_kernel '^kernel$' -DNBIT_EXAMPLES=OFF -DNBIT_UNOPTIMISED=nbit_tests_kernel
      ;;
    cross)
      say "" "==== cross: the hashes of tests/determinism on other machines ===="
      start=$(date +%s) good=yes
      need_cross_compilers
      # rvv runs riscv64's scalar kernels too; native, riscv64 and wasm are for a run of the script by itself.
      sh tests/cross/run.sh build/cross aarch64 rvv s390x >build/cross.log 2>&1 || good=no
      cat build/cross.log
      record cross $(($(date +%s) - start)) $good "$(tail -1 build/cross.log)"
      ;;
    # cuda: kernel bodies as threads of the host; a missing barrier is a race.
    tsan) preset tsan tsan "nbit_tests_parallel nbit_tests_cuda" '^(parallel|cuda)$' -DNBIT_EXAMPLES=OFF ;;
  esac
done

say "" "==== summary ===="
cat "$report"
if [ -n "$failed" ]; then
  say "FAILED:$failed"
  exit 1
fi
say "All parts passed: $(printf '%s' "$chosen" | wc -w | tr -d ' ')"
