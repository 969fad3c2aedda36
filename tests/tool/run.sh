#!/bin/sh
# The command-line tool from outside:  sh tests/tool/run.sh PATH_OF_NBIT
# Exit codes, JSON, round trips on the bundled model, bad input and interrupted runs that leave nothing behind.
set -u
nbit=${1:?usage: run.sh PATH_OF_NBIT}
root=$(cd "$(dirname "$0")/../.." && pwd)
data=$root/examples/data
work=$(mktemp -d "${TMPDIR:-/tmp}/nbit-tool-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cases=0 failed=0

fail() { printf 'FAILED: %s\n' "$*"; failed=$((failed + 1)); }
# expect CODE WORDS... : runs nbit with the words; its error text lies in $work/err afterwards.
expect() {
  wanted=$1
  shift
  cases=$((cases + 1))
  "$nbit" "$@" >"$work/out" 2>"$work/err"
  found=$?
  [ "$found" = "$wanted" ] || { fail "nbit $* ended with $found, wanted $wanted: $(cat "$work/err")"; return 1; }
}
# says TEXT : the last error text holds it.
says() {
  cases=$((cases + 1))
  grep -qF -- "$1" "$work/err" || fail "the error text lacks '$1': $(cat "$work/err")"
}
# nothing_at PATH : neither the output nor anything half written lies there.
nothing_at() {
  cases=$((cases + 1))
  for left in "$1" "$1".*; do [ -e "$left" ] && fail "$left was left behind"; done
}
json() { cases=$((cases + 1)); python3 -c "$1" <"$work/out" || fail "JSON: $1"; }

# Usage
expect 1
expect 0 --help
expect 0 --version
for command in inspect quantize convert imatrix calibrate plan eval generate demo; do expect 0 "$command" --help; done
expect 1 transmogrify; says "transmogrify"; says "allowed"
expect 1 convert; says "one input"
expect 1 quantize --frobnicate "$data" -o "$work/x.gguf"; says "--frobnicate"
expect 1 quantize "$data"; says "--output"
expect 1 quantize "$data" -o "$work/x.gguf" --type Q9_K; says "Q9_K"; says "Q4_K"
expect 1 quantize "$data" -o "$work/x.gguf" --solver gptq; says "--calib"
expect 1 quantize "$data" -o "$work/x.gguf" --threads many; says "many"
expect 1 quantize "$data" -o "$work/x.gguf" --override 'ffn(=Q4_K'; says "a group"
expect 1 quantize "$data" -o "$work/x.gguf" --override 'ffn_down'; says "PATTERN=TYPE"
expect 1 quantize "$data" -o "$work/x.gguf" --solver outliers; says "no"; says "allowed: rtn"
expect 1 quantize "$data" -o "$work/x.gguf" --ragged wrap; says "refuse, pad, fallback"
expect 1 quantize "$data" -o "$work/x.gguf" --budget 4500; says "--measured"
expect 1 quantize "$data" -o "$work/x" --format awq --type Q4_K_M; says "only with --format gguf"
expect 1 eval "$data" --ids "$data/dev_ids.safetensors" --layers; says "--reference"
expect 1 eval "$data"; says "--ids"
nothing_at "$work/x.gguf"

# Statistics: written on the way or not, the same bytes; a sum of files; what is not to be done
ids=$data/calib_ids.safetensors
expect 0 calibrate "$data" --ids "$ids" --windows 9 -o "$work/a.st"
expect 0 calibrate "$data" --ids "$ids" --windows 9 --save-every 0 -o "$work/b.st"
cmp -s "$work/a.st" "$work/b.st" || fail "statistics depend on how often they are written"
expect 0 calibrate "$data" --ids "$ids" --windows 9 --resume -o "$work/b.st"
cmp -s "$work/a.st" "$work/b.st" || fail "resuming what is done changed it"
expect 2 calibrate "$data" --ids "$ids" --windows 8 --resume -o "$work/b.st"; says "another text"
expect 0 calibrate "$data" --ids "$ids" --windows 2 -o "$work/few.st"
cases=$((cases + 1)); grep -qF "6 layers have fewer tokens than columns (blk.0.ffn_out: 514 for 768)" "$work/out" || fail "few tokens are not said"
expect 4 calibrate "$data" --ids "$ids" --memory 3 -o "$work/c.st"; says "--memory"
expect 0 calibrate "$data" --ids "$ids" --dry-run -o "$work/c.st"
nothing_at "$work/c.st"
expect 0 calibrate --merge "$work/a.st" "$work/b.st" -o "$work/sum.st"
expect 2 calibrate --merge "$ids" -o "$work/c.st"; says "statistics"
expect 1 plan "$data"; says "--ids"

# A plan: every matrix once, a tied head together with its embedding; a measurement serves any budget
mkdir "$work/tied"
python3 - "$data" "$work/tied" <<'END' || fail "no model with a tied head"
import json, shutil, struct, sys
data, to = sys.argv[1:]
raw = open(f"{data}/model_bf16.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header, at, body, kept = json.loads(raw[8:8 + size]), 0, b"", {}
for name, t in header.items():
    if name in ("__metadata__", "lm_head.weight"): continue
    first, last = t["data_offsets"]
    kept[name] = dict(t, data_offsets=[len(body), len(body) + last - first])
    body += raw[8 + size + first:8 + size + last]
text = json.dumps(kept).encode()
open(f"{to}/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + body)
config = json.load(open(f"{data}/config.json"))
json.dump(dict(config, tie_word_embeddings=True), open(f"{to}/config.json", "w"))
shutil.copy(f"{data}/tokenizer.json", to)
END
for model in "$data" "$work/tied"; do
  expect 0 plan "$model" --ids "$ids" --windows 1 --types Q4_K,Q6_K --save "$work/measured.json"
  expect 0 plan --measured "$work/measured.json" --budget 5000 --floor ffn_down=6 --output "$work/plan.json"
  cases=$((cases + 1)); python3 - "$work" "$model" <<'END' || fail "the plan of $model"
import json, sys
measured, plan = (json.load(open(f"{sys.argv[1]}/{f}.json")) for f in ("measured", "plan"))
tied = sys.argv[2].endswith("tied")
items = {i["tensors"][0]: i for i in measured["items"]}
assert len(items) == (43 if tied else 44) and all(len(i["tensors"]) == 1 for i in items.values()), items.keys()
assert items["token_embd.weight"]["role"] == ("output" if tied else "token_embd") and ("output.weight" in items) != tied
weights = sum(i["weights"] for i in items.values())
assert plan["bytes"] <= weights * 5 / 8 and set(plan["types"]) == set(items)
assert all(t == "Q6_K" for n, t in plan["types"].items() if "ffn_down" in n) and "Q4_K" in plan["types"].values()
q4, q6 = (c["loss"] for c in items["token_embd.weight"]["choices"])
assert 0 < q6 < q4
END
done

# A round trip: quantize, inspect, eval, generate
expect 0 quantize "$data" -o "$work/q4.gguf" --type q4_k --pure --output-type Q6_K --override 'ffn_down=Q6_K' --json
json 'import json, sys; j = json.load(sys.stdin); assert j["quantized_weights"] == 5767168 and 4 < j["bits_per_weight"] < 6, j'
expect 0 inspect "$work/q4.gguf" --json
json 'import json, sys
(f,) = json.load(sys.stdin)
t = {x["name"]: x for x in f["tensors"]}
assert f["keys"]["general.architecture"] == "llama" and len(f["keys"]["tokenizer.ggml.tokens"]) == 2048
assert len(t) == 57 and t["blk.3.ffn_down.weight"]["type"] == "Q6_K" and t["blk.3.ffn_up.weight"]["type"] == "Q4_K"
assert t["output.weight"]["type"] == "Q6_K" and t["blk.0.attn_norm.weight"]["type"] == "F32"
assert t["token_embd.weight"]["shape"] == [256, 2048]
assert sum(-(-x["bytes"] // 32) * 32 for x in f["tensors"]) == f["bytes"] - f["data_offset"]'
expect 0 inspect "$work/q4.gguf"
expect 0 inspect "$data"
expect 0 eval "$work/q4.gguf" --ids "$data/dev_ids.safetensors" --windows 4 --reference "$data" --json
json 'import json, sys; j = json.load(sys.stdin); assert 0 < j["kl"] < 0.02 and 27 < j["ppl"] < 30 and j["predictions"] == 1024, j'
expect 0 eval "$data" --ids "$data/dev_ids.safetensors" --windows 4 --reference "$data" --json
json 'import json, sys; j = json.load(sys.stdin); assert abs(j["kl"]) < 1e-6 and j["top1"] == 1, j'
expect 0 generate "$work/q4.gguf" --prompt "It was a" --tokens 4
expect 0 generate "$work/q4.gguf" --ids "$data/dev_ids.safetensors" --tokens 4 --json
json 'import json, sys; j = json.load(sys.stdin); assert len(j["prompt"]) == 16 and len(j["ids"]) == 4, j'

# A mix is llama.cpp's rules; a dry run knows its types and size; a budget takes what was measured
expect 0 quantize "$data" -o "$work/mix_q.gguf" --mix Q4_K_M --dry-run --json; nothing_at "$work/mix_q.gguf"
cp "$work/out" "$work/dry.json"
expect 0 quantize "$data" -o "$work/mix_q.gguf" --mix Q4_K_M --json
cases=$((cases + 1)); python3 -c "
import json, os
dry, done = json.load(open('$work/dry.json')), json.load(open('$work/out'))
assert dry['types'] == done['types'] and dry['bytes'] == done['bytes'] == os.path.getsize('$work/mix_q.gguf'), (dry, done)
t = done['types']
assert t['blk.2.attn_v.weight'] == 'Q6_K' and t['blk.0.attn_v.weight'] == 'Q4_K' and t['output.weight'] == 'Q6_K', t" || fail "a mix"
cat >"$work/measured.json" <<'END'
{"format": "nbit-measurement", "version": 1, "items": [{"tensors": ["blk.0.ffn_up.weight"], "role": "ffn_up", "weights": 1000,
 "choices": [{"format": "Q4_K", "bytes": 562, "loss": 0.5}, {"format": "Q8_0", "bytes": 1062, "loss": 0.1}]}]}
END
expect 0 quantize "$data" -o "$work/x.gguf" --measured "$work/measured.json" --budget 9000 --dry-run --json
json 'import json, sys; assert json.load(sys.stdin)["types"]["blk.0.ffn_up.weight"] == "Q8_0"'
expect 4 quantize "$data" -o "$work/x.gguf" --calib "$ids" --memory 20; says "--memory"; nothing_at "$work/x.gguf"

# What each matrix and block loses
expect 0 eval "$work/q4.gguf" --ids "$data/dev_ids.safetensors" --windows 2 --reference "$data" --layers --json
json 'import json, sys
l = {x["name"]: x for x in json.load(sys.stdin)["layers"]}
assert l["blk.0.ffn_down.weight"]["type"] == "Q6_K" and 0 < l["blk.0.ffn_down.weight"]["loss"] < l["blk.0.ffn_up.weight"]["loss"] < 0.02, l
assert 0 < l["blk.0"]["loss"] < 0.02'

# Rows that are no whole blocks: a model of 200 columns, refused or listed
python3 - "$work/ragged.gguf" <<'END'
import struct, sys
def s(t): return struct.pack("<Q", len(t)) + t.encode()
head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + s("general.architecture") + struct.pack("<I", 8) + s("other")
head += s("blk.0.ffn_up.weight") + struct.pack("<IQQIQ", 2, 96, 32, 0, 0)
head += b"\0" * (-len(head) % 32)
open(sys.argv[1], "wb").write(head + struct.pack("<3072f", *[(i % 17 - 8) / 100 for i in range(3072)]))
END
for command in "quantize" "convert --allow-lossy"; do
  expect 2 $command "$work/ragged.gguf" -o "$work/x.gguf" --type Q4_K; says "blk.0.ffn_up.weight"; says "multiple of 256"
  expect 2 $command "$work/ragged.gguf" -o "$work/x.gguf" --type Q4_K --ragged pad; says "padded"; nothing_at "$work/x.gguf"
  done_code=0; [ "$command" = quantize ] || done_code=5
  expect $done_code $command "$work/ragged.gguf" -o "$work/x.gguf" --type Q4_K --ragged fallback
  cases=$((cases + 1)); grep -q "Q5_0.*rows do not fit Q4_K" "$work/out" || fail "$command lists no fallback: $(cat "$work/out")"
  expect $done_code $command "$work/ragged.gguf" -o "$work/x.gguf" --type Q4_K --ragged Q8_0
  cases=$((cases + 1)); grep -q "Q8_0.*rows do not fit Q4_K" "$work/out" || fail "$command lists no fallback: $(cat "$work/out")"
  rm "$work/x.gguf"
done

# The same bytes for any number of threads, also where a solver works
for t in 1 2; do
  expect 0 quantize "$data" -o "$work/t$t.gguf" --type Q3_K --override 'blk\.[1-9]=F16' --calib "$ids" --calib-windows 2 --threads $t
done
cases=$((cases + 1)); cmp -s "$work/t1.gguf" "$work/t2.gguf" || fail "the codes depend on the number of threads"

# GGUF in, GGUF out: keys survive, quantized weights only on request
expect 2 quantize "$work/q4.gguf" -o "$work/again.gguf" --type Q3_K; says "--requantize"; says "Q4_K"
nothing_at "$work/again.gguf"
expect 0 quantize "$work/q4.gguf" -o "$work/again.gguf" --type Q8_0 --requantize
for how in hqq "sign_round --calib $ids --calib-windows 1"; do
  expect 0 quantize "$data" -o "$work/again.gguf" --type Q4_0 --pure --solver $how --override 'blk\.[1-9]=F16' --override ffn=F16
  expect 0 eval "$work/again.gguf" --ids "$data/dev_ids.safetensors" --windows 2 --reference "$data" --json
  json 'import json, sys; j = json.load(sys.stdin); assert 0 < j["kl"] < 0.05, j'
done
expect 1 quantize "$work/q4.gguf" -o "$work/q4.gguf" --type Q8_0 --requantize; says "is the input"

# A GPTQ checkpoint and back into the engine
expect 0 quantize "$data" -o "$work/ckpt" --format gptq --bits 4 --passes 0 --calib "$ids" --calib-windows 2
expect 0 eval "$work/ckpt" --ids "$data/dev_ids.safetensors" --windows 4 --reference "$data" --json
json 'import json, sys; j = json.load(sys.stdin); assert 0 < j["kl"] < 0.02, j'
cases=$((cases + 1)); python3 -c "
import json
q = json.load(open('$work/ckpt/quantize_config.json'))
assert q == json.load(open('$work/ckpt/config.json'))['quantization_config']
assert (q['bits'], q['group_size'], q['checkpoint_format']) == (4, 128, 'gptq')" || fail "the config of the checkpoint"
expect 1 quantize "$data" -o "$work/ckpt" --format gptq; says "exists"
expect 2 quantize "$work/ckpt" -o "$work/x.gguf"; says "quantized checkpoint already"
for format in gptq_planar awq compressed-tensors hqq; do
  expect 0 quantize "$data" -o "$work/ckpt_$format" --format $format --solver hqq
  expect 0 eval "$work/ckpt_$format" --ids "$data/dev_ids.safetensors" --windows 1 --reference "$data" --json
  cp "$work/out" "$work/ckpt_$format.json"
done
cases=$((cases + 1)); python3 -c "
import json
kl = [json.load(open(f'$work/ckpt_{f}.json'))['kl'] for f in ('gptq_planar', 'awq', 'compressed-tensors', 'hqq')]
assert 0 < kl[0] < 0.05 and max(kl) - min(kl) < 1e-6, kl" || fail "one model in four checkpoints"
expect 1 quantize "$data" -o "$work/x" --format gptq --bits 7; says "not compiled in"; nothing_at "$work/x"

# Widths that a plan mixes: the same budget is better spent than on one width, and GPTQModel's config says which they are
expect 0 plan "$data" --ids "$ids" --windows 1 --types w2g128,w3g128,w4g128 --save "$work/widths.json" --budget 3200 --output "$work/mixed.json"
expect 0 quantize "$data" -o "$work/mixed" --format gptq --bits 3 --plan "$work/mixed.json" --solver rtn
expect 0 quantize "$data" -o "$work/three" --format gptq --bits 3 --solver rtn
for folder in mixed three; do
  expect 0 eval "$work/$folder" --ids "$data/dev_ids.safetensors" --windows 4 --reference "$data" --json
  cp "$work/out" "$work/$folder.eval"
done
expect 0 convert "$work/mixed" -o "$work/mixed.gguf" --type F32
cases=$((cases + 1)); python3 - "$work" <<'END' || fail "mixed widths"
import json, os, re, sys
work = sys.argv[1]
read = lambda name: json.load(open(f"{work}/{name}"))
types, rules = read("mixed.json")["types"], read("mixed/quantize_config.json")["dynamic"]
assert len(types) == len(rules) == 42 and {r["bits"] for r in rules.values()} == {int(t[1]) for t in types.values()}
assert len({r["bits"] for r in rules.values()}) > 1 and all(k.startswith("+:") for k in rules)
down = [r for k, r in rules.items() if re.match(k[2:], "model.layers.3.mlp.down_proj")]
assert len(down) == 1 and down[0]["bits"] == int(types["blk.3.ffn_down.weight"][1]), down
size = [os.path.getsize(f"{work}/{f}/model.safetensors") for f in ("mixed", "three")]
assert size[0] < 1.01 * size[1], size
kl = [read(f"{f}.eval")["kl"] for f in ("mixed", "three")]
assert 0 < kl[0] < kl[1], kl
END
expect 1 plan "$data" --ids "$ids" --types w3g128,Q4_K; says "not both"
expect 1 plan "$data" --ids "$ids" --types w3x; says "w3g128"
expect 1 quantize "$data" -o "$work/x" --format awq --plan "$work/mixed.json"; says "one width"; nothing_at "$work/x"

# An importance matrix in both forms: the same codes, other ones than without
for form in gguf dat; do
  expect 0 imatrix "$data" --ids "$data/calib_ids.safetensors" --windows 2 -o "$work/im.$form"
  expect 0 quantize "$data" -o "$work/im_$form.gguf" --type Q4_K --imatrix "$work/im.$form"
done
expect 0 quantize "$data" -o "$work/im_none.gguf" --type Q4_K
python3 - "$work" <<'END' || fail "codes with an importance matrix"
import sys
a, b, none = (open(f"{sys.argv[1]}/im_{x}.gguf", "rb").read() for x in ("gguf", "dat", "none"))
tail = len(none) // 2  # weights, behind all keys
same = sum(x == y for x, y in zip(a[-tail:], b[-tail:]))
other = sum(x == y for x, y in zip(a[-tail:], none[-tail:]))
assert same > 0.999 * tail and other < 0.98 * tail, (same / tail, other / tail)
END
cases=$((cases + 1))
expect 1 quantize "$data" -o "$work/x.gguf" --imatrix "$work/im.dat" --solver search --calib "$ids"; says "--imatrix"
expect 1 quantize "$data" -o "$work/x.gguf" --imatrix "$work/im.dat" --solver awq; says "--calib"
expect 0 quantize "$data" -o "$work/x.gguf" --imatrix "$work/im.dat" --solver search --type IQ2_XS; rm "$work/x.gguf"
expect 2 quantize "$data" -o "$work/x.gguf" --type IQ2_XS; says "importance"; nothing_at "$work/x.gguf"
expect 1 quantize "$data" -o "$work/x.gguf" --imatrix "$work/im.dat" --solver gptq; says "that is search"
expect 0 quantize "$data" -o "$work/x.gguf" --solver hqq --type IQ2_S --override 'blk\.[1-9]=F16'; rm "$work/x.gguf"

# gptq on lattices: better than their own encoder; kicks lower the loss where inputs are the same, and say what was solved
two="--type IQ2_XS --pure --keep-embeddings --override blk.[1-9]=F16 --calib $ids --calib-windows 16"
kl_of() {
  expect 0 eval "$1" --ids "$data/dev_ids.safetensors" --windows 4 --reference "$data" --json
  python3 -c 'import json, sys; print(json.load(sys.stdin)["kl"])' <"$work/out"
}
expect 0 quantize "$data" -o "$work/two_search.gguf" $two --solver search; searched=$(kl_of "$work/two_search.gguf")
expect 0 quantize "$data" -o "$work/two_gptq.gguf" $two --json; cp "$work/out" "$work/two_gptq.json"
solved=$(kl_of "$work/two_gptq.gguf")
expect 0 quantize "$data" -o "$work/two_kicks.gguf" $two --kicks 2 --json
json 'import json, sys; s = json.load(sys.stdin)["solved"]; assert len(s) == 7 and all(m["kicks"] == 2 and m["tokens"] == 4112 and 0 < m["loss"] < m["loss_rounded"] for m in s.values()), s'
cases=$((cases + 1)); python3 - "$work/two_gptq.json" "$work/out" <<'END' || fail "kicks do not lower the loss"
import json, sys
before, after = (json.load(open(path))["solved"] for path in sys.argv[1:])
for name in ("q", "k", "v"):
    name = f"blk.0.attn_{name}.weight"
    assert after[name]["loss"] < before[name]["loss"], name
END
kicked=$(kl_of "$work/two_kicks.gguf")
cases=$((cases + 1)); python3 -c "assert 0 < $solved < $searched and 0 < $kicked < $searched" ||
  fail "IQ2_XS: search $searched, gptq $solved, with kicks $kicked"
expect 0 quantize "$data" -o "$work/two_time.gguf" $two --seconds 600000 --calib-windows 1 --dry-run
expect 1 quantize "$data" -o "$work/x.gguf" $two --seconds 10 --kicks 2; says "--seconds"; nothing_at "$work/x.gguf"
expect 1 quantize "$data" -o "$work/x.gguf" --seconds 10; says "--seconds"; nothing_at "$work/x.gguf"
expect 2 quantize "$data" -o "$work/x.gguf" --imatrix "$data/tokenizer.json"; nothing_at "$work/x.gguf"

# convert: exact or nothing; splits, shards, byte orders and spellings there and back
same() { cases=$((cases + 1)); cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
cat >"$work/tensors.py" <<'END'
import json, sys
def tensors(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8 : 8 + n])
    return {k: (v["dtype"], v["shape"], raw[8 + n + v["data_offsets"][0] : 8 + n + v["data_offsets"][1]])
            for k, v in head.items() if k != "__metadata__"}
a, b = tensors(sys.argv[1]), tensors(sys.argv[2])
assert a.keys() == b.keys(), a.keys() ^ b.keys()
for k in a:
    assert a[k] == b[k] or "norm" in k, k  # norms of a model become F32 in GGUF and stay so
END
same_tensors() { cases=$((cases + 1)); python3 "$work/tensors.py" "$1" "$2" || fail "tensors of $1 and $2"; }
expect 0 convert "$data" -o "$work/model.gguf"
expect 0 convert "$work/model.gguf" -o "$work/hf" --to safetensors
same_tensors "$data/model_bf16.safetensors" "$work/hf/model.safetensors"
expect 0 eval "$work/hf/model.safetensors" --ids "$data/dev_ids.safetensors" --windows 2 --reference "$work/model.gguf" --json
json 'import json, sys; j = json.load(sys.stdin); assert abs(j["kl"]) < 1e-6 and j["top1"] == 1, j'
expect 0 convert "$work/model.gguf" -o "$work/parts" --part-bytes 3M
expect 0 convert "$work/parts/model-00003-of-00005.gguf" -o "$work/whole.gguf"; same "$work/model.gguf" "$work/whole.gguf"
mv "$work/parts/model-00002-of-00005.gguf" "$work/parts/away"
expect 3 convert "$work/parts/model-00001-of-00005.gguf" -o "$work/x.gguf"; says "model-00002-of-00005.gguf"
nothing_at "$work/x.gguf"
expect 0 convert "$work/model.gguf" -o "$work/big.gguf" --order big
expect 2 quantize "$work/big.gguf" -o "$work/x.gguf"; says "big-endian"
expect 0 convert "$work/big.gguf" -o "$work/little.gguf"; same "$work/model.gguf" "$work/little.gguf"
expect 0 convert "$data" -o "$work/shards" --to safetensors --part-bytes 3M
expect 0 convert "$work/shards" -o "$work/joined" --to safetensors
same_tensors "$data/model_bf16.safetensors" "$work/joined/model.safetensors"
rm "$work/shards/model-00002-of-00005.safetensors"
expect 3 convert "$work/shards" -o "$work/x" --to safetensors; says "model-00002-of-00005.safetensors"; nothing_at "$work/x"
expect 2 convert "$work/model.gguf" -o "$work/x.gguf" --type Q4_K_M; says "allow-lossy"; nothing_at "$work/x.gguf"
expect 5 convert "$work/model.gguf" -o "$work/mix.gguf" --type Q4_K_M --allow-lossy
expect 5 convert "$work/model.gguf" -o "$work/x.gguf" --type Q4_K_M --allow-lossy --dry-run --json; nothing_at "$work/x.gguf"
json "import json, os, sys; j = json.load(sys.stdin); assert j['bytes'] == os.path.getsize('$work/mix.gguf') and not j['written'], j['bytes']"
expect 0 inspect "$work/mix.gguf" --json
json 'import json, sys
(f,) = json.load(sys.stdin)
t = {x["name"]: x["type"] for x in f["tensors"]}
assert f["keys"]["general.file_type"] == 15 and t["blk.2.attn_v.weight"] == "Q6_K" and t["blk.0.ffn_up.weight"] == "Q4_K", t
assert t["output.weight"] == "Q6_K" and t["blk.0.attn_norm.weight"] == "F32", t'
expect 5 convert "$work/model.gguf" -o "$work/q8.gguf" --type Q8_0 --allow-lossy
expect 0 convert "$work/q8.gguf" -o "$work/gptq8" --to gptq
expect 0 eval "$work/gptq8" --ids "$data/dev_ids.safetensors" --windows 2 --reference "$work/q8.gguf" --json
json 'import json, sys; j = json.load(sys.stdin); assert abs(j["kl"]) < 1e-3, j'
golden=$root/tests/golden/checkpoints
expect 0 convert "$golden/awq_gemm_g128" -o "$work/as_gptq" --to gptq
expect 0 convert "$work/as_gptq" -o "$work/as_ct" --to compressed-tensors
expect 0 convert "$work/as_ct" -o "$work/as_awq" --to awq
same_tensors "$golden/awq_gemm_g128/model.safetensors" "$work/as_awq/model.safetensors"
expect 0 convert "$golden/awq_gemm_g128" -o "$work/awq.gguf" --json
json 'import json, sys; j = json.load(sys.stdin); assert j["exact"] and j["tensors"][0]["to"] == "Q5_0", j'
expect 0 convert "$golden/awq_gemm_g128" -o "$work/as_planar" --to gptq_planar
expect 0 convert "$work/as_planar" -o "$work/again_awq" --to awq
same_tensors "$golden/awq_gemm_g128/model.safetensors" "$work/again_awq/model.safetensors"
cat >"$work/floats.py" <<'END'
# Every tensor of an F32 file begins with the numbers that the peer gave
import json, struct, sys
def tensors(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    return {k: (v["dtype"], raw[8 + n + v["data_offsets"][0] : 8 + n + v["data_offsets"][1]])
            for k, v in json.loads(raw[8 : 8 + n]).items() if k != "__metadata__"}
ours, theirs = tensors(sys.argv[1]), tensors(sys.argv[2])
assert ours
for name, (kind, data) in ours.items():
    if name.endswith(".bias"): continue
    found = [theirs[name + end] for end in ("_peer", "_f32") if name + end in theirs]
    assert len(found) == 1 and found[0][0] == "F32" and found[0][1], (name, theirs.keys())
    widen = 65536 if kind == "BF16" else 1
    size = 2 if kind == "BF16" else 4
    mine = b"".join(struct.pack("<I", int.from_bytes(data[i : i + size], "little") * widen) for i in range(0, len(data), size))
    mine, peer = [struct.unpack(f"<{len(b) // 4}f", b) for b in (mine, found[0][1])]
    assert mine[: len(peer)] == peer, (name, mine[:4], peer[:4])
END
kinds="hqq_b4_g64_axis1 hqq_b3_g64_axis0 gptq_b3_g64_asym_planar_gptq_p"
shared=${NBIT_DATA:-$root/../shared/data}/checkpoints
[ -d "$shared" ] && kinds="$kinds exl2_mixed_654 exl2_b4_g32 gptq_b6_g64_asym_planar_gptq_p hqq_b2_g64_axis1" || echo "skipped: EXL2 and more: no $shared"
for kind in $kinds; do
  folder=$golden/$kind; [ -d "$folder" ] || folder=$shared/$kind
  expect 0 convert "$folder" -o "$work/$kind.safetensors"
  cases=$((cases + 1)); python3 "$work/floats.py" "$work/$kind.safetensors" "$folder/reference.safetensors" || fail "numbers of $kind"
done
expect 2 convert "$golden/exl3_b2_mcg" -o "$work/x" --to gptq; says "no integers"; nothing_at "$work/x"
expect 0 convert "$golden/awq_gemm_g128" -o "$work/as_hqq" --to hqq
expect 0 convert "$work/as_hqq" -o "$work/hqq.safetensors"
expect 0 convert "$golden/awq_gemm_g128" -o "$work/awq.safetensors"; same_tensors "$work/hqq.safetensors" "$work/awq.safetensors"
expect 0 convert "$golden/ct_mxfp4" -o "$work/mxfp4.gguf" --json
json 'import json, sys; j = json.load(sys.stdin); assert j["exact"] and j["tensors"][0]["to"] == "MXFP4", j'
expect 0 convert "$golden/bnb_nf4_bs64_nested_float16" -o "$work/nf4.safetensors"
expect 2 convert "$golden/bnb_nf4_bs64_nested_float16" -o "$work/x" --to gptq; says "no integers"; nothing_at "$work/x"
expect 2 convert "$golden/ct_pack_b3_g64_asym" -o "$work/x" --to gptq; says "a multiple of 32"; nothing_at "$work/x"
expect 2 convert "$data" -o "$work/x" --to awq; says "nbit quantize"
expect 1 convert "$data" -o "$work/x.gguf" --type Q9_K; says "Q4_K_M"
expect 1 convert "$data" -o "$work/x.gguf" --override 'a('; says "PATTERN=TYPE"
expect 2 convert "$data" -o "$work/x.gguf" --type IQ2_XS --allow-lossy; says "importance"; nothing_at "$work/x.gguf"

# Bad input: an error that says what and where, and no output
expect 3 quantize "$work/absent" -o "$work/x.gguf"; says "absent"
head -c 1000000 "$work/q4.gguf" >"$work/cut.gguf"
expect 2 inspect "$work/cut.gguf"; says "at byte"
expect 2 quantize "$work/cut.gguf" -o "$work/x.gguf" --requantize; says "at byte"
expect 2 eval "$work/cut.gguf" --ids "$data/dev_ids.safetensors"
printf 'not a model at all' >"$work/text"
expect 2 inspect "$work/text"
expect 2 quantize "$work/text" -o "$work/x.gguf"
expect 2 eval "$data" --ids "$data/model_bf16.safetensors"; says "ids"
expect 2 quantize "$root/examples/tool" -o "$work/x.gguf"
nothing_at "$work/x.gguf"
expect 3 quantize "$data" -o "$work/no/such/folder/x.gguf"; says "No such file"
mkdir "$work/bad" && cp "$data/config.json" "$data/tokenizer.json" "$work/bad"
python3 - "$data/model_bf16.safetensors" "$work/bad/model.safetensors" <<'END'
import json, sys
raw = bytearray(open(sys.argv[1], "rb").read())
n = int.from_bytes(raw[:8], "little")
at = 8 + n + json.loads(raw[8 : 8 + n])["model.layers.2.mlp.up_proj.weight"]["data_offsets"][0]
raw[at + 2 * (256 * 3 + 5) : at + 2 * (256 * 3 + 5) + 2] = b"\xc0\x7f"  # NaN in row 3, column 5
open(sys.argv[2], "wb").write(raw)
END
expect 2 quantize "$work/bad" -o "$work/x.gguf"; says "NaN"; says "row 3, column 5"; says "up_proj"
nothing_at "$work/x.gguf"
expect 2 quantize "$work/bad" -o "$work/x" --format gptq; nothing_at "$work/x"

# An interrupted run leaves no half file, and the file that was there stays as it was; what was solved stays in OUT.state,
# and the same run with --resume makes the bytes of one that was not interrupted
# begun COMMAND... : runs nbit in the background until $watched exists (and holds $least bytes), then ends it by $signal
begun() {
  cases=$((cases + 1))
  "$nbit" "$@" >"$work/out" 2>"$work/err" &
  job=$!
  for wait in $(seq 900); do
    size=$(cat $watched 2>/dev/null | wc -c)
    [ "$size" -ge "$least" ] && ls $watched >/dev/null 2>&1 && break
    sleep 0.1
  done
  [ "$size" -ge "$least" ] || fail "$signal: $watched did not appear"
  # A shell without job control starts background commands with SIGINT ignored; the tool sets its own handler.
  kill -$signal $job
  wait $job
  code=$?
  case $signal in INT) wanted=130 ;; TERM) wanted=143 ;; HUP) wanted=129 ;; KILL) wanted=137 ;; esac
  [ $code = $wanted ] || fail "$signal: ended with $code, wanted $wanted"
}
solve="$data --type Q4_0 --pure --override blk.[2-9]=F16 --passes 0 --calib $ids --calib-windows 2"
expect 0 quantize $solve -o "$work/straight.gguf"
for signal in INT TERM HUP KILL; do
  echo old >"$work/kept.gguf"
  watched=$work/kept.gguf.state least=300000
  begun quantize $solve -o "$work/kept.gguf"
  [ "$(cat "$work/kept.gguf")" = old ] || fail "$signal: the old file changed"
  if [ $signal = KILL ]; then rm -f "$work"/kept.gguf.*.part; else says "--resume"; fi
  ls "$work"/kept.gguf.*.part >/dev/null 2>&1 && fail "$signal: a half file was left"
  [ $signal = KILL ] && printf 'a record that was cut off' >>"$work/kept.gguf.state"
  if [ $signal = INT ]; then
    expect 2 quantize $solve --passes 3 -o "$work/kept.gguf" --resume; says "another run"
  fi
  case $signal in TERM | HUP) rm "$work/kept.gguf.state" "$work/kept.gguf"; continue ;; esac
  expect 0 quantize $solve -o "$work/kept.gguf" --resume; says "going on after"; same "$work/straight.gguf" "$work/kept.gguf"
  rm "$work/kept.gguf"; nothing_at "$work/kept.gguf"
done
for how in "--format awq --passes 0 --calib $ids --calib-windows 1"; do
  rm -rf "$work/half" "$work/straight"
  expect 0 quantize "$data" $how -o "$work/straight"
  signal=TERM watched=$work/half.state least=700000
  begun quantize "$data" $how -o "$work/half"
  [ -e "$work/half" ] && fail "$how: a half folder was left"
  expect 0 quantize "$data" $how -o "$work/half" --resume; says "going on after"
  same "$work/straight/model.safetensors" "$work/half/model.safetensors"
done
# convert: nothing is left
signal=TERM watched="$work/cut.gguf.*.part" least=0
python3 - "$work/large.safetensors" <<'END'
import json, sys
head = json.dumps({f"t{i}": {"dtype": "F32", "shape": [1000, 4096], "data_offsets": [i * 16384000, (i + 1) * 16384000]} for i in range(12)})
head += " " * (-len(head) % 8)
with open(sys.argv[1], "wb") as f:
    f.write(len(head).to_bytes(8, "little") + head.encode())
    f.truncate(8 + len(head) + 12 * 16384000)
END
rm -f "$work"/cut.gguf*
begun convert "$work/large.safetensors" -o "$work/cut.gguf" --names keep --floats F16; nothing_at "$work/cut.gguf"

# A full disk behind the output
if [ -e /dev/full ]; then
  cases=$((cases + 1))
  "$nbit" inspect "$work/q4.gguf" >/dev/full 2>"$work/err"
  [ $? = 3 ] || fail "a full standard output is not an error"
fi

echo "count: tool: $cases checks, $failed failed"
[ "$failed" = 0 ]
