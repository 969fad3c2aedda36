#!/bin/sh
# tests/odr/check.sh [--self-test] COMPILER FOLDER
#
# Compiles tests/odr/use.cpp for the baseline and for a machine with AVX-512, at -O0 and -O2, and proves that the two objects of
# a pair share no weak function of nbit: such a function would be kept once by the linker, with the instructions of either.
# Then links the pair in both orders and runs it; both halves must compute the same bits.
# --self-test forces one name for both flag sets (-DNBIT_TAG=v0) and expects the check to notice; what lies in base/ is enough for that.
set -u
self_test=no
if [ "${1:-}" = --self-test ]; then self_test=yes; shift; fi
compiler=${1:?compiler}
folder=${2:?folder for objects}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$folder"
cd "$folder" || exit 2

if [ "$(uname -m)" != x86_64 ]; then echo "skipped: odr compares x86-64 flag sets, this is $(uname -m)"; exit 77; fi

flags="-std=c++20 -Wall -Wextra -I $root/include"
[ "$self_test" = yes ] && flags="$flags -DNBIT_TAG=v0 -DNBIT_ODR_BASE_ONLY"
wide=icelake-server
runs_wide=yes
for feature in avx512_vnni avx512_vbmi2 avx512_bitalg gfni vaes; do
  grep -qw "$feature" /proc/cpuinfo 2>/dev/null || runs_wide=no
done

# Weak functions whose outermost scope is nbit. Data (V, u) is meant to be shared: it holds no instructions.
weak() { nm "$1" | awk '($2 == "W" || $2 == "w") && $3 ~ /^_ZZ*N[KVrRO]*4nbit/ {print $3}' | sort -u; }
# Functions of std or of a user over nbit types: any program with mixed flags has those; counted, not judged.
foreign() { nm "$1" | awk '($2 == "W") && $3 ~ /4nbit/ && $3 !~ /^_ZZ*N[KVrRO]*4nbit/ {print $3}' | sort -u; }

failed=0 compared=0 shared_foreign=0 ran=0 pids=""
for level in 0 2; do
  # shellcheck disable=SC2086
  "$compiler" $flags -O$level -DNBIT_USE=use_baseline -c "$here/use.cpp" -o base_$level.o & pids="$pids $!"
  # shellcheck disable=SC2086
  "$compiler" $flags -O$level -march=$wide -DNBIT_USE=use_wide -c "$here/use.cpp" -o wide_$level.o & pids="$pids $!"
  for pid in $pids; do wait "$pid" || { echo "tests/odr/use.cpp does not compile"; exit 1; }; done
  pids=""
done
# shellcheck disable=SC2086
"$compiler" $flags -O1 -c "$here/main.cpp" -o main.o || exit 1

for level in 0 2; do
  weak base_$level.o >base_$level.txt
  weak wide_$level.o >wide_$level.txt
  foreign base_$level.o >f_base.txt
  foreign wide_$level.o >f_wide.txt
  both=$(comm -12 base_$level.txt wide_$level.txt)
  compared=$((compared + $(wc -l <base_$level.txt) + $(wc -l <wide_$level.txt)))
  # At -O0 that is every one-liner of std; what -O2 leaves is what a release build shares.
  shared_foreign=$(comm -12 f_base.txt f_wide.txt | wc -l)
  if [ -n "$both" ]; then
    failed=$((failed + 1))
    if [ "$self_test" = no ]; then
      echo "at -O$level both objects hold:"
      printf '%s\n' "$both" | c++filt | head -40
    fi
  fi
  [ "$self_test" = yes ] && continue
  for order in "base_$level.o wide_$level.o" "wide_$level.o base_$level.o"; do
    # shellcheck disable=SC2086
    "$compiler" main.o $order -o linked || { failed=$((failed + 1)); continue; }
    ran=$((ran + 1))
    ./linked "$runs_wide" >answer.txt || { echo "linked as main.o $order: answers $?"; cat answer.txt; failed=$((failed + 1)); }
    # The same bits at every level too: contraction and vectorising may not move a code or a sum.
    [ "$ran" = 1 ] && cp answer.txt first.txt
    cmp -s answer.txt first.txt || { echo "-O$level computes other bits than -O0"; failed=$((failed + 1)); }
    # On a machine without AVX the baseline half must not meet a wide instruction, whatever the link order. At -O0 the
    # two share one-liners of std, which are not ours to keep apart; a release build has inlined them.
    if [ $level != 0 ] && command -v qemu-x86_64 >/dev/null 2>&1; then
      qemu-x86_64 -cpu Nehalem ./linked no || { echo "on Nehalem, linked as main.o $order: answers $?"; failed=$((failed + 1)); }
    fi
  done
done

if [ "$self_test" = yes ]; then
  echo "count: odr self-test: $compared weak nbit functions under one forced tag, found in $failed of 2 levels"
  [ "$failed" = 2 ]
  exit
fi
echo "count: odr: $compared weak nbit functions compared, $ran programs run (AVX-512 half: $runs_wide), $shared_foreign std functions over nbit types shared at -O2, $failed failed"
[ "$failed" = 0 ] && [ "$compared" -gt 0 ]
