// tests/determinism/main.cpp — compares what this machine computes with the committed table of hashes.
//
//   nbit_determinism TABLE           every (format, operation) with every tag that runs here; answers 1 if one differs
//   nbit_determinism TABLE --write   writes the table from the scalar kernels and prints what changed
//
// Plain C++ without a test framework, so that it is compiled for any machine and run under an emulator (tests/cross).
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "hashes.hpp"

namespace {

std::map<std::string, std::uint64_t> read_table(const char* path) {
  std::map<std::string, std::uint64_t> table;
  std::FILE* const file = std::fopen(path, "r");
  if (file == nullptr) return table;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    char* const gap = std::strrchr(line, ' ');
    unsigned long long value = 0;
    if (line[0] == '#' || gap == nullptr || std::sscanf(gap, "%llx", &value) != 1) continue;
    table[std::string(line, gap)] = value;
  }
  std::fclose(file);
  return table;
}

int write_table(const char* path, const nbit_test::entries& computed) {
  const auto before = read_table(path);
  std::map<std::string, std::uint64_t> after;
  for (const auto& e : computed)
    if (after.find(e.name) == after.end()) after[e.name] = e.value;  // the definition comes first
  std::FILE* const file = std::fopen(path, "w");
  if (file == nullptr) return 2;
  std::fprintf(file, "# tests/determinism/hashes.txt: written by nbit_determinism --write; see docs/determinism.md\n");
  int changed = 0;
  for (const auto& [name, value] : after) {
    std::fprintf(file, "%s %016llx\n", name.c_str(), static_cast<unsigned long long>(value));
    const auto old = before.find(name);
    if (old == before.end())
      std::printf("new      %s\n", name.c_str()), ++changed;
    else if (old->second != value)
      std::printf("changed  %s\n", name.c_str()), ++changed;
  }
  for (const auto& [name, value] : before)
    if (after.find(name) == after.end()) std::printf("gone     %s\n", name.c_str()), ++changed;
  std::fclose(file);
  std::printf("%s: %zu hashes, %d changed\n", path, after.size(), changed);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "nbit_determinism TABLE [--write]\n");
    return 2;
  }
  nbit_test::entries computed;
  nbit_test::add_uniform(computed);
  nbit_test::add_layouts(computed);
  nbit_test::add_ggml(computed);
  nbit_test::add_ggml_lattices(computed);
  nbit_test::add_tiles(computed);
  nbit_test::add_others(computed);
  if (argc > 2 && std::strcmp(argv[2], "--write") == 0) return write_table(argv[1], computed);

  const auto table = read_table(argv[1]);
  std::map<std::string, bool> seen;
  std::size_t equal = 0, failed = 0;
  for (const auto& e : computed) {
    const auto expected = table.find(e.name);
    seen[e.name] = true;
    if (expected != table.end() && expected->second == e.value) {
      ++equal;
      continue;
    }
    ++failed;
    std::printf("%s: %s %s\n", e.tag, e.name.c_str(), expected == table.end() ? "is not in the table" : "differs");
  }
  for (const auto& [name, value] : table)
    if (seen.find(name) == seen.end()) std::printf("not computed: %s\n", name.c_str()), ++failed;
  std::string tags;
  nbit::arch::for_each_runnable_int8([&](auto tag) { tags += std::string(" ") + decltype(tag)::name; });
  std::printf("count: determinism: %zu hashes of a table of %zu, tags%s, %zu failed\n", equal, table.size(),
              tags.c_str(), failed);
  return failed == 0 && equal != 0 ? 0 : 1;
}
