#!/bin/sh
# The main job on the bundled model:  sh examples/demo.sh [options of `nbit demo`]
#
# Installs what is missing (Debian 12, Debian 13, Ubuntu 24.04), builds the tool in build/demo (or takes the one that
# tests/run.sh has built, brought up to date), quantizes the model in examples/data with every solver, evaluates each file,
# prints one table and writes build/demo/out/demo.json and report.html.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
. tests/support/packages.sh

if command -v ninja >/dev/null 2>&1; then build_program=ninja-build
else build_program=make
fi
need_packages g++ cmake "$build_program"

jobs=$(nproc 2>/dev/null || echo 2)
build=build/demo
generator="Unix Makefiles"
[ "$build_program" = ninja-build ] && generator=Ninja
mkdir -p "$build" || stop "$build cannot be created"
started=$(date +%s)
# What tests/run.sh has built: -O1 instead of -O2, but the loops that decide the speed are written for vectors already.
tested=build/dev
if [ ! -x "$build/bin/nbit" ] && [ -x "$tested/bin/nbit" ]; then
  say "Bringing the tool in $tested up to date"
  if cmake --build "$tested" --target nbit_tool -j "$jobs" >"$build/tested.log" 2>&1; then build=$tested
  else say "It does not build there any more; the reason is in $build/tested.log"
  fi
fi
if [ "$build" != "$tested" ]; then
  if [ ! -f "$build/CMakeCache.txt" ]; then
    say "Configuring in $build"
    # -O2: it compiles sooner than -O3.
    cmake -S . -B "$build" -G "$generator" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG" \
      -DNBIT_TESTS=OFF -DNBIT_BENCH=OFF -DNBIT_WARNINGS_AS_ERRORS=OFF >"$build/configure.log" 2>&1 ||
      { cat "$build/configure.log" >&2; stop "cmake failed"; }
  fi
  say "Building with $jobs jobs"
  cmake --build "$build" --target nbit_tool -j "$jobs" >"$build/build.log" 2>&1 ||
    { cat "$build/build.log" >&2; stop "the build failed"; }
fi
say "Built in $(($(date +%s) - started)) s"

# Half of the calibration windows: 16,448 tokens, so that slow machines keep to their four minutes as well.
"$build/bin/nbit" demo --model examples/data --output build/demo/out --calib-windows 64 "$@" || exit $?
cp build/demo/out/demo.json build/demo/out/report.html . || exit 3
say "demo.json and report.html were copied to $root; the models are in build/demo/out"
say "The whole run took $(($(date +%s) - started)) s"
