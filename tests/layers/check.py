#!/usr/bin/env python3
"""Checks the headers against the rules of the tree: includes point only downwards, and each file says what it is.

  check.py              checks include/nbit and prints how many files and includes it looked at
  check.py --umbrella   writes include/nbit/nbit.hpp: every public header but the opt-in ones
  check.py --self-test  plants each kind of mistake in a copy of the tree and expects it to be found
"""
import pathlib
import re
import shutil
import sys
import tempfile

# What each folder may include besides itself. Layers from the bottom: version; base; format layout tensor;
# arch parallel; kernel; solver; io eval cuda adapters; plan; nbit.hpp.
BASE = {"", "base"}
POLICY = BASE | {"format", "layout", "tensor"}
MACHINE = POLICY | {"arch", "parallel"}
MAY_SEE = {
    "": {""},
    "base": BASE,
    "format": BASE | {"format"},
    "layout": BASE | {"layout"},
    "tensor": POLICY,
    "arch": POLICY | {"arch"},
    "parallel": POLICY | {"parallel"},
    "kernel": MACHINE | {"kernel"},
    "solver": MACHINE | {"kernel", "solver"},
    **{top: MACHINE | {"kernel", "solver", top} for top in ("io", "eval", "cuda")},
    "adapters": MACHINE | {"kernel", "solver", "cuda", "adapters"},  # one of them starts kernels
    "plan": MACHINE | {"kernel", "solver", "io", "plan"},  # a mix names the types of files
}
# cuda/ and adapters/ are not in the umbrella: programs that want them include them by name.
UMBRELLA_FOLDERS = ["base", "format", "layout", "tensor", "arch", "parallel", "kernel", "solver", "io", "plan", "eval"]
OPT_IN = {"nbit/parallel/threads.hpp"}  # starts threads, so a program has to ask for it

INCLUDE = re.compile(r"^\s*#\s*(?:include|define\s+NBIT_STAMP)\s*<(nbit/[^>]*)>")
QUOTED = re.compile(r'^\s*#\s*include\s*"')
LOUD = re.compile(r"\b(printf|fprintf|puts|cout|cerr|clog|abort|exit|_Exit|terminate|throw|assert)\b")
MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
HEAVY = {"iostream", "regex", "functional", "map", "filesystem", "fstream", "sstream", "unordered_map"}
STD = re.compile(r"^\s*#\s*include\s*<([a-z_0-9./]+)>")
MAX_COLUMNS, MAX_LINES = 120, 500


def headers(root):
    top = root / "include"
    return sorted(p.relative_to(top).as_posix() for ext in ("hpp", "inl", "cuh") for p in top.rglob("*." + ext))


def folder_of(name):
    parts = name.split("/")
    return parts[1] if len(parts) > 2 else ""


