#!/bin/sh
# Compiles every CUDA kernel without a GPU:  sh tests/cuda/compile.sh WORK_FOLDER [ARCHITECTURE...]
#
# All kernels for sm_90, the hot ones (tests/cuda/all_kernels.cu) for sm_75 to sm_120; reads ptxas' report and fails when
# a kernel spills registers. Then programs: the answers where no GPU can be used, the engine with --gpu-layers, what
# run_device.sh runs, the bench, and kernels through NVRTC. As many jobs side by side as there are cores, four at most.
# Exit code 77: skipped, with the reason.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
nvcc=$(command -v nvcc 2>/dev/null || echo /usr/local/cuda/bin/nvcc)
flags="-std=c++20 --expt-relaxed-constexpr -I $root/include -I $root/tests -I $root/examples/engine -Werror all-warnings"
# where only the text matters: the device's optimizer off, which is three quarters of the time
quick="$flags -Ofc max"

# spills VIRTUAL SM...: the kernels' PTX for one virtual architecture, and its machine code on each sm
spills() {
  virtual=$1 scope=-DNBIT_HOT_KERNELS codes="" failed=0
  [ "$virtual" = 90 ] && scope=""
  shift
  for sm; do codes="$codes,sm_$sm"; done
  log=$work/spills_$virtual.log
  # shellcheck disable=SC2086
  if ! "$nvcc" $flags $scope -gencode "arch=compute_$virtual,code=[${codes#,}]" -Xptxas -v -fatbin \
    -o "$work/$virtual.fatbin" "$root/tests/cuda/all_kernels.cu" >"$log" 2>&1; then
    grep -E 'error|warning' "$log" | head -20
    echo "compute_$virtual: does not compile"
    return 1
  fi
  for sm; do
    # one line a kernel: spill bytes and name
    grep -E 'Compiling entry function|bytes spill stores' "$log" | paste - - | grep "for 'sm_$sm'" |
      sed -E "s/.*Compiling entry function '([^']*)'.* ([0-9]+) bytes spill stores.*/\2 \1/" >"$work/sm_$sm.spills"
    count=$(wc -l <"$work/sm_$sm.spills")
    echo "sm_$sm: $count kernels, $(awk '$1 > 0' "$work/sm_$sm.spills" | wc -l) spill"
    awk '$1 > 0' "$work/sm_$sm.spills" | c++filt | sed 's/.*entry<nbit::cuda:://; s/ >(.*//'
    [ "$count" -gt 0 ] && ! grep -qv '^0 ' "$work/sm_$sm.spills" || failed=1
  done
  return $failed
}

# quickly NAME FILE OPTION...: an object or a program, warnings being errors
quickly() {
  name=$1 file=$2
  shift 2
  # shellcheck disable=SC2086
  "$nvcc" $quick "$@" -o "$work/$name" "$root/$file" >"$work/$name.log" 2>&1 ||
    { head -20 "$work/$name.log"; echo "$name: does not compile"; return 1; }
}

no_gpu() {
  quickly no_gpu tests/cuda/no_gpu.cu "-arch=sm_$first" && CUDA_VISIBLE_DEVICES='' "$work/no_gpu"
}

# The engine built with nvcc, where no GPU can be used: --gpu-layers says so before a token; without it all is as ever.
engine() {
  quickly cuda_device.o examples/engine/cuda_device.cu -c "-arch=sm_$first" || return 1
  "${CXX:-c++}" -std=c++20 -O0 -DNBIT_SCALAR_ONLY -I "$root/include" -I "$root/examples/engine" -c -o "$work/main.o" \
    "$root/examples/engine/main.cpp" && "$nvcc" "-arch=sm_$first" -o "$work/engine" "$work/main.o" \
    "$work/cuda_device.o" -lpthread || return 1
  model=$root/examples/data/model_bf16.safetensors
  CUDA_VISIBLE_DEVICES='' "$work/engine" --gpu-layers 2 "$model" generate 2 Once >"$work/gpu.out" 2>"$work/gpu.err" &&
    { echo "engine: --gpu-layers without a GPU is not refused"; return 1; }
  if [ -s "$work/gpu.out" ] || ! grep -q 'no usable GPU: .*compute capability 7.5' "$work/gpu.err"; then
    echo "engine: --gpu-layers without a GPU: $(cat "$work/gpu.out" "$work/gpu.err")"
    return 1
  fi
  CUDA_VISIBLE_DEVICES='' "$work/engine" "$model" generate 2 Once >"$work/cpu.out" || return 1
  [ "$(wc -c <"$work/cpu.out")" -gt 6 ] || { echo "engine: no tokens: $(cat "$work/cpu.out")"; return 1; }
  echo "engine: $(cut -c9-140 "$work/gpu.err")"
  "${CXX:-c++}" -std=c++20 -O0 -I "$root/include" -I "$root/tests" -I "$root/examples/engine" -c \
    -o "$work/offload_device.o" "$root/tests/cuda/offload_device.cpp" && "$nvcc" "-arch=sm_$first" \
    -o "$work/offload_device" "$work/offload_device.o" "$work/cuda_device.o" || return 1
  CUDA_VISIBLE_DEVICES='' "$work/offload_device" "$root/examples/data"
  [ $? = 77 ]
}

