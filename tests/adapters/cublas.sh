#!/bin/sh
# tests/adapters/cublas.sh COMPILER FOLDER — the cuBLAS adapter compiles and links; where there is a GPU, statistics
# through it give codes of the same quality. Exit code 77, aloud, where there is no cuBLAS.
set -u
compiler=${1:?compiler} folder=${2:?folder for the program}
root=$(cd "$(dirname "$0")/../.." && pwd)
nvcc=$(command -v nvcc 2>/dev/null || echo /usr/local/cuda/bin/nvcc)
toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." 2>/dev/null && pwd)
library=$(ls "$toolkit"/lib64/libcublas.so "$toolkit"/targets/*/lib/libcublas.so 2>/dev/null | head -1)
[ -n "$library" ] && [ -f "$toolkit/include/cublas_v2.h" ] || { echo "skipped: cublas: no cuBLAS beside nvcc"; exit 77; }
mkdir -p "$folder"
"$compiler" -std=c++20 -O1 -Wall -Wextra -Wpedantic -Werror -DNBIT_SCALAR_ONLY -DNBIT_TEST_CUBLAS -I "$root/include" \
  -I "$root/tests" -isystem "$toolkit/include" "$root/tests/adapters/gram_program.cpp" -o "$folder/cublas_program" \
  -L "$(dirname "$library")" -lcublas -lcudart "-Wl,-rpath,$(dirname "$library")" || exit 1
"$folder/cublas_program"
case $? in
  0) echo "count: cublas: 1 program, 0 failed" ;;
  77) echo "count: cublas: 1 program linked and not run, 0 failed" ;;
  *) echo "cublas: the statistics differ"; exit 1 ;;
esac
