#!/usr/bin/env python3
"""What including nbit costs: code size of one gemv for each instruction set, and compile times.

  measure.py [--compiler g++] [--runs 3] [--cross]     prints the tables of docs/performance.md

Times are processor seconds (user and system) of the compiler, the least of a few runs. An empty file with the same
standard headers is measured beside them: no header of ours can be cheaper than those. --cross adds AArch64.
"""
import argparse
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORMATS = [("w4g128", "nbit/format/presets.hpp"), ("q4_0", "nbit/format/ggml_legacy.hpp"),
           ("q4_k", "nbit/format/ggml_q4_k.hpp"), ("q8_0", "nbit/format/ggml_q8.hpp")]
GEMV = """#include <{header}>
#include <nbit/kernel/gemv.hpp>
void f32(nbit::packed_view<nbit::{format}> w, std::span<const float> x, std::span<float> y);
void f32(nbit::packed_view<nbit::{format}> w, std::span<const float> x, std::span<float> y) {{ nbit::gemv(w, x, y); }}
"""
INT8 = """#include <{header}>
#include <nbit/kernel/gemv.hpp>
void i8(nbit::packed_view<nbit::{format}> w, nbit::int8_activations<32> x, std::span<float> y);
void i8(nbit::packed_view<nbit::{format}> w, nbit::int8_activations<32> x, std::span<float> y) {{ nbit::gemv(w, x, y); }}
"""


def compile(command, source, output):
    done = subprocess.run([*command, "-std=c++20", "-I", str(ROOT / "include"), "-x", "c++", "-c", "-", "-o", str(output)],
                          input=source, text=True, capture_output=True)
    if done.returncode != 0:
        raise SystemExit("does not compile:\n" + done.stderr[:2000])


def seconds(command, source, output, runs):
    best = float("inf")
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        compile(command, source, output)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def kernel_bytes(nm, output):
    """Text of everything stamped for a tag, by tag."""
    sizes = {}
    listing = subprocess.run([nm, "-S", "-C", str(output)], text=True, capture_output=True, check=True).stdout
    for line in listing.splitlines():
        match = re.match(r"[0-9a-f]+ ([0-9a-f]+) [tTwW] (.*)", line)
        if match is None:
            continue
        tag = re.search(r"<(?:[^<]*, )?nbit::arch::(\w+)", match.group(2))
        if tag:
            sizes[tag.group(1)] = sizes.get(tag.group(1), 0) + int(match.group(1), 16)
    return sizes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cross", action="store_true")
    options = parser.parse_args()
    gcc = [options.compiler]
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out.o"
        machines = [(gcc, "nm")]
        if options.cross:
            for compiler, nm in (("aarch64-linux-gnu-g++", "aarch64-linux-gnu-nm"),):
                if shutil.which(compiler):
                    machines.append(([compiler], nm))
                else:
                    print(f"skipped: {compiler} is not installed")
        print(f"text of one gemv, bytes ({options.compiler} -O2)")
        for name, text in (("f32", GEMV), ("int8", INT8)):
            for form, header in FORMATS:
                row = []
                for command, nm in machines:
                    compile([*command, "-O2"], text.format(header=header, format=form), output)
                    row += [f"{tag} {size}" for tag, size in kernel_bytes(nm, output).items()]
                print(f"  {form:8} {name:5} " + "  ".join(row))
        print(f"compile time, processor seconds ({options.compiler}, least of {options.runs})")
        intrinsics = "#if defined(__x86_64__)\n#include <immintrin.h>\n#endif\n"
        rows = [
            ("-O2", "one format and gemv (w4g128, f32)", GEMV.format(header=FORMATS[0][1], format="w4g128"), "1.5"),
            ("-O2", "one format and gemv (q4_k, f32)", GEMV.format(header=FORMATS[2][1], format="q4_k"), "1.5"),
            ("-O2", "  of it: <immintrin.h>, <span>, <atomic>, <cstring>",
             intrinsics + "#include <span>\n#include <atomic>\n#include <cstring>\n", ""),
            ("-O0", "umbrella <nbit/nbit.hpp>", "#include <nbit/nbit.hpp>\n", "0.8"),
            ("-O0", "  of it: standard and intrinsics headers", intrinsics + standard_headers(), ""),
        ]
        for layer in ("base", "format", "layout", "tensor", "kernel", "solver", "io", "plan"):
            rows.append(("-O0", f"  all of {layer}/ (with what it includes)", includes(layer), ""))
        for level, what, source, target in rows:
            spent = seconds([*gcc, level], source, output, options.runs)
            print(f"  {level} {what:54} {spent:5.2f}" + (f"   target {target}" if target else ""))


def umbrella():
    return (ROOT / "include/nbit/nbit.hpp").read_text(encoding="utf-8")


def includes(layer):
    return "".join(f"#include <{name}>\n" for name in re.findall(r"#include <(nbit/[^>]+)>", umbrella())
                   if name.startswith(f"nbit/{layer}/"))


def standard_headers():
    """What the umbrella's headers include of the standard library, where this machine has it."""
    names = set()
    for path in (ROOT / "include/nbit").rglob("*"):
        folder = path.relative_to(ROOT / "include/nbit").parts[0]
        if path.suffix not in (".hpp", ".inl") or folder in ("cuda", "adapters") or path.name == "threads.hpp":
            continue
        names.update(re.findall(r"^#include <([a-z_]+)>", path.read_text(encoding="utf-8"), re.M))
    return "".join(f"#if __has_include(<{n}>)\n#include <{n}>\n#endif\n" for n in sorted(names))


main()
