#!/usr/bin/env python3
"""Opens the tool's GGUF files with llama.cpp (llama-cpp-python) and with gguf (PyPI) and compares what they say with us.

  check.py NBIT MODEL_FOLDER WORK_FOLDER

For every type: gguf decodes each tensor to exactly our floats; llama.cpp's perplexity, top choices and greedy text agree with
our engine's. llama.cpp rounds activations to 8 bits for quantized weights (to f16 or bf16 for those), we do not, so its
figures may differ by the bounds below.
"""
import json
import math
import pathlib
import subprocess
import sys

import gguf
import llama_cpp
import numpy as np

TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
WINDOWS, CANDIDATES, PROMPTS, PROMPT, MORE = 4, 16, 4, 16, 24
# Relative difference of perplexities over WINDOWS windows.
PERPLEXITY = {"F32": 2e-5, "F16": 1e-3, "BF16": 3e-3}
PERPLEXITY_QUANTIZED = 4e-3
# A greedy token of ours may lie this far below llama.cpp's best logit: the same text up to ties.
TIE = {"F32": 1e-3, "F16": 0.02, "BF16": 0.05}
TIE_QUANTIZED = 0.12


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\nended with {done.returncode}: {done.stderr}")
    return done.stdout


def read_ids(path):
    raw = path.read_bytes()
    n = int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8 : 8 + n])["ids"]
    first, last = entry["data_offsets"]
    return np.frombuffer(raw[8 + n + first : 8 + n + last], dtype="<i4").reshape(entry["shape"])


def compare_tensors(nbit, path, work):
    """gguf's floats against ours, which are what quantizing to F32 decodes."""
    plain = work / "decoded.gguf"
    run(nbit, "quantize", path, "-o", plain, "--type", "F32", "--requantize")
    ours = {t.name: t for t in gguf.GGUFReader(plain).tensors}
    weights = 0
    for t in gguf.GGUFReader(path).tensors:
        theirs = gguf.dequantize(t.data, t.tensor_type).astype(np.float32).reshape(-1)
        mine = np.asarray(ours[t.name].data, dtype=np.float32).reshape(-1)
        if theirs.tobytes() != mine.tobytes():
            worst = float(np.max(np.abs(theirs - mine)))
            sys.exit(f"{path.name}: {t.name}: gguf decodes other floats than we do, up to {worst}")
        weights += theirs.size
    plain.unlink()
    return weights


def log_softmax(v):
    v = v.astype(np.float64)
    v -= v.max(axis=-1, keepdims=True)
    return v - np.log(np.exp(v).sum(axis=-1, keepdims=True))


def continuation(model, prompt):
    """llama.cpp's greedy text, token by token as a chat would run it."""
    model.reset()
    return [int(t) for t, _ in zip(model.generate(prompt, temp=0.0, top_k=1, repeat_penalty=1.0), range(MORE))]


def decided_prompts(model, ids):
    """The windows whose greedy text hangs least on ties: by the smallest lead of a best token over the second."""
    leads = []
    for window in range(CANDIDATES):
        prompt = ids[window, :PROMPT].tolist()
        text = prompt + continuation(model, prompt)
        model.reset()
        model.eval(text)
        scores = np.sort(np.array(model.scores[PROMPT - 1 : PROMPT + MORE - 1]), axis=1)
        leads.append(float((scores[:, -1] - scores[:, -2]).min()))
    return sorted(sorted(range(CANDIDATES), key=lambda w: -leads[w])[:PROMPTS])


