#!/bin/sh
# Opens our files with other programs:  sh tests/interop/run.sh BUILD_FOLDER
#
# Makes a Python environment in the build folder, installs pinned llama-cpp-python (built once and kept as a wheel in the
# user's cache) and gguf, and runs check.py. Exit code 77: skipped, with the reason.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/release}
llama_version=0.3.36 gguf_version=0.19.0

skip() { printf 'skipped: interop: %s\n' "$*"; exit 77; }
for program in python3 cmake g++; do command -v "$program" >/dev/null 2>&1 || skip "no $program"; done
python3 -c 'import ensurepip, venv' 2>/dev/null || skip "python3 has no venv (Debian: python3-venv)"
nbit=$build/bin/nbit
[ -x "$nbit" ] || skip "no $nbit (build the target nbit_tool first)"

work=$build/interop
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nbit
mkdir -p "$work" "$cache" || exit 1
tag=$(python3 -c 'import sys, platform; print("py%d.%d-%s" % (*sys.version_info[:2], platform.machine()))')
wheels=$cache/llama-cpp-python-$llama_version-$tag
python=$work/venv/bin/python

if ! "$python" -c "
import importlib.metadata as m
assert m.version('llama-cpp-python') == '$llama_version' and m.version('gguf') == '$gguf_version'" 2>/dev/null; then
  rm -rf "$work/venv"
  python3 -m venv "$work/venv" || exit 1
  "$python" -m pip download -q --no-deps --no-binary :none: -d "$work/reach" "gguf==$gguf_version" >"$work/pip.log" 2>&1 ||
    { cat "$work/pip.log"; skip "the package index cannot be reached"; }
  if ! ls "$wheels"/*.whl >/dev/null 2>&1; then
    echo "Building llama-cpp-python $llama_version once (3 to 4 minutes on 2 cores), kept in $wheels"
    rm -rf "$wheels.part"
    # No -march=native: a cache may be shared by different machines.
    CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF" \
      CMAKE_BUILD_PARALLEL_LEVEL=$(nproc 2>/dev/null || echo 2) \
      "$python" -m pip wheel -q --no-deps -w "$wheels.part" "llama-cpp-python==$llama_version" >"$work/wheel.log" 2>&1 ||
      { tail -40 "$work/wheel.log"; exit 1; }
    rm -rf "$wheels" && mv "$wheels.part" "$wheels" || exit 1
  fi
  "$python" -m pip install -q --find-links "$wheels" "$wheels"/*.whl "gguf==$gguf_version" >"$work/pip.log" 2>&1 ||
    { cat "$work/pip.log"; exit 1; }
fi
"$python" "$root/tests/interop/check.py" "$nbit" "$root/examples/data" "$work/files"