def guard_of(name):
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def without_comments(text):
    """Comments and string literals blanked, line numbers kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda m: "\n" * m.group(0).count("\n") if m.group(0)[0] == "/" else '""', text)


def check_file(root, name):
    """Yields (problem) strings; returns through the list how many includes were looked at."""
    problems, looked = [], 0
    text = (root / "include" / name).read_text(encoding="utf-8")
    lines = text.split("\n")

    def bad(number, what):
        problems.append(f"include/{name}:{number}: {what}")

    if not re.match(re.escape(f"// {name} — ") + r"\S", lines[0]):
        bad(1, f"the first line is not '// {name} — one sentence'")
    if "// SPDX-License-Identifier: MIT" not in lines[:40]:
        bad(1, "no line '// SPDX-License-Identifier: MIT' at the top")
    code = [line for line in lines if line and not line.startswith("//")]
    if name.endswith(".hpp") or name.endswith(".cuh"):
        guard = guard_of(name)
        if code[:2] != [f"#ifndef {guard}", f"#define {guard}"] or not code[-1].startswith("#endif"):
            bad(1, f"the include guard is not {guard} around everything")
    if len(lines) - 1 > MAX_LINES:
        bad(len(lines), f"{len(lines) - 1} lines, more than {MAX_LINES}: look for the second thing in it")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            bad(number, f"{len(line)} columns, more than {MAX_COLUMNS}")
        if line != line.rstrip() or "\t" in line:
            bad(number, "trailing blank or tab")
        if MARKS.search(line):
            bad(number, "a mark of unfinished work")
    here = folder_of(name)
    if here and here not in MAY_SEE:
        bad(1, f"folder {here} is in no layer; allowed: {', '.join(sorted(f for f in MAY_SEE if f))}")
        return problems, looked
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        raw = lines[number - 1]
        if QUOTED.match(raw):
            bad(number, 'include of the library with "": write <nbit/...>')
        if match := INCLUDE.match(raw):
            looked += 1
            target = match.group(1)
            if not (root / "include" / target).is_file():
                bad(number, f"<{target}> does not exist")
            if name != "nbit/nbit.hpp":
                there = folder_of(target)
                if target == "nbit/nbit.hpp" or there not in MAY_SEE[here]:
                    bad(number, f"<{target}> is not below {here or 'the root'}/; it may include from: "
                        + ", ".join(sorted(f or "nbit/*.hpp" for f in MAY_SEE[here])))
        if (match := STD.match(raw)) and match.group(1) in HEAVY and here != "io":
            bad(number, f"<{match.group(1)}> is too heavy for a header that everybody includes")
        if (match := LOUD.search(line)) and not line.lstrip().startswith("#"):
            bad(number, f"'{match.group(1)}': headers never print, throw or stop the program")
    return problems, looked


def umbrella(root):
    lines = [
        "// nbit/nbit.hpp — the whole library, but what has to be asked for by name: threads, cuda/ and adapters/.",
        "//",
        "// Written by tests/layers/check.py --umbrella.",
        "// SPDX-License-Identifier: MIT",
        "#ifndef NBIT_NBIT_HPP",
        "#define NBIT_NBIT_HPP",
        "",
        "#include <nbit/version.hpp>",
    ]
    everything = headers(root)
    for folder in UMBRELLA_FOLDERS:
        names = [n for n in everything if folder_of(n) == folder and n.endswith(".hpp") and n not in OPT_IN]
        if names:
            lines += [""] + [f"#include <{n}>" for n in names]
    return "\n".join(lines + ["", "#endif", ""])


def check(root):
    problems, includes, names = [], 0, headers(root)
    for name in names:
        found, looked = check_file(root, name)
        problems += found
        includes += looked
    top = root / "include/nbit/nbit.hpp"
    if not top.is_file() or top.read_text(encoding="utf-8") != umbrella(root):
        problems.append("include/nbit/nbit.hpp is stale; write it with: python3 tests/layers/check.py --umbrella")
    return problems, includes, len(names)


def self_test(root):
    """Each planted mistake must be found, or the check above is worth nothing."""
    good = ("// nbit/{0} — a planted file.\n// SPDX-License-Identifier: MIT\n#ifndef {1}\n#define {1}\n\n{2}\n\n#endif\n")
    plants = [
        ("base/planted.hpp", "#include <nbit/format/planted_too.hpp>", "is not below base/"),
        ("base/planted.hpp", "#include <nbit/base/absent.hpp>", "does not exist"),
        ("format/planted.hpp", "#include <nbit/layout/planted_too.hpp>", "is not below format/"),
        ("solver/planted.hpp", "#include <nbit/nbit.hpp>", "is not below solver/"),
        ("kernel/planted.hpp", "#define NBIT_STAMP <nbit/solver/planted_too.hpp>", "is not below kernel/"),
        ("base/planted.hpp", "inline void f() { throw 1; }", "'throw'"),
        ("base/planted.hpp", "inline void f() { std::abort(); }", "'abort'"),
        ("base/planted.hpp", "#include <iostream>", "too heavy"),
        ("base/planted.hpp", "// " + "x" * 130, "columns"),
        ("base/planted.hpp", "\n" * 520, "lines, more than"),
        ("nowhere/planted.hpp", "", "is in no layer"),
        ("base/planted.hpp", None, "include guard"),
    ]
    missed = 0
    for name, body, expected in plants:
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder)
            shutil.copytree(root / "include", copy / "include")
            for other in ("format/planted_too.hpp", "layout/planted_too.hpp", "solver/planted_too.hpp"):
                path = copy / "include/nbit" / other
                path.parent.mkdir(exist_ok=True)
                path.write_text(good.format(other, guard_of("nbit/" + other), ""), encoding="utf-8")
            path = copy / "include/nbit" / name
            path.parent.mkdir(exist_ok=True)
            guard = "SOME_OTHER_HPP" if body is None else guard_of("nbit/" + name)
            path.write_text(good.format(name, guard, body or ""), encoding="utf-8")
            if not any("planted.hpp" in p and expected in p for p in check(copy)[0]):
                print(f"not found: {expected!r} in {name}")
                missed += 1
    print(f"count: layers self-test: {len(plants)} planted mistakes, {missed} failed")
    return missed


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    if sys.argv[1:] == ["--umbrella"]:
        (root / "include/nbit/nbit.hpp").write_text(umbrella(root), encoding="utf-8")
        return 0
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test(root) else 0
    problems, includes, files = check(root)
    print("\n".join(problems))
    print(f"count: layers: {files} headers, {includes} includes, {len(problems)} failed")
    return 1 if problems or files == 0 else 0


sys.exit(main())
