#!/usr/bin/env python3
"""KL divergence of nbit's GGUF files and of llama.cpp's own at equal bytes, both evaluated by llama.cpp.

  llama_cpp_kl.py NBIT MODEL_FOLDER CALIB_IDS DEV_IDS WORK_FOLDER [--windows N] [--threads N] [--options "..."] [TYPE...]

NBIT is the program of examples/tool. For every type the matrices of the blocks are stored in it, all else as F32. nbit's
file: nbit quantize --solver gptq, with --options. The peer's: the same file, where the bytes of each of those tensors are what
ggml_quantize_chunk makes of the F32 weights with an importance matrix of the same calibration windows. Needs
llama-cpp-python 0.3.36, gguf 0.19.0 and numpy (pip).
"""
import argparse
import ctypes
import json
import pathlib
import shutil
import subprocess

import gguf
import llama_cpp
import numpy as np

TYPES = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "IQ4_XS", "IQ3_S", "Q4_0", "IQ2_XS"]


def read_ids(path):
    raw = pathlib.Path(path).read_bytes()
    n = int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8 : 8 + n])["ids"]
    first, last = entry["data_offsets"]
    return np.frombuffer(raw[8 + n + first : 8 + n + last], dtype="<i4").reshape(entry["shape"])


def use_plain_kernels():
    """No buffers that repack weights: among them is AMX, which some virtual machines announce and then refuse."""
    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def plain():
        p = defaults()
        p.use_extra_bufts = False
        return p

    llama_cpp.llama_cpp.llama_model_default_params = plain


def log_probabilities(path, windows, threads):
    """ln p of every token after every prefix, by llama.cpp."""
    model = llama_cpp.Llama(str(path), n_ctx=windows.shape[1], n_batch=512, logits_all=True, verbose=False, n_gpu_layers=0,
                            n_threads_batch=threads or None)
    rows = []
    for w in windows:
        model.reset()
        model.eval([int(t) for t in w[:-1]])
        x = np.array(model.scores[: len(w) - 1], dtype=np.float64)
        x -= x.max(axis=1, keepdims=True)
        rows.append((x - np.log(np.exp(x).sum(axis=1, keepdims=True))).astype(np.float32))
    model.close()
    return rows


def divergence(p, q):
    return float(np.mean([np.mean(np.sum(np.exp(a.astype(np.float64)) * (a - b), axis=1)) for a, b in zip(p, q)]))


def read_importance(path):
    """Mean squares by tensor out of an importance matrix in GGUF."""
    t = {t.name: np.array(t.data, dtype=np.float32).reshape(-1) for t in gguf.GGUFReader(path).tensors}
    return {n[: -len(".in_sum2")]: t[n] / t[n[: -len(".in_sum2")] + ".counts"] for n in t if n.endswith(".in_sum2")}


def quantize_as_llama_cpp(library, weights, kind, importance):
    rows, cols = weights.shape
    out = np.zeros(rows * cols // gguf.GGML_QUANT_SIZES[kind][0] * gguf.GGML_QUANT_SIZES[kind][1], dtype=np.uint8)
    pointer = ctypes.POINTER(ctypes.c_float)
    made = library.ggml_quantize_chunk(
        ctypes.c_int(int(kind)), weights.ctypes.data_as(pointer), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(0),
        ctypes.c_int64(rows), ctypes.c_int64(cols), importance.ctypes.data_as(pointer))
    assert made == out.size, (made, out.size)
    return out


def main():
    a = argparse.ArgumentParser()
    for name in ("nbit", "model", "calib", "dev", "work"):
        a.add_argument(name)
    a.add_argument("types", nargs="*", default=TYPES)
    a.add_argument("--windows", type=int, default=64)
    a.add_argument("--threads", type=int, default=0, help="of llama.cpp; 0: all")
    a.add_argument("--options", default="", help="more words for nbit quantize, as '--kicks 24'")
    a = a.parse_intermixed_args()
    use_plain_kernels()
    work = pathlib.Path(a.work)
    work.mkdir(parents=True, exist_ok=True)
    library = ctypes.CDLL(str(next((pathlib.Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so*"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t

    def nbit(*words):
        subprocess.run([a.nbit, *map(str, words)], check=True, stdout=subprocess.DEVNULL)

    plain, matrix = work / "f32.gguf", work / "imatrix.gguf"
    nbit("quantize", a.model, "-o", plain, "--type", "F32")
    nbit("imatrix", a.model, "--ids", a.calib, "-o", matrix)
    importance = read_importance(matrix)
    weights = {t.name: t for t in gguf.GGUFReader(plain).tensors}
    windows = read_ids(a.dev)[: a.windows]
    reference = log_probabilities(plain, windows, a.threads)
    print(f"KL divergence from F32, nats, {windows.size - len(windows)} predictions, evaluated by llama.cpp")
    print(f"{'type':8} {'bytes':>9} {'nbit':>9} {'llama.cpp':>9} {'ratio':>6}")
    for name in a.types:
        ours, peer = work / f"{name}.gguf", work / f"{name}-peer.gguf"
        nbit("quantize", a.model, "-o", ours, "--type", name, "--pure", "--solver", "gptq", "--calib", a.calib,
             "--embedding-type", "F32", "--output-type", "F32", *a.options.split())
        shutil.copy(ours, peer)
        size = 0
        with open(peer, "r+b") as f:
            for t in gguf.GGUFReader(ours).tensors:
                if t.tensor_type.name != name:
                    continue
                w = np.array(weights[t.name].data, dtype=np.float32).reshape(int(t.shape[1]), int(t.shape[0]))
                made = quantize_as_llama_cpp(library, w, t.tensor_type, importance[t.name])
                assert made.size == t.n_bytes
                size += made.size
                f.seek(int(t.data_offset))
                f.write(made.tobytes())
        mine, theirs = (divergence(reference, log_probabilities(p, windows, a.threads)) for p in (ours, peer))
        print(f"{name:8} {size:9d} {mine:9.5f} {theirs:9.5f} {mine / theirs:6.3f}", flush=True)


if __name__ == "__main__":
    main()
