#!/bin/sh
# tests/format.sh [--fix]: checks that clang-format changes nothing, or lets it. The version is pinned, because versions
# differ in what they write; it comes from PyPI into build/tools.
set -u
version=19.1.7
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
tools=build/tools/clang-format-$version
if [ ! -x "$tools/bin/clang-format" ]; then
  mkdir -p build/tools
  echo "+ python3 -m venv $tools; pip install clang-format==$version"
  rm -rf "$tools"
  python3 -m venv "$tools" && "$tools/bin/python" -m pip install -q --disable-pip-version-check "clang-format==$version" ||
    { rm -rf "$tools"; echo "clang-format $version could not be installed"; exit 1; }
fi
list=build/tools/formatted-files
find include tests examples bench -name '*.hpp' -o -name '*.inl' -o -name '*.cpp' -o -name '*.cuh' -o -name '*.cu' | sort >"$list"
if [ "${1:-}" = --fix ]; then
  xargs "$tools/bin/clang-format" -i <"$list"
  exit
fi
wrong=0
# One line for each file that would change, not one for each place in it.
for file in $(cat "$list"); do
  "$tools/bin/clang-format" "$file" | cmp -s - "$file" || { wrong=$((wrong + 1)); echo "would change: $file"; }
done
echo "count: format: $(wc -l <"$list") files, $wrong failed (sh tests/format.sh --fix mends them)"
[ "$wrong" = 0 ]
