#!/usr/bin/env python3
"""Checks docs/*.md and README.md against the tree: code compiles and runs, links and file names exist, pages stay short.

  check.py --compiler g++     [--compiler clang++ ...] [--page tutorial.md ...]; default: g++ and clang++, those that exist
  check.py --self-test        plants each kind of mistake in a copy of the pages and expects it to be found

A block of code in docs/ says after ```cpp what it is; every block says it:
  program   a whole program: it is compiled, linked and run, and must answer 0
  unit      declarations: they must compile at namespace level, after <nbit/nbit.hpp>
  body      statements: they must compile inside a function that returns nothing and has the parameters in GIVEN
```text is for what is no code.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-Wno-unused"]
MOST_LINES, MOST_COLUMNS = 250, 130

PRELUDE = """#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>
#include <nbit/nbit.hpp>
#include <nbit/parallel/threads.hpp>
"""
# What the pages mean by these names: a matrix of weights, inputs, outputs and places for them.
GIVEN = """[[maybe_unused]] static void shown(const nbit::matrix_view<const float> w, const nbit::matrix_view<const float> X,
    nbit::matrix_view<float> Y, std::span<const float> x, std::span<float> y, std::span<float> out, nbit::hessian& h,
    nbit::thread_pool& pool, std::span<const std::byte> bytes, const std::string& path) {
  (void)w, (void)X, (void)Y, (void)x, (void)y, (void)out, (void)h, (void)pool, (void)bytes, (void)path;
"""

FENCE = re.compile(r"^```(\S*)[ ]*(.*)$")
LINK = re.compile(r"\]\(([^)#\s]+)?(#[^)\s]*)?\)")
# `base/bits.hpp`, `tests/run.sh`, `include/nbit/kernel/gemv.inl`; names with <...> are patterns and not looked at.
FILE_NAME = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:hpp|inl|cpp|py|sh|md|txt|json|cmake))`")
FOLDERS = ("", "include/nbit", "docs", "include")


def anchor(heading):
    return "#" + re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def read_page(path):
    """The blocks (line, language, kind, text), the prose lines and the anchors of a page."""
    blocks, prose, anchors, inside = [], [], set(), None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if inside is not None:
            if line.rstrip() == "```":
                blocks.append((*inside[:3], "\n".join(inside[3]) + "\n"))
                inside = None
            else:
                inside[3].append(line)
        elif match := FENCE.match(line):
            inside = (number, match.group(1), match.group(2).strip(), [])
        else:
            prose.append((number, line))
            if match := re.match(r"#+ (.*)", line):
                anchors.add(anchor(match.group(1)))
    return blocks, prose, anchors, inside


def check_text(root, path, pages):
    """Problems of a page that need no compiler, and how many links and names were looked at."""
    problems, looked = [], 0
    name = path.relative_to(root).as_posix()
    blocks, prose, _, open_block = pages[path]
    if open_block is not None:
        problems.append(f"{name}:{open_block[0]}: a block of code that does not end")
    lines = path.read_text(encoding="utf-8").splitlines()
    if name.startswith("docs/") and len(lines) > MOST_LINES:
        problems.append(f"{name}: {len(lines)} lines, more than {MOST_LINES}")
    for number, line in enumerate(lines, 1):
        if len(line) > MOST_COLUMNS and not line.startswith("|"):  # a row of a table cannot be wrapped
            problems.append(f"{name}:{number}: {len(line)} columns, more than {MOST_COLUMNS}")
    for number, line in prose:
        for target, place in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            looked += 1
            there = (path.parent / target).resolve() if target else path
            if not there.exists():
                problems.append(f"{name}:{number}: link to {target}, which does not exist")
            elif place and there in pages and place not in pages[there][2]:
                problems.append(f"{name}:{number}: link to {target}{place}, but there is no such heading")
        for file in FILE_NAME.findall(line):
            looked += 1
            if not any((root / folder / file).exists() for folder in FOLDERS):
                problems.append(f"{name}:{number}: names {file}, which does not exist")
    for number, language, kind, _ in blocks:
        if language == "" or (language == "cpp" and name.startswith("docs/") and kind not in ("program", "unit", "body")):
            problems.append(f"{name}:{number}: a block must say what it is: ```cpp program, unit or body, or ```text, sh, cmake")
    return problems, looked


def pieces_source(pieces):
    """One file of all units and bodies, each in a namespace of its own; messages name the page and its line."""
    included, code = [], []
    for n, (page, number, kind, text) in enumerate(pieces):
        lines = text.split("\n")
        included += [line for line in lines if line.startswith("#include")]
        text = "\n".join("" if line.startswith("#include") else line for line in lines)
        given = GIVEN if kind == "body" else ""
        code.append(f'namespace piece_{n} {{\n{given}#line {number + 1} "{page}"\n{text}' + ("}\n" if given else "") + "}\n")
    return PRELUDE + "\n".join(included) + "\n" + "".join(code)


def compile_job(job):
    """None, or what was wrong."""
    root, compiler, name, number, text = job
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder, "block.cpp"), pathlib.Path(folder, "block")
        source.write_text(text, encoding="utf-8")
        where = f"{name}:{number}" if number else name
        last = ["-O0", "-pthread", "-o", str(program)] if number else ["-fsyntax-only"]
        command = [compiler, *FLAGS, "-I", str(root / "include"), str(source), *last]
        done = subprocess.run(command, text=True, capture_output=True)
        if done.returncode != 0:
            return f"{where}: does not compile with {compiler}\n" + "\n".join(done.stderr.splitlines()[:20])
        if number:
            try:
                ran = subprocess.run([str(program)], cwd=folder, text=True, capture_output=True, timeout=120)
            except subprocess.TimeoutExpired:
                return f"{where}: runs longer than 120 s"
            if ran.returncode != 0:
                return f"{where}: compiled with {compiler}, answers {ran.returncode}\n{ran.stdout}{ran.stderr}"
    return None


def check(root, compilers, only=()):
    paths = sorted((root / "docs").glob("*.md")) + [root / "README.md"]
    pages = {path: read_page(path) for path in paths}
    problems, looked, programs, pieces = [], 0, [], []
    for path in paths:
        found, n = check_text(root, path, pages)
        problems += found
        looked += n
        name = path.relative_to(root).as_posix()
        if only and path.name not in only:
            continue
        for number, language, kind, text in pages[path][0]:
            if language == "cpp" and kind == "program":
                programs.append((name, number, f'#line {number + 1} "{name}"\n{text}'))
            elif language == "cpp" and kind in ("unit", "body"):
                pieces.append((name, number, kind, text))
    jobs = [(root, c, *program) for c in compilers for program in programs]
    if pieces:
        jobs += [(root, c, "units and bodies of the pages", 0, pieces_source(pieces)) for c in compilers]
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 2)) as pool:
        problems += [p for p in pool.map(compile_job, jobs) if p]
    return problems, (len(paths), looked, len(programs), len(pieces))


def self_test():
    plants = [
        ("```cpp body\nint n = nbit::no_such_name;\n```\n", "does not compile"),
        ("```cpp program\nint main() { return 3; }\n```\n", "answers 3"),
        ("```cpp\nint n;\n```\n", "must say what it is"),
        ("[a page](absent.md)\n", "which does not exist"),
        ("[a place](index.md#absent)\n", "no such heading"),
        ("`base/absent.hpp`\n", "which does not exist"),
        ("```text\nno end\n", "does not end"),
        ("\n" * 300, "lines, more than"),
    ]
    compiler = next(c for c in ("g++", "clang++") if shutil.which(c))
    missed = 0
    for text, expected in plants:
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder).resolve()
            (copy / "docs").mkdir()
            (copy / "include").symlink_to(ROOT / "include")
            (copy / "README.md").write_text("# nbit\n", encoding="utf-8")
            (copy / "docs/index.md").write_text("# nbit\n", encoding="utf-8")
            (copy / "docs/planted.md").write_text("# Planted\n\n" + text, encoding="utf-8")
            if not any("planted.md" in p and expected in p for p in check(copy, [compiler])[0]):
                print(f"not found: {expected!r}")
                missed += 1
    print(f"count: docs self-test: {len(plants)} planted mistakes, {missed} failed")
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", action="append")
    parser.add_argument("--page", action="append", default=[])
    parser.add_argument("--self-test", action="store_true")
    said = parser.parse_args()
    if said.self_test:
        return self_test()
    compilers = said.compiler or [c for c in ("g++", "clang++") if shutil.which(c)]
    problems, (pages, looked, programs, pieces) = check(ROOT, compilers, said.page)
    print("\n".join(problems))
    print(f"count: docs: {pages} pages, {looked} links and file names, {programs} programs run and {pieces} pieces compiled "
          f"({' and '.join(compilers)}), {len(problems)} failed")
    return 1 if problems or programs == 0 else 0


sys.exit(main())
