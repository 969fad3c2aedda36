#!/usr/bin/env python3
"""The packages that own the checkpoints read what nbit wrote, and write what nbit reads.

  peers.py OURS THEIRS     OURS: the file of `peers write`; THEIRS: made here, for `peers read`

Each kind is tried by its own package; one that is not installed is named and left out. Exit code 1: numbers differ.
"""
import importlib.metadata
import importlib.util
import pathlib
import sys
import types

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

OUT, IN, GROUP = 64, 256, 128
failed, theirs = [], {}


def version(package):
    return importlib.metadata.version(package)


def same(kind, package, ours, peer):
    """The peer's numbers against ours, which are rounded as the peer rounds: its own element type."""
    equal = int((ours.to(peer.dtype) == peer).sum())
    print(f"  {kind:8} {package} {version(package)}: reads {equal} of {ours.numel()} of our values equal")
    if equal != ours.numel():
        failed.append(kind)


def weights(seed):
    return torch.randn(OUT, IN, generator=torch.Generator().manual_seed(seed)) * 0.05


def parameters(w, most=15):
    """Scales, zeros and codes up to `most` of groups along the inputs, [out, groups]."""
    groups = w.reshape(OUT, -1, GROUP)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = ((high - low) / most).half()
    zero = torch.round(-low / scale.float()).clamp(0, most).to(torch.int32)
    code = torch.round(groups / scale.float()[..., None] + zero[..., None]).clamp(0, most).to(torch.int32)
    return scale, zero, code.reshape(OUT, IN)


def keep(kind, tensors, values):
    theirs.update({f"{kind}.{k}": v.contiguous() for k, v in tensors.items()})
    theirs[f"{kind}.values"] = values.float().contiguous()


def compressed_tensors(ours):
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor as compressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(num_bits=4, group_size=GROUP, strategy="group", symmetric=False))
    state = {k: v for k, v in ours.items() if k != "values"}
    same("ct", "compressed-tensors", ours["values"], compressor.decompress(state, scheme)["weight"])
    scale, zero, code = parameters(weights(11))
    dense = (code - zero.repeat_interleave(GROUP, 1)) * scale.float().repeat_interleave(GROUP, 1)
    made = compressor.compress({"weight": dense.half(), "weight_scale": scale, "weight_zero_point": (zero - 8).to(torch.int8)}, scheme)
    keep("ct", made, compressor.decompress(dict(made), scheme)["weight"])


def bitsandbytes(ours4, ours8):
    import bitsandbytes.functional as f

    state = f.QuantState.from_dict({k.removeprefix("weight."): v for k, v in ours4.items() if k.startswith("weight.")}, device="cpu")
    same("nf4", "bitsandbytes", ours4["values"], f.dequantize_4bit(ours4["weight"], state))
    same("int8", "bitsandbytes", ours8["values"], f.int8_vectorwise_dequant(ours8["weight"], ours8["SCB"]))
    packed, state = f.quantize_4bit(weights(12), blocksize=64, quant_type="nf4")
    made = {"weight." + k: v for k, v in state.as_dict(packed=True).items()}
    keep("nf4", {"weight": packed, **made}, f.dequantize_4bit(packed, state))
    code, scale, _ = f.int8_vectorwise_quant(weights(13).half())
    keep("int8", {"weight": code, "SCB": scale}, f.int8_vectorwise_dequant(code, scale))


def hqq(ours):
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    def layer(state):
        made = HQQLinear(None, None, compute_dtype=torch.float32, device="cpu")
        made.load_state_dict(state)
        return made

    same("hqq", "hqq", ours["values"], layer({k: v for k, v in ours.items() if k != "values"}).dequantize().reshape(OUT, IN))
    linear = torch.nn.Linear(IN, OUT, bias=False)
    linear.weight.data = weights(14)
    made = HQQLinear(linear, BaseQuantizeConfig(nbits=4, group_size=64, axis=1), compute_dtype=torch.float32, device="cpu")
    keep("hqq", {k: v for k, v in made.state_dict().items() if v is not None}, made.dequantize().reshape(OUT, IN))


