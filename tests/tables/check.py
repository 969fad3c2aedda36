#!/usr/bin/env python3
"""Compares the generated tables in docs/ with what the library answers, or writes them.

  check.py --compiler g++     builds each program of tests/tables/ and compares its output with the page
  check.py --write            puts the output into the page

A table stands between <!-- table NAME --> and <!-- end of table -->; tests/tables/NAME.cpp prints it.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
TABLE = re.compile(r"(<!-- table (\w+) -->\n\n)(.*?)(\n<!-- end of table -->)", re.S)


def output_of(name, compiler, work):
    source, program = ROOT / "tests" / "tables" / f"{name}.cpp", work / name
    includes = [f"-I{ROOT / 'include'}", f"-I{ROOT / 'tests'}"]
    built = subprocess.run([compiler, *FLAGS, *includes, source, "-o", program], capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(f"{source.name} does not compile:\n{built.stderr[:4000]}")
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--compiler", default="g++")
    options.add_argument("--write", action="store_true")
    options = options.parse_args()
    tables, stale = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for page in sorted((ROOT / "docs").glob("*.md")):
            text = page.read_text(encoding="utf-8")

            def fresh(match):
                nonlocal tables
                tables += 1
                made = output_of(match.group(2), options.compiler, pathlib.Path(folder))
                if made != match.group(3):
                    stale.append(f"{page.name}: {match.group(2)}")
                return match.group(1) + made + match.group(4)

            new = TABLE.sub(fresh, text)
            if options.write:
                page.write_text(new, encoding="utf-8")
    if stale and not options.write:
        sys.exit(f"tables that are not what the library answers: {', '.join(stale)}; tests/tables/check.py --write")
    if tables == 0:
        sys.exit("no table was found in docs/")
    print(f"count: {tables} generated tables {'written' if options.write else 'are current'}")


main()
