#!/usr/bin/env python3
"""Compiles every public header by itself (twice, so that its guard counts), then all of them after macros that other
people's headers are known to define. check.py --compiler g++ [--compiler clang++]; default: both, those that exist.
--together leaves out the headers by themselves: a second compiler with the same standard library learns little from them."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-fsyntax-only",
         "-I", str(ROOT / "include"), "-x", "c++", "-"]

# windows.h, rpcndr.h, complex.h, sys/sysmacros.h, math.h, termios.h, X11/X.h, AppKit, curses.
HOSTILE = """
#define min(a, b) hostile min
#define max(a, b) hostile max
#define major(x) hostile major
#define minor(x) hostile minor
#define check(x) hostile check
#define isfinite(x) hostile isfinite
#define I hostile I
#define small hostile small
#define near hostile near
#define far hostile far
#define huge hostile huge
#define interface hostile interface
#define pascal hostile pascal
#define IN hostile IN
#define OUT hostile OUT
#define OPTIONAL hostile OPTIONAL
#define ERROR hostile ERROR
#define CONST hostile CONST
#define DELETE hostile DELETE
#define DOMAIN hostile DOMAIN
#define OVERFLOW hostile OVERFLOW
#define UNDERFLOW hostile UNDERFLOW
#define B0 hostile B0
#define None hostile None
#define Bool hostile Bool
#define Status hostile Status
#define Success hostile Success
#define Always hostile Always
#define linux hostile linux
#define unix hostile unix
#define _C hostile _C
#define _N hostile _N
"""


def compiles(compiler, source):
    done = subprocess.run([compiler, *FLAGS], input=source, text=True, capture_output=True)
    return done.returncode == 0, done.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", action="append")
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    compilers = options.compiler or [c for c in ("g++", "clang++") if shutil.which(c)]
    headers = sorted(p.relative_to(ROOT / "include").as_posix() for p in (ROOT / "include/nbit").rglob("*.hpp"))
    # adapters/ need what they adapt; tests/adapters compiles them where it is.
    headers = [h for h in headers if "/adapters/" not in h]
    std = set()
    for path in (ROOT / "include/nbit").rglob("*"):
        if path.suffix in (".hpp", ".inl") and "adapters" not in path.parts:
            for line in path.read_text(encoding="utf-8").splitlines():
                if (match := re.match(r"\s*#\s*include\s*<([^>]*)>", line)) and not match.group(1).startswith("nbit/"):
                    std.add(match.group(1))
    # Only headers this machine has: an include for another system stands inside an #if.
    first = "".join(f"#if __has_include(<{s}>)\n#include <{s}>\n#endif\n" for s in sorted(std)
                    if s not in ("arm_neon.h", "arm_sve.h", "wasm_simd128.h", "windows.h"))
    everything = "".join(f"#include <{h}>\n" for h in headers)
    jobs = []
    for compiler in compilers:
        if not options.together:
            jobs += [(compiler, h, f"#include <{h}>\n#include <{h}>\n") for h in headers]
        jobs.append((compiler, "all headers after hostile macros", first + HOSTILE + everything))
        # Proof that the macros bite: a source that uses one must not compile.
        jobs.append((compiler, None, first + HOSTILE + "int small = 0;\n"))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 2)) as pool:
        for (compiler, name, _), (good, message) in zip(jobs, pool.map(lambda j: compiles(j[0], j[2]), jobs)):
            if name is None:
                good, name, message = not good, "the macros are not hostile", ""
            if not good:
                failed += 1
                print(f"--- {compiler}: {name}\n" + "\n".join(message.splitlines()[:25]))
    how = "after hostile macros" if options.together else "by themselves and after hostile macros"
    print(f"count: alone: {len(headers)} headers {how}, {' and '.join(compilers)}, {failed} failed")
    return 1 if failed or not headers else 0


sys.exit(main())
