#!/bin/sh
# tests/freestanding/check.sh [--together] COMPILER FOLDER: the headers a small device uses compile without exceptions, RTTI
# and heap, with the scalar kernels alone; every header compiles without exceptions and RTTI; a program runs and asks for no
# memory. --together: those of a small device in one unit, not each by itself.
set -u
together=no
if [ "${1:-}" = --together ]; then together=yes; shift; fi
compiler=${1:?compiler}
folder=${2:?folder for objects}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$folder"
cd "$folder" || exit 2
flags="-std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fno-exceptions -fno-rtti -I $root/include"
small="$flags -DNBIT_NO_HEAP -DNBIT_SCALAR_ONLY -fno-threadsafe-statics"
failed=0 headers=0

fail() { failed=$((failed + 1)); echo "failed: $1"; head -25 log; }

: >small.cpp
: >all.cpp
for path in $(cd "$root/include" && find nbit -name '*.hpp' | sort); do
  # adapters/ need the library they adapt
  case $path in nbit/adapters/*) continue ;; esac
  echo "#include <$path>" >>all.cpp
  case $path in
    nbit/base/* | nbit/format/* | nbit/layout/* | nbit/tensor/* | nbit/arch/* | nbit/kernel/*)
      headers=$((headers + 1))
      echo "#include <$path>" >>small.cpp
      [ $together = yes ] && continue
      echo "#include <$path>" >one.cpp
      # shellcheck disable=SC2086
      "$compiler" $small -fsyntax-only one.cpp >log 2>&1 || fail "$path with NBIT_NO_HEAP"
      ;;
  esac
done
# shellcheck disable=SC2086
"$compiler" $small -fsyntax-only small.cpp >log 2>&1 || fail "all of them with NBIT_NO_HEAP"
# shellcheck disable=SC2086
"$compiler" $flags -fsyntax-only all.cpp >log 2>&1 || fail "all headers without exceptions and RTTI"

for level in 0 s; do
  # shellcheck disable=SC2086
  if "$compiler" $small -O$level -c "$here/main.cpp" -o main_$level.o >log 2>&1 && "$compiler" main_$level.o -o main_$level >>log 2>&1; then
    ./main_$level >log 2>&1 || fail "the program at -O$level answers $?"
    nm -u main_$level.o | grep -E ' (_Zn[wa]|_Zd[la]|malloc|calloc|realloc|free|__cxa|_Unwind|_ZSt|_ZTI)' >log && fail "needs from outside at -O$level"
  else
    fail "the program at -O$level does not build"
  fi
done
echo "count: freestanding: $headers headers, 2 programs, $failed failed"
[ "$failed" = 0 ] && [ "$headers" -gt 0 ]
