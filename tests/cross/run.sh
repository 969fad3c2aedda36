#!/bin/sh
# tests/cross/run.sh [FOLDER] [TARGET...]: the hashes of tests/determinism on other machines, under emulation.
#
# Compiles the program once for each target (static, -O1) and runs it on each machine that the target stands for, as many at
# a time as there are cores. Targets:
#   native     this machine, -O2 -march=native: flags must not change a bit
#   aarch64    cortex-a57 (NEON), cortex-a76 (dot products) and max (int8 matrices)
#   riscv64    scalar
#   rvv        RISC-V V with registers of 128, 256 and 512 bits (clang 16 or newer)
#   s390x      big-endian, scalar
#   wasm       SIMD128 (zig and node)
# What is not installed is skipped by name. Answers 77 if everything was.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:-$root/build/cross}
[ $# -gt 0 ] && shift
targets=${*:-native aarch64 riscv64 rvv s390x wasm}
mkdir -p "$folder"
table=$root/tests/determinism/hashes.txt
sources=$(cd "$root/tests/determinism" && ls ./*.cpp | sed 's,./,,; s,.cpp,,')
jobs=$(nproc 2>/dev/null || echo 2)
launcher=""
command -v ccache >/dev/null 2>&1 && launcher=ccache

has() { command -v "$1" >/dev/null 2>&1; }
first() { for name in "$@"; do has "$name" && { printf '%s' "$name"; return; }; done; }
riscv_clang=$(first clang++-19 clang++-18 clang++-17 clang++-16)
zig=""
if has zig; then zig="zig"; elif python3 -c 'import ziglang' 2>/dev/null; then zig="python3 -m ziglang"; fi
[ -n "${NBIT_ZIG:-}" ] && zig=$NBIT_ZIG

# What compiles a target: nothing if it cannot be compiled here. missing TARGET says what it would take.
compiler_of() {
  case $1 in
    native) has g++ && printf '%s' "g++ -O2 -march=native" ;;
    aarch64) has aarch64-linux-gnu-g++ && printf '%s' "aarch64-linux-gnu-g++ -O1 -static" ;;
    riscv64) has riscv64-linux-gnu-g++ && printf '%s' "riscv64-linux-gnu-g++ -O1 -static" ;;
    rvv) [ -n "$riscv_clang" ] && has riscv64-linux-gnu-g++ &&
      printf '%s' "$riscv_clang --target=riscv64-linux-gnu -march=rv64gcv -O1 -static" ;;
    s390x) has s390x-linux-gnu-g++ && printf '%s' "s390x-linux-gnu-g++ -O1 -static" ;;
    wasm) [ -n "$zig" ] && printf '%s' "$zig c++ -target wasm32-wasi -msimd128 -fno-exceptions -O1" ;;
  esac
}
missing() {
  case $1 in
    native) echo "g++" ;;
    aarch64) echo "g++-aarch64-linux-gnu" ;;
    riscv64) echo "g++-riscv64-linux-gnu" ;;
    rvv) echo "clang 16 or newer, g++-riscv64-linux-gnu" ;;
    s390x) echo "g++-s390x-linux-gnu" ;;
    wasm) echo "zig (ziglang of PyPI) and node" ;;
  esac
}

# machine NAME COMMAND...: puts the run of one binary on one machine into the queue.
ran=0 failed=0 skipped=0
runs=$folder/runs.txt
: >"$runs"
rm -f "$folder"/machine.*
machine() {
  name=$1
  shift
  if ! has "$1"; then
    echo "skipped: cross $name: $1 is not installed"
    skipped=$((skipped + 1))
    return
  fi
  ran=$((ran + 1))
  echo "$name" >"$folder/machine.$ran.name"
  for word in "$@"; do printf "'%s' " "$word"; done >>"$runs"
  echo ">'$folder/machine.$ran.answer' 2>&1 && : >'$folder/machine.$ran.good'" >>"$runs"
}

# All objects of all targets in one queue, so that the cores stay busy.
queue=$folder/queue.txt
: >"$queue"
built=""
for target in $targets; do
  compile=$(compiler_of "$target")
  if [ -z "$compile" ]; then
    echo "skipped: cross $target needs $(missing "$target")"
    skipped=$((skipped + 1))
    continue
  fi
  case $compile in *ziglang* | zig*) cached="" ;; *) cached=$launcher ;; esac
  mkdir -p "$folder/$target"
  built="$built $target"
  for source in $sources; do
    echo "$cached $compile -std=c++20 -I '$root/include' -c '$root/tests/determinism/$source.cpp' -o '$folder/$target/$source.o'" >>"$queue"
  done
done
start=$(date +%s)
all_of() { tr '\n' '\0' <"$1" | xargs -0 -P "$jobs" -I{} sh -c '{}'; }
all_of "$queue" || { echo "compiling failed"; exit 1; }
for target in $built; do
  binary=$folder/$target/determinism
  # shellcheck disable=SC2046,SC2086
  $(compiler_of "$target") $(for s in $sources; do printf '%s ' "$folder/$target/$s.o"; done) -o "$binary" || exit 1
done
echo "compiled:$built in $(($(date +%s) - start)) s"

for target in $built; do
  binary=$folder/$target/determinism
  case $target in
    native) machine "native" "$binary" "$table" ;;
    aarch64)
      for cpu in cortex-a57 cortex-a76 max; do machine "aarch64 $cpu" qemu-aarch64 -cpu $cpu "$binary" "$table"; done ;;
    riscv64) machine riscv64 qemu-riscv64 "$binary" "$table" ;;
    rvv)
      for bits in 128 256 512; do
        machine "riscv64 vlen $bits" qemu-riscv64 -cpu rv64,v=true,vlen=$bits "$binary" "$table"
      done ;;
    s390x) machine "s390x (big-endian)" qemu-s390x "$binary" "$table" ;;
    wasm) machine "wasm simd128" node --no-warnings "$here/wasi.mjs" "$binary" "$table" ;;
  esac
done
all_of "$runs"
number=0
while [ $number -lt $ran ]; do
  number=$((number + 1))
  name=$(cat "$folder/machine.$number.name") answer=$folder/machine.$number.answer
  if [ -e "$folder/machine.$number.good" ]; then tail -1 "$answer" | sed "s/^count: determinism: /$name: /"
  else
    failed=$((failed + 1))
    sed "s/^/$name: /" "$answer" | tail -20
  fi
done
echo "count: cross: $ran machines, $skipped skipped, $failed failed"
[ "$failed" = 0 ] || exit 1
[ "$ran" -gt 0 ] || exit 77
