#!/usr/bin/env python3
"""Each tests/rejected/**/*.cpp must compile as it is, and must fail with NBIT_REJECT defined, for the stated reason.

A case marks its mistake with  #ifdef NBIT_REJECT ... #endif  and says  // expect: <regular expression>  of the compiler's
message. Several mistakes in one file:  #if NBIT_REJECT == 2  with  // expect 2: <regular expression>.
Compiling it without the mistake proves that nothing else in the file is wrong. check.py --compiler g++ ...
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXPECT = re.compile(r"^// expect(?: (\d+))?: (.+?)\s*$", re.M)


def compile_case(compiler, path, defines):
    command = [compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", str(ROOT / "include"),
               *defines, str(path)]
    done = subprocess.run(command, text=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    return done.returncode, done.stderr


def run(job):
    compiler, path, number, pattern = job
    defines = [] if pattern is None else [f"-DNBIT_REJECT={number}"]
    code, message = compile_case(compiler, path, defines)
    name = f"{path.relative_to(ROOT)} with {compiler}"
    shown = "\n".join(message.splitlines()[:20])
    if pattern is None:
        return None if code == 0 else f"{name}: does not compile without the mistake\n{shown}"
    if code == 0:
        return f"{name}: mistake {number} compiles; it should be rejected with /{pattern}/"
    if not re.search(pattern, message):
        return f"{name}: mistake {number} is rejected, but not with /{pattern}/\n{shown}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", action="append")
    compilers = parser.parse_args().compiler or [c for c in ("g++", "clang++") if shutil.which(c)]
    jobs, problems, mistakes = [], [], 0
    for path in sorted(HERE.rglob("*.cpp")):
        expected = EXPECT.findall(path.read_text(encoding="utf-8"))
        if not expected:
            problems.append(f"{path.relative_to(ROOT)}: has no line '// expect: <regular expression>'")
        mistakes += len(expected)
        for compiler in compilers:
            jobs.append((compiler, path, 0, None))
            jobs += [(compiler, path, int(number or 1), pattern) for number, pattern in expected]
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 2)) as pool:
        problems += [p for p in pool.map(run, jobs) if p]
    print("\n".join(problems))
    print(f"count: rejected: {mistakes} mistakes, {' and '.join(compilers)}, {len(problems)} failed")
    return 1 if problems or mistakes == 0 else 0


sys.exit(main())
