// tests/determinism/hashes.hpp — one hash for each (format, operation) on fixed inputs, the same on every machine.
//
// Bytes in memory may differ between machines where words do (byte order); what is hashed are numbers: codes, float
// bits and the bytes of block formats, which files hold.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_DETERMINISM_HASHES_HPP
#define NBIT_TESTS_DETERMINISM_HASHES_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nbit/base/random.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/kernel/row_tiles.hpp>

namespace nbit_test {

/// FNV-1a over numbers, least significant byte first on every machine.
class hash {
 public:
  NBIT_NOINLINE void bytes(const std::byte* p, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) add8(static_cast<std::uint8_t>(p[i]));
  }
  NBIT_NOINLINE void integer(std::uint64_t v, int width) {
    for (int i = 0; i < width; ++i) add8(static_cast<std::uint8_t>(v >> (8 * i)));
  }
  void number(float v) { integer(std::bit_cast<std::uint32_t>(v), 4); }
  NBIT_NOINLINE void numbers(const std::vector<float>& all) {
    for (const float v : all) number(v);
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  void add8(std::uint8_t b) { value_ = (value_ ^ b) * 1099511628211u; }
  std::uint64_t value_ = 1469598103934665603u;
};

/// What one machine computed: "format operation" and the tag that computed it.
struct entry {
  std::string name;
  const char* tag;
  std::uint64_t value;
};
using entries = std::vector<entry>;

/// Sums of four uniform numbers: a bell without a library function. Some are zero, some tiny.
std::vector<float> bell(nbit::random_stream& random, std::size_t n, float scale);

/// The shapes every operation runs on: more columns than a chunk and a ragged end; a short row.
struct problem {
  std::size_t rows, cols, tokens;
};
inline constexpr problem problems[] = {{5, 556, 7}, {3, 45, 2}};

template <class Tag, int Group>
nbit::int8_activation_matrix<Group> quantized(Tag tag, const std::vector<float>& x, std::size_t tokens,
                                              std::size_t cols) {
  auto made = nbit::int8_activation_matrix<Group>::make({tokens, cols});
  if (!made) return {};
  nbit::quantize_activations(tag, nbit::matrix_view<const float>(x.data(), tokens, cols), made->view());
  return *std::move(made);
}

/// The operations of one format with one tag, behind pointers: the driver below is compiled once, not per format.
struct operations {
  const char* tag;
  bool (*quantize)(nbit::matrix_view<const float> w, hash& bytes, hash& codes, void* q);
  void (*dequantize)(const void* q, nbit::matrix_view<float> out);
  void (*gemv)(const void* q, std::span<const float> x, std::span<float> y);
  void (*gemv_32)(const void* q, nbit::int8_activations<32> x, std::span<float> y);
  void (*gemv_256)(const void* q, nbit::int8_activations<256> x, std::span<float> y);
  void (*gemm)(const void* q, nbit::matrix_view<const float> x, nbit::matrix_view<float> y);
  void (*gemm_32)(const void* q, nbit::int8_activations<32> x, nbit::matrix_view<float> y);
};
void add_operations(const char* name, bool blocks, const operations& run, void* q, entries& out);

/// Adds every operation of a format in a layout, with every tag that runs here.
template <class F, class L = nbit::default_layout<F>>
void add_format(const char* name, entries& out) {
  using packed = nbit::packed_matrix<F, L>;
  static constexpr auto view = [](const void* q) { return static_cast<const packed*>(q)->view(); };
  nbit::arch::for_each_runnable([&](auto tag) {
    using arch = decltype(tag);
    operations run;
    run.tag = arch::name;
    run.quantize = [](nbit::matrix_view<const float> w, hash& bytes, hash& codes, void* q) {
      auto made = nbit::quantize<F, L>(arch{}, w, nbit::quantize_options{.ragged = nbit::ragged_rows::pad});
      if (!made) return false;
      if constexpr (std::is_same_v<L, nbit::blocks>) bytes.bytes(made->bytes.data(), made->bytes.size());
      const auto unpacked = nbit::unpack_codes(made->view());
      if (!unpacked) return false;
      for (const auto c : unpacked->codes) codes.integer(c, 4);
      *static_cast<packed*>(q) = *std::move(made);
      return true;
    };
    run.dequantize = [](const void* q, nbit::matrix_view<float> to) { nbit::dequantize(arch{}, view(q), to); };
    run.gemv = [](const void* q, auto x, auto y) { nbit::gemv(arch{}, view(q), x, y); };
    run.gemv_32 = [](const void* q, auto x, auto y) { nbit::gemv(arch{}, view(q), x, y); };
    run.gemv_256 = [](const void* q, auto x, auto y) { nbit::gemv(arch{}, view(q), x, y); };
    run.gemm = [](const void* q, auto x, auto y) { nbit::gemm(arch{}, view(q), x, y); };
    run.gemm_32 = [](const void* q, auto x, auto y) { nbit::gemm(arch{}, view(q), x, y); };
    packed q;
    add_operations(name, std::is_same_v<L, nbit::blocks>, run, &q, out);
  });
}

/// The same on row tiles, which are repacked; with extensions for int8 gemm.
template <class F>
void add_tiles(const char* name, entries& out) {
  using packed = nbit::packed_matrix<F, nbit::row_tiles>;
  static constexpr auto view = [](const void* q) { return static_cast<const packed*>(q)->view(); };
  nbit::arch::for_each_runnable_int8([&](auto tag) {
    using extended = decltype(tag);
    using arch = nbit::arch::base_of<extended>;
    operations run;
    run.tag = extended::name;
    // not the bytes: tiles are for memory, in the machine's own order
    run.quantize = [](nbit::matrix_view<const float> w, hash&, hash&, void* q) {
      const auto made =
          nbit::quantize<F>(nbit::arch::scalar{}, w, nbit::quantize_options{.ragged = nbit::ragged_rows::pad});
      if (!made) return false;
      auto tiled = nbit::repack<nbit::row_tiles>(made->view());
      if (!tiled) return false;
      *static_cast<packed*>(q) = *std::move(tiled);
      return true;
    };
    run.dequantize = [](const void* q, nbit::matrix_view<float> to) { nbit::dequantize(arch{}, view(q), to); };
    run.gemv = [](const void* q, auto x, auto y) { nbit::gemv(arch{}, view(q), x, y); };
    run.gemv_32 = [](const void* q, auto x, auto y) { nbit::gemv(arch{}, view(q), x, y); };
    run.gemv_256 = [](const void* q, auto x, auto y) { nbit::gemv(arch{}, view(q), x, y); };
    run.gemm = [](const void* q, auto x, auto y) { nbit::gemm(arch{}, view(q), x, y); };
    run.gemm_32 = [](const void* q, auto x, auto y) { nbit::gemm(extended{}, view(q), x, y); };
    packed q;
    add_operations(name, false, run, &q, out);
  });
}

/// Row tiles with so many tokens that panels and matrix registers are used, with extensions.
inline constexpr problem many_tokens{37, 556, 29};
template <int Group, class Tag, class Tiles>
void add_product(Tag tag, const Tiles& tiles, const std::vector<float>& x, hash& h) {
  auto act = quantized<nbit::arch::scalar, Group>({}, x, many_tokens.tokens, many_tokens.cols);
  std::vector<float> y(many_tokens.tokens * many_tokens.rows);
  nbit::gemm(tag, tiles.view(), act.view(), {y.data(), many_tokens.tokens, many_tokens.rows});
  h.numbers(y);
}
template <class F>
void add_many_tokens(const char* name, entries& out) {
  nbit::arch::for_each_runnable_int8([&](auto tag) {
    hash h;
    nbit::random_stream random(2026);
    const auto weights = bell(random, many_tokens.rows * many_tokens.cols, 0.1f);
    const auto x = bell(random, many_tokens.tokens * many_tokens.cols, 1.0f);
    const auto made = nbit::quantize<F>(nbit::arch::scalar{}, {weights.data(), many_tokens.rows, many_tokens.cols},
                                        nbit::quantize_options{.ragged = nbit::ragged_rows::pad});
    if (!made) return;
    const auto tiles = nbit::repack<nbit::row_tiles>(made->view());
    if (!tiles) return;
    add_product<32>(tag, *tiles, x, h), add_product<256>(tag, *tiles, x, h);
    out.push_back({std::string(name) + " gemm-int8-many", decltype(tag)::name, h.value()});
  });
}

/// Row tiles with bf16 activations, with extensions.
template <class F>
void add_bf16_tiles(const char* name, entries& out) {
  nbit::arch::for_each_runnable_bf16([&](auto tag) {
    hash h;
    nbit::random_stream random(2025);
    for (const problem& p : problems) {
      const auto weights = bell(random, p.rows * p.cols, 0.1f);
      std::vector<nbit::bf16> x;
      for (const float v : bell(random, p.tokens * p.cols, 1.0f)) x.push_back(nbit::bf16::from(v));
      const auto made = nbit::quantize<F>(nbit::arch::scalar{}, {weights.data(), p.rows, p.cols},
                                          nbit::quantize_options{.ragged = nbit::ragged_rows::pad});
      if (!made) return;
      const auto tiles = nbit::repack<nbit::row_tiles>(made->view());
      if (!tiles) return;
      std::vector<float> y(p.tokens * p.rows);
      nbit::gemm(tag, tiles->view(), {x.data(), p.tokens, p.cols}, {y.data(), p.tokens, p.rows});
      h.numbers(y);
    }
    out.push_back({std::string(name) + " gemm-bf16", decltype(tag)::name, h.value()});
  });
}

void add_tiles(entries& out);
void add_uniform(entries& out);
void add_layouts(entries& out);
void add_ggml(entries& out);
void add_ggml_lattices(entries& out);
void add_others(entries& out);

}  // namespace nbit_test

#endif
