// bench/support/ggml_peer.hpp — ggml's CPU library, opened at run time, as a peer to measure against.
//
// Found in this order: the folder given to open(); the environment variable NBIT_GGML (a folder that holds
// libggml-base.so and libggml-cpu.so); llama_cpp/lib of the Python environment on PATH. No ggml header is needed: the
// few C functions and the two tables of functions are declared here (ggml 0.9 to 0.25). Without the library benches say
// so and go on.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_SUPPORT_GGML_PEER_HPP
#define NBIT_BENCH_SUPPORT_GGML_PEER_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <dlfcn.h>

namespace nbit_bench {

class ggml_peer {
 public:
  using to_float_t = void (*)(const void* blocks, float* out, std::int64_t n);
  using from_float_t = void (*)(const float* x, void* blocks, std::int64_t n);
  using vec_dot_t = void (*)(int n, float* s, std::size_t bs, const void* x, std::size_t bx, const void* y,
                             std::size_t by, int rows);
  /// Repacked matrices: n columns; nc outputs from weights of 8 interleaved rows; nr tokens (1 for gemv).
  using repacked_t = void (*)(int n, float* s, std::size_t bs, const void* w, const void* x, int nr, int nc);

  /// ggml's tables, field by field as its headers declare them.
  struct base_traits {
    const char* name;
    std::int64_t block, interleave;
    std::size_t bytes;
    bool quantized;
    to_float_t to_float;
    from_float_t from_float_reference;
  };
  struct cpu_traits {
    from_float_t from_float;  // may be null
    vec_dot_t vec_dot;        // may be null
    int dot_type;             // the type that vec_dot wants on the other side
    std::int64_t rows;
  };

  ggml_peer() { open(""); }
  explicit ggml_peer(const std::string& folder) { open(folder); }

  /// Whether the library is there; else `reason()` says why not.
  explicit operator bool() const { return cpu_ != nullptr; }
  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// "ggml <version> (<commit>), <folder>"
  [[nodiscard]] std::string version() const {
    const auto version = symbol<const char*(*)()>("ggml_version"), commit = symbol<const char*(*)()>("ggml_commit");
    return std::string("ggml ") + (version ? version() : "of unknown version") + " (" + (commit ? commit() : "?") +
           "), " + folder_;
  }

  /// The tables of a ggml type; null when this ggml does not have it.
  [[nodiscard]] const base_traits* base(int type) const {
    const auto f = symbol<const base_traits* (*)(int)>("ggml_get_type_traits");
    if (f == nullptr || !known(type)) return nullptr;
    const base_traits* const t = f(type);
    return t->block > 0 && t->bytes > 0 ? t : nullptr;
  }
  [[nodiscard]] const cpu_traits* cpu(int type) const {
    const auto f = symbol<const cpu_traits* (*)(int)>("ggml_get_type_traits_cpu");
    return f == nullptr || !known(type) ? nullptr : f(type);
  }

  [[nodiscard]] std::size_t row_bytes(int type, std::size_t cols) const {
    const base_traits* const t = base(type);
    return t == nullptr ? 0 : cols / std::size_t(t->block) * t->bytes;
  }

  /// Quantizes rows with the reference encoder (importance may be null where the type allows it); bytes written.
  std::size_t quantize(int type, const float* x, void* to, std::size_t rows, std::size_t cols,
                       const float* importance = nullptr) const {
    using f = std::size_t (*)(int, const float*, void*, std::int64_t, std::int64_t, std::int64_t, const float*);
    const f chunk = symbol<f>("ggml_quantize_chunk");
    return chunk == nullptr ? 0 : chunk(type, x, to, 0, std::int64_t(rows), std::int64_t(cols), importance);
  }

  /// y = W x the way ggml computes it for one token: x quantized to the dot's own type, then a dot for each row.
  /// False when the type has no dot. scratch holds the quantized x.
  bool gemv(int type, const void* w, std::size_t rows, std::size_t cols, const float* x, float* y,
            std::vector<std::byte>& scratch) const {
    const cpu_traits* const t = cpu(type);
    if (t == nullptr || t->vec_dot == nullptr) return false;
    const void* other = x;
    if (t->dot_type != 0) {
      const cpu_traits* const d = cpu(t->dot_type);
      if (d->from_float == nullptr) return false;
      scratch.resize(row_bytes(t->dot_type, cols));
      d->from_float(x, scratch.data(), std::int64_t(cols));
      other = scratch.data();
    }
    const std::size_t step = row_bytes(type, cols);
    for (std::size_t r = 0; r < rows; ++r)
      t->vec_dot(int(cols), y + r, 0, static_cast<const std::byte*>(w) + r * step, 0, other, 0, 1);
    return true;
  }

  /// A repacked kernel by its exported name ("ggml_gemv_q4_K_8x8_q8_K"), or null.
  [[nodiscard]] repacked_t repacked(const char* name) const { return symbol<repacked_t>(name); }

  /// Any exported function of either library, or null.
  template <class F>
  [[nodiscard]] F symbol(const char* name) const {
    void* p = cpu_ == nullptr ? nullptr : dlsym(cpu_, name);
    if (p == nullptr && base_ != nullptr) p = dlsym(base_, name);
    return reinterpret_cast<F>(p);
  }

 private:
  // The tables are arrays without bounds; names are not: beyond the last type this one is "NONE".
  [[nodiscard]] bool known(int type) const {
    const auto name = symbol<const char* (*)(int)>("ggml_type_name");
    return type >= 0 && name != nullptr && name(type) != nullptr && std::string(name(type)) != "NONE";
  }

  void open(std::string folder) {
    if (const char* const wish = std::getenv("NBIT_GGML"); folder.empty() && wish != nullptr) folder = wish;
    if (folder.empty()) folder = python_folder();
    if (folder.empty()) {
      reason_ =
          "ggml is not measured: set NBIT_GGML to the folder of libggml-base.so and libggml-cpu.so, or put a "
          "Python with llama-cpp-python first on PATH";
      return;
    }
    base_ = dlopen((folder + "/libggml-base.so").c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (base_ != nullptr) cpu_ = dlopen((folder + "/libggml-cpu.so").c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (cpu_ == nullptr) {
      const char* const why = dlerror();
      reason_ = "ggml is not measured: " + std::string(why == nullptr ? folder : why);
      return;
    }
    folder_ = folder;
    if (const auto init = symbol<void (*)()>("ggml_cpu_init")) init();  // fills the f16 tables
  }

  static std::string python_folder() {
    std::string found;
    std::FILE* const p = popen(
        "python3 -c \"import importlib.util as u, os; s = u.find_spec('llama_cpp'); "
        "print(os.path.join(os.path.dirname(s.origin), 'lib') if s else '', end='')\" 2>/dev/null",
        "r");
    if (p == nullptr) return found;
    char line[1024];
    while (std::fgets(line, sizeof line, p) != nullptr) found += line;
    pclose(p);
    return found;
  }

  void *base_ = nullptr, *cpu_ = nullptr;
  std::string folder_, reason_;
};

}  // namespace nbit_bench

#endif
