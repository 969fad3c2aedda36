#!/usr/bin/env python3
"""The peers that come as Python wheels, on the shapes of cuda_bench.cu, as ratios to torch's f16 product (cuBLAS).

  pip install torch bitsandbytes;  python3 bench/cuda/peers.py

Says which peers are missing and goes on. Medians of interleaved rounds on one GPU.
"""
import statistics
import sys

try:
    import torch
except ImportError:
    sys.exit("skipped: torch is not installed")
if not torch.cuda.is_available():
    sys.exit("skipped: no GPU")

SHAPES = [(4096, 4096), (14336, 4096), (28672, 8192)]
TOKENS = [1, 2, 4, 8, 16, 32, 64, 128, 512, 2048]
ROUNDS = 21


def seconds(call):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e-3


def peers(rows, cols):
    """Yields (name, function of x) for what is installed."""
    dense = torch.randn(rows, cols, dtype=torch.float16, device="cuda")
    yield "torch f16", lambda x: torch.nn.functional.linear(x, dense)
    try:
        codes = torch.randint(0, 255, (rows, cols // 2), dtype=torch.uint8, device="cuda")
        packed = torch._convert_weight_to_int4pack(codes, 8)
        scales = torch.ones(cols // 128, rows, 2, dtype=torch.bfloat16, device="cuda")
        yield "torch int4pack g128", lambda x: torch._weight_int4pack_mm(x.bfloat16(), packed, 128, scales)
    except (AttributeError, RuntimeError) as e:
        print(f"missing: torch int4pack: {e}")
    try:
        import bitsandbytes.functional as bnb

        quantized, state = bnb.quantize_4bit(dense, blocksize=64, quant_type="nf4")
        import bitsandbytes as bits

        yield "bitsandbytes NF4", lambda x: bits.matmul_4bit(x, quantized.t(), quant_state=state)
    except ImportError as e:
        print(f"missing: bitsandbytes: {e}")


def main():
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    for rows, cols in SHAPES:
        found = list(peers(rows, cols))
        for tokens in TOKENS:
            x = torch.randn(tokens, cols, dtype=torch.float16, device="cuda")
            times = {name: [] for name, _ in found}
            for _ in range(ROUNDS):
                for name, call in found:
                    times[name].append(seconds(lambda: call(x)))
            base = statistics.median(times["torch f16"])
            print(f"{rows:6} x {cols:5}  M {tokens:4}  " +
                  "  ".join(f"{name} {base / statistics.median(t):.2f}" for name, t in times.items()))


if __name__ == "__main__":
    main()