def compare_model(nbit, path, kind, model, ids, folder, prompts):
    ours = json.loads(run(nbit, "eval", path, "--ids", folder / "dev_ids.safetensors", "--windows", str(WINDOWS), "--json"))
    losses = []
    for window in ids[:WINDOWS]:
        model.reset()
        model.eval(window[:-1].tolist())
        scores = log_softmax(np.array(model.scores[: len(window) - 1]))
        losses.append(-scores[np.arange(len(window) - 1), window[1:]])
    theirs = math.exp(float(np.mean(np.concatenate(losses))))
    apart = abs(theirs / ours["ppl"] - 1)
    bound = PERPLEXITY.get(kind, PERPLEXITY_QUANTIZED)
    if not apart <= bound:
        sys.exit(f"{path.name}: perplexity {theirs} in llama.cpp, {ours['ppl']} in ours: {apart:.2e} apart, bound {bound}")

    tie = TIE.get(kind, TIE_QUANTIZED)
    widest, equal = 0.0, 0
    for prompt in prompts:
        text = json.loads(run(nbit, "generate", path, "--ids", folder / "dev_ids.safetensors", "--window", str(prompt),
                              "--prompt-tokens", str(PROMPT), "--tokens", str(MORE), "--json"))
        own = continuation(model, text["prompt"])
        if own == text["ids"]:
            equal += 1
            continue
        # Up to the first difference the texts are one; there llama.cpp must see a tie.
        at = next(i for i in range(MORE) if own[i] != text["ids"][i])
        model.reset()
        model.eval(text["prompt"] + own[:at])
        scores = np.array(model.scores[PROMPT + at - 1])
        gap = float(scores.max() - scores[text["ids"][at]])
        widest = max(widest, gap)
        if gap > tie:
            sys.exit(f"{path.name}: prompt {prompt}: another text from token {at}, where ours is {gap} below llama.cpp's best, bound {tie}")
    if equal == 0 or (kind in ("F32", "F16") and equal < PROMPTS):
        sys.exit(f"{path.name}: only {equal} of {PROMPTS} greedy texts are equal")
    return ours["ppl"], theirs, apart, widest, equal


def main():
    nbit, folder, work = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    work.mkdir(parents=True, exist_ok=True)
    ids = read_ids(folder / "dev_ids.safetensors")
    calib = ["--calib", folder / "calib_ids.safetensors", "--calib-windows", "8"]
    cases = [(t, t, ["--type", t, "--output-type", t, "--pure"]) for t in TYPES]
    cases += [(f"gptq-{t}", t, ["--type", t, "--solver", "gptq", *calib]) for t in ("Q3_K", "Q4_K", "Q4_0")]
    cases += [("search-Q3_K", "Q3_K", ["--type", "Q3_K", "--solver", "search", *calib])]
    cases += [("awq-Q4_0", "Q4_0", ["--type", "Q4_0", "--solver", "awq", *calib])]
    cases += [("mixed", "Q4_K", ["--type", "Q4_K", "--override", "ffn_down=Q6_K", "--override", "attn_(q|k)=Q8_0"])]
    print(f"{'file':14} {'weights':>8} {'ours':>9} {'llama.cpp':>9} {'apart':>8} {'tie':>7} equal texts")
    exact, prompts = 0, None
    for name, kind, options in cases:
        path = work / f"{name}.gguf"
        run(nbit, "quantize", folder, "-o", path, *options)
        weights = compare_tensors(nbit, path, work)
        model = llama_cpp.Llama(str(path), n_ctx=512, n_batch=512, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False)
        prompts = prompts or decided_prompts(model, ids)  # of the first file, the unquantized model
        ours, theirs, apart, gap, equal = compare_model(nbit, path, kind, model, ids, folder, prompts)
        exact += equal
        print(f"{name:14} {weights:8} {ours:9.4f} {theirs:9.4f} {apart:8.1e} {gap:7.4f} {equal}/{PROMPTS}", flush=True)
        del model
        path.unlink()
    if exact * 4 < len(cases) * PROMPTS * 3:
        sys.exit(f"only {exact} of {len(cases) * PROMPTS} greedy texts are equal, wanted three quarters")
    print(f"count: {len(cases)} files opened by llama.cpp {llama_cpp.__version__} (python) and gguf; {exact} of {len(cases) * PROMPTS} greedy texts equal, the others up to a tie")


main()
