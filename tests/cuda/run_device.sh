#!/bin/sh
# The tests that need a GPU:  sh tests/cuda/run_device.sh [WORK_FOLDER]
#
# Builds tests/cuda/device_test.cu for the GPU at hand and runs it, the solver and the bundled model's blocks on it, and the
# first again under compute-sanitizer's memcheck and racecheck where that is installed. Exit code 77: skipped, with the reason.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$root/build/cuda}
nvcc=$(command -v nvcc 2>/dev/null || echo /usr/local/cuda/bin/nvcc)
[ -x "$nvcc" ] || { echo "skipped: cuda device: no nvcc in PATH or /usr/local/cuda/bin"; exit 77; }
command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU ||
  { echo "skipped: cuda device: no GPU"; exit 77; }
mkdir -p "$work" || exit 1
"$nvcc" -std=c++20 --expt-relaxed-constexpr -O2 -arch=native -I "$root/include" -I "$root/tests" \
  -o "$work/device_test" "$root/tests/cuda/device_test.cu" || exit 1
"$work/device_test" || exit $?
"$nvcc" -std=c++20 --expt-relaxed-constexpr -O2 -arch=native -I "$root/include" -I "$root/tests" \
  -o "$work/cublas_gptq" "$root/tests/adapters/cublas_gptq.cu" -lcublas && "$work/cublas_gptq" || exit 1
"$nvcc" -std=c++20 --expt-relaxed-constexpr -O2 -arch=native -I "$root/include" -I "$root/tests" \
  -I "$root/examples/engine" -o "$work/offload_device" "$root/tests/cuda/offload_device.cpp" \
  "$root/examples/engine/cuda_device.cu" && "$work/offload_device" "$root/examples/data" || exit 1
sanitizer=$(command -v compute-sanitizer 2>/dev/null || echo /usr/local/cuda/bin/compute-sanitizer)
if [ -x "$sanitizer" ]; then
  for tool in memcheck racecheck; do
    echo "==== compute-sanitizer --tool $tool ===="
    "$sanitizer" --tool $tool --error-exitcode 1 "$work/device_test" >"$work/$tool.log" 2>&1 ||
      { tail -40 "$work/$tool.log"; exit 1; }
    tail -5 "$work/$tool.log"
  done
else
  echo "skipped: compute-sanitizer is not installed"
fi
