#!/bin/sh
# tests/adapters/mpi.sh COMPILER FOLDER — statistics merged and layers solved on 1, 2, 3 and 4 ranks: the same bytes.
# Exit code 77, aloud, where there is no MPI.
set -u
compiler=${1:?compiler} folder=${2:?folder for the program}
root=$(cd "$(dirname "$0")/../.." && pwd)
for tool in mpirun mpicxx; do
  command -v $tool >/dev/null 2>&1 || { echo "skipped: mpi: $tool is not installed (apt: libopenmpi-dev openmpi-bin)"; exit 77; }
done
mkdir -p "$folder"
OMPI_CXX=$compiler MPICH_CXX=$compiler mpicxx -std=c++20 -O1 -Wall -Wextra -DOMPI_SKIP_MPICXX=1 -I "$root/include" -I "$root/tests" \
  "$root/tests/adapters/mpi_ranks.cpp" -o "$folder/mpi_ranks" || { echo "mpi_ranks.cpp does not compile"; exit 1; }
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
expected="" ran=0 failed=0
for ranks in 1 2 3 4; do
  found=$(mpirun --oversubscribe -n $ranks "$folder/mpi_ranks" 2>"$folder/mpi_errors.txt") ||
    { cat "$folder/mpi_errors.txt"; echo "mpi: $ranks ranks failed"; failed=$((failed + 1)); continue; }
  [ -n "$expected" ] || expected=$found
  echo "$ranks ranks: $found"
  [ -n "$found" ] && [ "$found" = "$expected" ] || { echo "mpi: $ranks ranks differ from one"; failed=$((failed + 1)); }
  ran=$((ran + 1))
done
echo "count: mpi: $ran runs compared, $failed failed"
[ "$failed" = 0 ] && [ "$ran" = 4 ]
