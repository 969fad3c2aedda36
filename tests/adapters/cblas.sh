#!/bin/sh
# tests/adapters/cblas.sh COMPILER FOLDER — statistics through OpenBLAS give codes of the same quality.
# Exit code 77, aloud, where there is no OpenBLAS.
set -u
compiler=${1:?compiler} folder=${2:?folder for the program}
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$folder"
echo '#include <cblas.h>
int main() { return cblas_sdot(0, nullptr, 1, nullptr, 1) == 0.0f ? 0 : 1; }' >"$folder/probe.cpp"
"$compiler" "$folder/probe.cpp" -o "$folder/probe" -lopenblas 2>/dev/null ||
  { echo "skipped: cblas: no OpenBLAS with cblas.h (apt: libopenblas-dev)"; exit 77; }
"$compiler" -std=c++20 -O1 -Wall -Wextra -Wpedantic -Werror -I "$root/include" -I "$root/tests" \
  "$root/tests/adapters/gram_program.cpp" -o "$folder/cblas_program" -lopenblas || exit 1
"$folder/cblas_program" || { echo "cblas: the statistics differ"; exit 1; }
echo "count: cblas: 1 program, 0 failed"
