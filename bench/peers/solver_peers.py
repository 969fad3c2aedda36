#!/usr/bin/env python3
"""Time of nbit's solvers beside the Python procedures that people run: GPTQ, AWQ and HQQ on the same matrices.

  solver_peers.py --bench build/release/bin/nbit_peers_bench [--only gptq,awq,hqq] [--threads 1,2] [--columns N]
                  [--awq-columns N] [--tokens N] [--rounds N]

Peers: GPTQ and AWQ are written here in torch after the papers, with the published constants (torch 2.15.0; GPTQ: Cholesky
factor of the inverse, blocks of 128 columns; AWQ: 20 exponents on all tokens, then 10 limits on 512 of them, as AutoAWQ has
it); HQQ is the package hqq 0.2.8.post1. What is not installed is left out by name. Least wall time of the rounds, the two
programs in turn; both are held to the same number of threads.
"""
import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time

BITS, LEVELS = 4, 15


def gptq(torch, weights, gram, group=128, block=128, damping=0.01):
    """Frantar et al. 2023, algorithm 1, given X^T X; groups fitted min-max when their first column is reached."""
    w, h, n = weights.clone(), gram.clone(), weights.shape[1]
    dead = h.diagonal() == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    h.diagonal().add_(damping * h.diagonal().mean())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    out = torch.zeros_like(w)
    for first in range(0, n, block):
        last = min(first + block, n)
        own, errors, factor = w[:, first:last].clone(), torch.zeros(w.shape[0], last - first), upper[first:last, first:last]
        for i in range(last - first):
            if (first + i) % group == 0:
                scale = (w[:, first + i : first + i + group].abs().amax(1) * (2 / LEVELS)).clamp_(min=1e-9)
            column = own[:, i]
            rounded = torch.clamp(torch.round(column / scale) + 8, 0, LEVELS).sub_(8).mul_(scale)
            out[:, first + i] = rounded
            error = (column - rounded) / factor[i, i]
            own[:, i:] -= torch.outer(error, factor[i, i:])
            errors[:, i] = error
        w[:, last:] -= errors @ upper[first:last, last:]
    return out


def round_asymmetric(torch, w, group=128):
    """Values of w rounded to nearest with an integer zero for each group."""
    g = w.reshape(-1, group)
    high, low = g.amax(1, keepdim=True), g.amin(1, keepdim=True)
    scale = (high - low).clamp(min=1e-5) / LEVELS
    zero = (-torch.round(low / scale)).clamp_(0, LEVELS)
    return ((torch.clamp(torch.round(g / scale) + zero, 0, LEVELS) - zero) * scale).reshape(w.shape)


def awq(torch, w, x, group=128, steps=20, limits=10, clip_tokens=512):
    """Lin et al. 2024 with both statistics in the scale: first the scale of every column, then the limit of every group."""
    relative = (w.abs().reshape(-1, group) / w.abs().reshape(-1, group).amax(1, keepdim=True)).reshape(w.shape).mean(0)
    strength, wanted = x.abs().mean(0), x @ w.t()
    least, best = float("inf"), None
    for k in range(steps):
        ratio = k / steps
        s = (strength.pow(ratio) / (relative.pow(1 - ratio) + 1e-4)).clamp(min=1e-4)
        s = s / (s.max() * s.min()).sqrt()
        loss = (wanted - x @ (round_asymmetric(torch, w * s) / s).t()).pow(2).mean().item()
        if loss < least:
            least, best = loss, s
    w, x = w * best, x / best
    rows, groups = w.shape[0], w.shape[1] // group
    x = x[:: max(1, x.shape[0] // clip_tokens)].reshape(1, -1, groups, group)
    w, batch, chosen = w.reshape(rows, 1, groups, group), 256 if rows % 256 == 0 else 64, []
    for first in range(0, rows, batch):
        own = w[first : first + batch]
        largest = own.abs().amax(-1, keepdim=True)
        wanted, least, limit = (x * own).sum(-1), torch.full_like(largest, 1e9), largest.clone()
        for k in range(limits):
            most = largest * (1 - k / steps)
            held = round_asymmetric(torch, torch.clamp(own, -most, most))
            error = ((x * held).sum(-1) - wanted).pow(2).mean(1).reshape(least.shape)
            lower = error < least
            least[lower], limit[lower] = error[lower], most[lower]
        chosen.append(limit)
    return best, torch.cat(chosen)


def hqq(torch, w):
    from hqq.core.quantize import Quantizer  # the first call's time is thrown away

    return Quantizer.quantize(w, nbits=BITS, group_size=64, axis=1, optimize=True, bitpack=False, device="cpu",
                              compute_dtype=torch.float32)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bench", required=True, help="nbit_peers_bench")
    p.add_argument("--only", default="gptq,awq,hqq")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--columns", type=int, default=4096)
    p.add_argument("--awq-columns", type=int, default=2048)
    p.add_argument("--tokens", type=int, default=2048)
    p.add_argument("--rounds", type=int, default=1)
    given = p.parse_args()
    missing = [m for m in ("torch", "hqq") if importlib.util.find_spec(m) is None]
    for m in missing:
        print(f"not installed, left out: {m}")
    if "torch" in missing:
        return 0
    import torch

    print(f"torch {torch.__version__}")
    for solver in given.only.split(","):
        if solver == "hqq" and "hqq" in missing:
            continue
        n = given.awq_columns if solver == "awq" else given.columns
        torch.manual_seed(1)
        w = torch.randn(n, n) * 0.02
        x = torch.randn(max(given.tokens, 2 * n if solver == "gptq" else 0), n)
        x[:, 1:] += x[:, :-1].clone()  # neighbours are alike
        x *= torch.exp(torch.randn(n))  # channels are not
        gram = x.t() @ x if solver == "gptq" else None
        peers = {"gptq": lambda: gptq(torch, w, gram), "awq": lambda: awq(torch, w, x), "hqq": lambda: hqq(torch, w)}
        with tempfile.TemporaryDirectory() as folder:
            files = [pathlib.Path(folder) / name for name in ("weights", "inputs")]
            files[0].write_bytes(w.numpy().tobytes())
            files[1].write_bytes(x.numpy().tobytes())
            for threads in [int(t) for t in given.threads.split(",")]:
                torch.set_num_threads(threads)
                peer, ours = float("inf"), {}
                if solver == "hqq":
                    hqq(torch, w[:64])
                for _ in range(given.rounds):
                    start = time.perf_counter()
                    peers[solver]()
                    peer = min(peer, time.perf_counter() - start)
                    command = [given.bench, solver, threads, 1, n, n, files[0], x.shape[0], files[1]]
                    lines = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout
                    for line in lines.splitlines():
                        name, seconds = line.split("\t")
                        ours[name] = min(float(seconds), ours.get(name, float("inf")))
                print(f"{solver}, {n} x {n}, {x.shape[0]} tokens, threads: {threads}\n  {'peer':<56} {peer:9.3f} s")
                for name, seconds in ours.items():
                    print(f"  {name:<56} {seconds:9.3f} s   {peer / seconds:6.1f} times as fast", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main())
