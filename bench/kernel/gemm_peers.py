#!/usr/bin/env python3
"""Peers of nbit_gemm_bench that live on PyPI: onnxruntime MatMulNBits and OpenVINO with compressed weights.

  python3 bench/kernel/gemm_peers.py [path of nbit_gemm_bench] [rounds = 7]

1024 x 4096 weights of 4 bits in groups of 32 and 128, f32 activations in and out, one thread. Prints GOP/s of each peer;
with the path of nbit_gemm_bench that program runs before and after, and its int8 peak turns them into shares of it.
Needs numpy, onnx, onnxruntime, openvino; says what is missing and goes on.
"""
import importlib
import re
import subprocess
import sys
import time

OUTPUTS, COLS = 1024, 4096


def load(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not measured: pip install {name}")
        return None


np, onnx, ort, ov = (load(n) for n in ("numpy", "onnx", "onnxruntime", "openvino"))


def median_seconds(call, rounds):
    call()
    took = []
    for _ in range(rounds):
        start = time.process_time()  # all threads of this process, of which one computes
        call()
        took.append(time.process_time() - start)
    return sorted(took)[len(took) // 2]


def onnxruntime_call(group, accuracy, x):
    h, t = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (OUTPUTS, COLS // group, group // 2), dtype=np.uint8)
    scales = rng.uniform(0.01, 0.02, (OUTPUTS * COLS // group,)).astype(np.float32)
    node = h.make_node("MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft", K=COLS, N=OUTPUTS, bits=4,
                       block_size=group, accuracy_level=accuracy)
    graph = h.make_graph([node], "gemm", [h.make_tensor_value_info("x", t.FLOAT, list(x.shape))],
                         [h.make_tensor_value_info("y", t.FLOAT, [x.shape[0], OUTPUTS])],
                         [onnx.numpy_helper.from_array(codes, "codes"), onnx.numpy_helper.from_array(scales, "scales")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("com.microsoft", 1)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def openvino_call(group, x):
    ops = importlib.import_module("openvino.opset13")
    rng = np.random.default_rng(1)
    packed = rng.integers(0, 256, OUTPUTS * COLS // 2, dtype=np.uint8)
    codes = ops.constant(ov.Tensor(packed, ov.Shape([OUTPUTS, COLS // group, group]), ov.Type.u4))
    scales = ops.constant(rng.uniform(0.01, 0.02, (OUTPUTS, COLS // group, 1)).astype(np.float16))
    eights = np.full(OUTPUTS * COLS // group // 2, 0x88, dtype=np.uint8)
    zeros = ops.convert(ops.constant(ov.Tensor(eights, ov.Shape([OUTPUTS, COLS // group, 1]), ov.Type.u4)), np.float16)
    f16 = ops.convert(codes, np.float16)
    weights = ops.reshape(ops.multiply(ops.subtract(f16, zeros), scales), np.array([OUTPUTS, COLS]), False)
    data = ops.parameter(list(x.shape), np.float32)
    y = ops.matmul(data, ops.convert(weights, np.float32), False, True)
    config = {"INFERENCE_NUM_THREADS": 1, "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(group)}
    request = ov.Core().compile_model(ov.Model([y], [data], "gemm"), "CPU", config).create_infer_request()
    return lambda: request.infer({0: x}, share_inputs=True, share_outputs=True)


def ours(program, rounds):
    if program is None:
        return None
    text = subprocess.run([program, "0", str(rounds), "w4g128"], capture_output=True, text=True, check=True).stdout
    print(text, end="")
    line = re.search(r"gemm w4g128 .*M=512 +([\d.]+) GOP/s +([\d.]+) of", text)
    return float(line[1]) / float(line[2])


def main():
    program = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else None
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    peak = ours(program, rounds)

    def show(name, m, seconds):
        rate = 2.0 * m * OUTPUTS * COLS / seconds * 1e-9
        share = f"  {rate / peak:.3f} of int8 peak" if peak else ""
        print(f"gemm {name:<40} M={m:<4} {rate:8.1f} GOP/s{share}")

    for m in (32, 128, 512):
        if np is None:
            break
        x = np.random.default_rng(2).standard_normal((m, COLS)).astype(np.float32)
        for group in (32, 128):
            if onnx and ort:
                for accuracy in (4, 0):
                    name = f"onnxruntime {ort.__version__} g{group} accuracy {accuracy}"
                    show(name, m, median_seconds(onnxruntime_call(group, accuracy, x), rounds))
            if ov:
                name = f"openvino {ov.__version__.split('-')[0]} u4 g{group}"
                show(name, m, median_seconds(openvino_call(group, x), rounds))
    ours(program, rounds)


main()
