#!/bin/sh
# Compiles every CUDA kernel without a GPU:  sh tests/cuda/compile.sh WORK_FOLDER [ARCHITECTURE...]
#
# All kernels for sm_90, the hot ones (tests/cuda/all_kernels.cu) for sm_75 to sm_120; reads ptxas' report and fails when
# a hot kernel spills registers. Then the host's half of the unit, and one kernel through NVRTC.
# Exit code 77: skipped, with the reason.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$root/build/cuda}
[ $# -gt 0 ] && shift
architectures=${*:-75 80 86 89 90 100 120}

nvcc=$(command -v nvcc 2>/dev/null || echo /usr/local/cuda/bin/nvcc)
[ -x "$nvcc" ] || { echo "skipped: cuda: no nvcc in PATH or /usr/local/cuda/bin"; exit 77; }
"$nvcc" --version | grep -qE 'release (1[3-9]|[2-9][0-9])\.' || { echo "skipped: cuda: nvcc is older than 13"; exit 77; }
mkdir -p "$work" || exit 1
flags="-std=c++20 --expt-relaxed-constexpr -I $root/include -Werror all-warnings"
failed=0 kernels=0 first=${architectures%% *}

# report LOG: one line a kernel: spill bytes and its short name
report() {
  grep -E 'Compiling entry function|bytes spill stores' "$1" | paste - - |
    sed -E "s/.*Compiling entry function '([^']*)'.* ([0-9]+) bytes spill stores.*/\2 \1/"
}

for arch in $architectures; do
  scope=-DNBIT_HOT_KERNELS
  [ "$arch" = 90 ] && scope=""
  log=$work/sm_$arch.log
  # shellcheck disable=SC2086
  if ! "$nvcc" $flags $scope -arch=sm_$arch -Xptxas -v -cubin -o "$work/sm_$arch.cubin" \
    "$root/tests/cuda/all_kernels.cu" >"$log" 2>&1; then
    grep -E 'error|warning' "$log" | head -20
    echo "sm_$arch: does not compile"
    failed=$((failed + 1))
    continue
  fi
  report "$log" >"$work/sm_$arch.spills"
  count=$(wc -l <"$work/sm_$arch.spills")
  kernels=$((kernels + count))
  spilled=$(awk '$1 > 0' "$work/sm_$arch.spills" | c++filt | sed 's/.*entry<nbit::cuda:://; s/ >(.*//')
  echo "sm_$arch: $count kernels, $(awk '$1 > 0' "$work/sm_$arch.spills" | wc -l) spill"
  if [ -n "$spilled" ]; then
    echo "$spilled"
    failed=$((failed + 1))
  fi
done

# shellcheck disable=SC2086
if "$nvcc" $flags -arch=sm_90 -c -o "$work/host.o" -DNBIT_HOT_KERNELS "$root/tests/cuda/all_kernels.cu" >"$work/host.log" 2>&1
then echo "host half: compiled"
else head -20 "$work/host.log"; failed=$((failed + 1))
fi

# the engine's GPU, the solver's, and what run_device.sh runs
for unit in examples/engine/cuda_device tests/adapters/cublas_gptq tests/cuda/device_test; do
  name=$(basename "$unit")
  # shellcheck disable=SC2086
  if "$nvcc" $flags -I "$root/examples/engine" -I "$root/tests" -arch=sm_$first -c -o "$work/$name.o" "$root/$unit.cu" \
    >"$work/$name.log" 2>&1
  then echo "$name: compiled"
  else head -20 "$work/$name.log"; failed=$((failed + 1))
  fi
done

# libnvrtc and its header come with the toolkit that nvcc is of
toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
nvrtc=$(ls "$toolkit"/lib64/libnvrtc.so "$toolkit"/targets/*/lib/libnvrtc.so 2>/dev/null | head -1)
if [ -z "$nvrtc" ] || [ ! -f "$toolkit/include/nvrtc.h" ]; then
  echo "skipped: cuda: NVRTC is not in $toolkit"
elif "${CXX:-c++}" -std=c++20 -O1 -I "$toolkit/include" -o "$work/nvrtc_test" "$root/tests/cuda/nvrtc.cpp" "$nvrtc" \
  "-Wl,-rpath,$(dirname "$nvrtc")" && "$work/nvrtc_test" "$root/include" "$toolkit/include" "sm_$first"
then :
else echo "NVRTC: failed"; failed=$((failed + 1))
fi

echo "count: cuda: $kernels kernels compiled, $failed failed"
[ "$failed" = 0 ]