# libnvrtc and its header come with the toolkit that nvcc is of
nvrtc() {
  toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
  library=$(ls "$toolkit"/lib64/libnvrtc.so "$toolkit"/targets/*/lib/libnvrtc.so 2>/dev/null | head -1)
  if [ -z "$library" ] || [ ! -f "$toolkit/include/nvrtc.h" ]; then
    echo "skipped: cuda: NVRTC is not in $toolkit"
    return 0
  fi
  "${CXX:-c++}" -std=c++20 -O1 -I "$toolkit/include" -o "$work/nvrtc_test" "$root/tests/cuda/nvrtc.cpp" "$library" \
    "-Wl,-rpath,$(dirname "$library")" && "$work/nvrtc_test" "$root/include" "$toolkit/include" "sm_$first"
}

if [ "${1:-}" = --job ]; then  # from xargs below: WORK_FOLDER FIRST_ARCHITECTURE "JOB ARGUMENT..."
  work=$2 first=$3 job=$4
  # shellcheck disable=SC2086
  set -- $job
  case $1 in
    spills) "$@" ;;
    device_test) quickly device_test.o tests/cuda/device_test.cu -c "-arch=sm_$first" && echo "device_test: compiled" ;;
    cublas_gptq)
      quickly cublas_gptq.o tests/adapters/cublas_gptq.cu -c "-arch=sm_$first" && echo "cublas_gptq: compiled" ;;
    bench) quickly cuda_bench.o bench/cuda/cuda_bench.cu -c "-arch=sm_$first" && echo "cuda_bench: compiled" ;;
    *) "$1" ;;
  esac >"$work/job_$1_${2:-}.txt" 2>&1 || : >"$work/job_$1_${2:-}.failed"
  exit 0
fi

work=${1:-$root/build/cuda}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 75 80 86 89 90 100 120
first=$1
[ -x "$nvcc" ] || { echo "skipped: cuda: no nvcc in PATH or /usr/local/cuda/bin"; exit 77; }
"$nvcc" --version | grep -qE 'release (1[3-9]|[2-9][0-9])\.' || { echo "skipped: cuda: nvcc is older than 13"; exit 77; }
mkdir -p "$work" && rm -f "$work"/job_* "$work"/*.spills || exit 1

# nvcc 13.0 makes the same PTX for 89 as for 80 and for 120 as for 100 (86 has one kernel of its own): one pass for both.
wanted() {
  virtual=$1 chosen=""
  shift
  for sm; do case " $architectures " in *" $sm "*) chosen="$chosen $sm" ;; esac; done
  [ -z "$chosen" ] || echo "spills $virtual$chosen"
}
architectures="$*"
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
{
  wanted 90 90
  echo device_test
  wanted 80 80 89
  wanted 100 100 120
  wanted 86 86
  wanted 75 75
  printf '%s\n' engine bench cublas_gptq nvrtc no_gpu
} | tr '\n' '\0' | xargs -0 -n 1 -P "$((cores < 4 ? cores : 4))" sh "$0" --job "$work" "$first"
ran=$?

cat "$work"/job_*.txt
failed=$(ls "$work" | grep -c '^job_.*\.failed$')
ls "$work" | sed -n 's/^\(job_.*\)\.failed$/FAILED: \1/p'
echo "count: cuda: $(cat "$work"/*.spills | wc -l | tr -d ' ') kernels compiled, $failed failed"
[ "$failed" = 0 ] && [ "$ran" = 0 ]