def awq_part(name):
    """A file of the package: importing the package itself wants transformers of its last year and datasets."""
    root = pathlib.Path(str(importlib.metadata.distribution("autoawq").locate_file("awq")))
    for parent in ("awq", "awq.utils", "awq.modules", "awq.modules.linear"):
        if parent not in sys.modules:
            sys.modules[parent] = types.ModuleType(parent)
            sys.modules[parent].__path__ = [str(root.joinpath(*parent.split(".")[1:]))]
    spec = importlib.util.spec_from_file_location(name, root.joinpath(*name.split(".")[1:]).with_suffix(".py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def autoawq(ours):
    packing, module, utils = awq_part("awq.utils.packing_utils"), awq_part("awq.utils.module"), awq_part("awq.utils.utils")
    gemm = awq_part("awq.modules.linear.gemm")
    peer = packing.dequantize_gemm(ours["qweight"], ours["qzeros"], ours["scales"], 4, GROUP)
    same("awq", "autoawq", ours["values"], peer.t())
    scale, zero, code = parameters(weights(15))
    dense = (code - zero.repeat_interleave(GROUP, 1)) * scale.float().repeat_interleave(GROUP, 1)
    linear = torch.nn.Linear(IN, OUT, bias=False)
    linear.weight.data = dense
    made = gemm.WQLinear_GEMM.from_linear(linear, 4, GROUP, scales=scale.t().float(), zeros=zero.t().float())
    keep("awq", {"qweight": made.qweight, "qzeros": made.qzeros, "scales": made.scales},
         packing.dequantize_gemm(made.qweight, made.qzeros, made.scales, 4, GROUP).t())


def gptqmodel(kinds):
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.quantization.config import FORMAT
    from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module, convert_gptq_v2_to_v1_format_module

    def layer(kind):
        return TorchLinear(bits=5 if kind == "planar" else 4, group_size=GROUP, sym=False, desc_act=False, in_features=IN,
                           out_features=OUT, bias=False, pack_dtype=torch.int32, register_buffers=True,
                           format=FORMAT.GPTQ_P if kind == "planar" else FORMAT.GPTQ)

    names = ("qweight", "qzeros", "scales", "g_idx")

    def packed(kind, seed, most):
        scale, zero, code = parameters(weights(seed), most)
        linear = torch.nn.Linear(IN, OUT, bias=False)
        linear.weight.data = (code - zero.repeat_interleave(GROUP, 1)) * scale.float().repeat_interleave(GROUP, 1)
        made = layer(kind)
        made.pack(linear, scale, zero, g_idx=(torch.arange(IN) // GROUP).to(torch.int32))
        return made

    for kind, ours in kinds.items():
        made = layer(kind)
        for name in names:
            getattr(made, name).copy_(ours[name])
        if kind == "gptq_v1":
            convert_gptq_v1_to_v2_format_module(module=made, bits=4, pack_dtype=torch.int32)
        same(kind, "gptqmodel", ours["values"], made.dequantize_weight().t())
    made = packed("planar", 17, 31)
    keep("planar", {n: getattr(made, n).clone() for n in names}, made.dequantize_weight().t())
    made = packed("gptq_v2", 16, 15)
    values = made.dequantize_weight().t()
    keep("gptq_v2", {n: getattr(made, n).clone() for n in names}, values)
    convert_gptq_v2_to_v1_format_module(module=made, quantize_config=types.SimpleNamespace(bits=4, pack_dtype=torch.int32))
    keep("gptq_v1", {n: getattr(made, n).clone() for n in names}, values)


def torchao(ours):
    from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

    flat = {"l._weight_qdata": ours["qdata"], "l._weight_scale_and_zero": ours["scale_and_zero"]}
    meta = {"tensor_names": '["l.weight"]',
            "l.weight": '{"_type": "Int4TilePackedTo4dTensor", "_data": {"block_size": [1, 64], "shape": [64, 256]},'
                        ' "_tensor_data_names": ["qdata", "scale_and_zero"]}'}
    made = unflatten_tensor_state_dict(flat, meta)[0]["l.weight"]
    print(f"  torchao  torchao {version('torchao')}: opens ours as {type(made).__name__} {tuple(made.shape)}; its kernels need a GPU")
    if tuple(made.shape) != (OUT, IN) or not torch.equal(made.qdata, ours["qdata"]):
        failed.append("torchao")


def main():
    with safe_open(sys.argv[1], "pt") as f:
        tensors = {k: f.get_tensor(k) for k in f.keys()}
    assert all(torch.equal(v, tensors[k]) for k, v in load_file(sys.argv[1]).items())
    print(f"  file     safetensors {version('safetensors')}: opens ours, {len(tensors)} tensors")
    kinds = {}
    for name, tensor in tensors.items():
        kind, rest = name.split(".", 1)
        kinds.setdefault(kind, {})[rest] = tensor
    calls = {"compressed-tensors": lambda: compressed_tensors(kinds["ct"]), "bitsandbytes": lambda: bitsandbytes(kinds["nf4"], kinds["int8"]),
             "hqq": lambda: hqq(kinds["hqq"]), "autoawq": lambda: autoawq(kinds["awq"]),
             "gptqmodel": lambda: gptqmodel({k: kinds[k] for k in ("gptq_v1", "gptq_v2", "planar")}), "torchao": lambda: torchao(kinds["torchao"])}
    for package, call in calls.items():
        try:
            version(package)
        except importlib.metadata.PackageNotFoundError:
            print(f"  skipped: {package} is not installed")
            continue
        try:
            call()
        except ImportError as problem:
            print(f"  skipped: {package} {version(package)} cannot be imported here: {problem}")
    save_file(theirs, sys.argv[2])
    if failed:
        sys.exit(f"numbers differ: {', '.join(failed)}")


main()
