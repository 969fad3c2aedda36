#!/bin/sh
# Opens our files with other programs:  sh tests/interop/run.sh BUILD_FOLDER            llama.cpp, gguf, safetensors
#                                       sh tests/interop/run.sh --peers BUILD_FOLDER    the packages that own the checkpoints
#
# Makes a Python environment in the build folder, installs pinned llama-cpp-python (built once and kept in the user's
# cache), gguf and safetensors, and runs check.py. With --peers: torch (2.5 GB, for the CPU alone there is none on PyPI),
# compressed-tensors, bitsandbytes, hqq, autoawq, gptqmodel, torchao, and runs peers.py both ways; a package that does not
# install is named. Exit code 77: skipped, with the reason.
set -u
peers=no
if [ "${1:-}" = --peers ]; then peers=yes; shift; fi
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/release}
llama_version=0.3.36 gguf_version=0.19.0 safetensors_version=0.8.0

skip() { printf 'skipped: interop: %s\n' "$*"; exit 77; }
for program in python3 cmake g++; do command -v "$program" >/dev/null 2>&1 || skip "no $program"; done
python3 -c 'import ensurepip, venv' 2>/dev/null || skip "python3 has no venv (Debian: python3-venv)"
if [ $peers = yes ]; then
  work=$build/peers python=$build/peers/venv/bin/python
  mkdir -p "$work" || exit 1
  g++ -std=c++20 -O1 -I "$root/include" -I "$root/tests" "$root/tests/interop/peers.cpp" -o "$work/peers" || exit 1
  [ -x "$python" ] || python3 -m venv "$work/venv" || exit 1
  "$python" -m pip install -q torch==2.11.0 numpy "safetensors==$safetensors_version" "setuptools>=78,<82" >"$work/pip.log" 2>&1 ||
    { tail -5 "$work/pip.log"; skip "torch 2.11.0 does not install"; }
  for package in compressed-tensors==0.20.0 bitsandbytes==0.50.2 hqq==0.2.8.post1 torchao==0.18.0 \
    "pypcre tokenicer device-smi logbar threadpoolctl defuser pillow protobuf pyarrow requests dill datasets"; do
    # shellcheck disable=SC2086  # the last is a list: what gptqmodel imports
    "$python" -m pip install -q $package >"$work/pip.log" 2>&1 || { tail -2 "$work/pip.log"; echo "  does not install: $package"; }
  done
  # These two alone: autoawq's dependencies are of another year, and gptqmodel 7.7.0 asks for a newer torch than it needs
  "$python" -m pip install -q --no-deps autoawq==0.2.9 >"$work/pip.log" 2>&1 || echo "  does not install: autoawq==0.2.9"
  BUILD_CUDA_EXT=0 "$python" -m pip install -q --no-deps --no-build-isolation gptqmodel==7.7.0 >"$work/pip.log" 2>&1 ||
    { tail -2 "$work/pip.log"; echo "  does not install: gptqmodel==7.7.0"; }
  "$work/peers" write "$work/ours.safetensors" &&
    "$python" -W ignore "$root/tests/interop/peers.py" "$work/ours.safetensors" "$work/theirs.safetensors" &&
    echo "  ours reads theirs:" && "$work/peers" read "$work/theirs.safetensors"
  exit
fi
nbit=$build/bin/nbit
[ -x "$nbit" ] || skip "no $nbit (build the target nbit_tool first)"

work=$build/interop
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nbit
mkdir -p "$work" "$cache" || exit 1
tag=$(python3 -c 'import sys, platform; print("py%d.%d-%s" % (*sys.version_info[:2], platform.machine()))')
kept=$cache/llama-cpp-python-$llama_version-O1-$tag
python=$work/venv/bin/python

if [ ! -e "$kept/lib/libllama.so" ] || ! "$python" -c "
import importlib.metadata as m
assert (m.version('llama-cpp-python'), m.version('gguf'), m.version('safetensors')) == ('$llama_version', '$gguf_version', '$safetensors_version')" 2>/dev/null; then
  rm -rf "$work/venv"
  python3 -m venv "$work/venv" || exit 1
  "$python" -m pip download -q --no-deps --no-binary :none: -d "$work/reach" "gguf==$gguf_version" >"$work/pip.log" 2>&1 ||
    { cat "$work/pip.log"; skip "the package index cannot be reached"; }
  if ! ls "$kept"/*.whl "$kept"/lib/libllama.so >/dev/null 2>&1; then
    echo "Building llama-cpp-python $llama_version once (a minute on 2 cores), kept in $kept"
    rm -rf "$kept.part" "$work/source"
    mkdir -p "$kept.part/lib" "$work/source" || exit 1
    generator="Unix Makefiles"
    command -v ninja >/dev/null 2>&1 && generator=Ninja
    # The package alone, and of its llama.cpp only the library, at -O1: the package by itself would also build common and
    # mtmd, at -O3. Many small files of one set of headers go into one unit, but for ggml-cpu, whose files repeat names: half
    # the time. No -march=native: a cache may be shared by different machines.
    printf '%s\n' 'cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL set_property TARGET ggml-cpu PROPERTY UNITY_BUILD OFF)' \
      >"$work/apart.cmake"
    {
      "$python" -m pip download -q --no-deps --no-binary llama-cpp-python -d "$work/source" "llama-cpp-python==$llama_version" &&
        tar xzf "$work/source"/*.tar.gz -C "$work/source" --strip-components 1 &&
        CMAKE_ARGS=-DLLAMA_BUILD=OFF "$python" -m pip wheel -q --no-deps -w "$kept.part" "$work/source" &&
        cmake -S "$work/source/vendor/llama.cpp" -B "$work/llama" -G "$generator" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
          "-DCMAKE_C_FLAGS_RELEASE=-O1 -DNDEBUG" "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG" -DGGML_NATIVE=OFF \
          -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=16 "-DCMAKE_PROJECT_INCLUDE=$work/apart.cmake" \
          -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF \
          -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF "-DCMAKE_INSTALL_RPATH=\$ORIGIN" -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON &&
        cmake --build "$work/llama" --target llama -j "$(nproc 2>/dev/null || echo 2)" &&
        cp -P "$work/llama/bin"/*.so* "$kept.part/lib"
    } >"$work/wheel.log" 2>&1 || { tail -40 "$work/wheel.log"; exit 1; }
    rm -rf "$kept" "$work/source" "$work/llama" && mv "$kept.part" "$kept" || exit 1
  fi
  "$python" -m pip install -q --find-links "$kept" "$kept"/*.whl "gguf==$gguf_version" "safetensors==$safetensors_version" >"$work/pip.log" 2>&1 ||
    { cat "$work/pip.log"; exit 1; }
fi
g++ -std=c++20 -O1 -I "$root/include" -I "$root/tests" "$root/tests/interop/peers.cpp" -o "$work/peers" &&
  "$work/peers" write "$work/ours.safetensors" && "$python" -c "
import safetensors, sys
made = safetensors.deserialize(open(sys.argv[1], 'rb').read())
assert len(made) == 55 and all(len(t['data']) > 0 for _, t in made)
print('safetensors', safetensors.__version__, 'opens', len(made), 'tensors of checkpoints of ours')" "$work/ours.safetensors" || exit 1
LLAMA_CPP_LIB_PATH=$kept/lib "$python" "$root/tests/interop/check.py" "$nbit" "$root/examples/data" "$work/files"
