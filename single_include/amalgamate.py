#!/usr/bin/env python3
"""Writes single_include/nbit.hpp: everything that <nbit/nbit.hpp> reaches, in one file.

  amalgamate.py           writes the file beside this script
  amalgamate.py --check   fails if the file is not what would be written

A header is pasted once, where it is first included, with its guard. A text without a guard (.inl) is pasted at every
place that includes it, because what it means depends on the macros there: base/exact_*.inl, and arch/stamp.inl, which
includes the text named by NBIT_STAMP once for each machine.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE_DIR = HERE.parent / "include"
OUTPUT = HERE / "nbit.hpp"

INCLUDE = re.compile(r"^\s*#\s*include\s*<(nbit/[^>]+)>")
COMPUTED = re.compile(r"^\s*#\s*include\s+([A-Z_][A-Z_0-9]*)\s*(?://.*)?$")
DEFINE = re.compile(r"^\s*#\s*define\s+([A-Z_][A-Z_0-9]*)\s*<(nbit/[^>]+)>")
IF = re.compile(r"^\s*#\s*if")
ENDIF = re.compile(r"^\s*#\s*endif")


class Amalgamation:
    def __init__(self):
        self.lines = []
        self.pasted = set()    # headers whose text stands where nothing but their own guards encloses it
        self.named = {}        # macros that hold a file name, for computed includes
        self.stack = []

    def paste(self, name, conditional=False):
        path = (INCLUDE_DIR / name).resolve()
        if not path.is_file():
            raise SystemExit(f"{' -> '.join(self.stack)} includes <{name}>, which does not exist")
        if self.stack.count(name) > 0:
            if name.endswith(".hpp"):
                return
            raise SystemExit(f"{' -> '.join(self.stack)} -> {name}: a text that includes itself")
        guarded = not name.endswith(".inl")
        if guarded and path in self.pasted:
            return
        if guarded and any(outer.endswith(".inl") for outer in self.stack):
            raise SystemExit(f"{' -> '.join(self.stack)} is the first to include <{name}>: a text that is pasted inside "
                             "a target region cannot bring headers; include it in the header that stamps the text")
        # Inside an #if the text may be left out by the compiler, so a later include has to bring it again: the guard
        # of each header keeps it to one.
        if guarded and not conditional:
            self.pasted.add(path)
        self.stack.append(name)
        self.lines.append(f"// BEGIN {name}")
        depth = 0
        own = 1 if guarded else 0
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := DEFINE.match(line):
                self.named[match.group(1)] = match.group(2)
            if IF.match(line):
                depth += 1
            if ENDIF.match(line):
                depth -= 1
            target = None
            if match := INCLUDE.match(line):
                target = match.group(1)
            elif match := COMPUTED.match(line):
                target = self.named.get(match.group(1))
                if target is None:
                    raise SystemExit(f"{' -> '.join(self.stack)}: {line.strip()} names no file")
            if target is None:
                if not line.startswith("// SPDX-License-Identifier"):
                    self.lines.append(line)
            else:
                self.paste(target, conditional or depth > own)
        self.lines.append(f"// END {name}")
        self.stack.pop()

    def text(self):
        self.paste("nbit/nbit.hpp")
        version = dict(re.findall(r"#define NBIT_VERSION_(\w+) (\d+)", "\n".join(self.lines)))
        number = ".".join(version[part] for part in ("MAJOR", "MINOR", "PATCH"))
        head = [
            f"// nbit.hpp — nbit {number} in a single file, written by amalgamate.py from include/nbit. Do not edit.",
            "//",
            "// MIT License",
            *("// " + line if line else "//" for line in
              (HERE.parent / "LICENSE").read_text(encoding="utf-8").splitlines()[1:]),
            "//",
            "// SPDX-License-Identifier: MIT",
            "",
        ]
        out = []
        for line in head + self.lines:
            if line == "" and out and out[-1] == "":
                continue
            out.append(line)
        return "\n".join(out) + "\n"


def main():
    made = Amalgamation()
    text = made.text()
    if sys.argv[1:] == ["--check"]:
        current = OUTPUT.read_text(encoding="utf-8") if OUTPUT.is_file() else ""
        if current != text:
            print("single_include/nbit.hpp is stale; write it with: python3 single_include/amalgamate.py")
            return 1
    else:
        OUTPUT.write_text(text, encoding="utf-8")
    print(f"count: single header: {len(made.pasted)} headers, {text.count(chr(10))} lines, 0 failed")
    return 0


sys.exit(main())
