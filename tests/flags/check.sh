#!/bin/sh
# tests/flags/check.sh COMPILER FOLDER: every ggml type gives the committed reference bytes whatever the compiler's flags:
# -O0, -O2, and -O2 with all that this machine has, where a compiler would like to fuse multiplications and additions.
set -u
compiler=${1:?compiler}
folder=${2:?folder for programs}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$folder"
failed=0 programs=0
launcher=""
command -v ccache >/dev/null 2>&1 && launcher=ccache

for flags in "-O0" "-O2" "-O2 -march=native"; do
  program=$folder/golden$(printf '%s' "$flags" | tr -c 'A-Za-z0-9' '_')
  programs=$((programs + 1))
  # Several flags are several words.
  # shellcheck disable=SC2086
  if $launcher "$compiler" -std=c++20 $flags -I "$root/include" -I "$root/tests" "-DNBIT_SOURCE_DIR=\"$root\"" \
    -c "$here/main.cpp" -o "$program.o" >"$program.log" 2>&1 && "$compiler" "$program.o" -o "$program" >>"$program.log" 2>&1; then
    "$program" >"$program.log" 2>&1 || failed=$((failed + 1))
  else
    failed=$((failed + 1))
  fi
  sed "s/^/$flags: /" "$program.log" | tail -20
done
echo "count: flags: $programs programs, $failed failed"
[ "$failed" = 0 ]
