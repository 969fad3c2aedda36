// tests/determinism/others.cpp — what has no format: activations, plain float weights, the solvers' product, a solver.
// SPDX-License-Identifier: MIT
#include "hashes.hpp"

#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/kernel/attention.hpp>
#include <nbit/kernel/epilogue.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/kernel/row_dot.hpp>
#include <nbit/solver/gptq.hpp>

namespace nbit_test {

std::vector<float> bell(nbit::random_stream& random, std::size_t n, float scale) {
  std::vector<float> out(n);
  for (float& v : out) {
    const float a = random.uniform() - random.uniform(), b = random.uniform() - random.uniform();
    v = (a + b) * scale;
    const std::uint32_t die = random.below(64);
    if (die == 0) v = 0.0f;
    if (die == 1) v *= 0x1p-120f;
    if (die == 2) v *= 8.0f;
  }
  return out;
}

void add_operations(const char* name, bool blocks, const operations& run, void* q, entries& out) {
  enum { quantize, codes, dequantize, gemv, gemv_int8_32, gemv_int8_256, gemm, gemm_int8_32, count };
  static constexpr const char* names[count] = {"quantize",     "codes",         "dequantize", "gemv",
                                               "gemv-int8-32", "gemv-int8-256", "gemm",       "gemm-int8-32"};
  hash h[count];
  nbit::random_stream random(2024);
  for (const problem& p : problems) {
    const auto weights = bell(random, p.rows * p.cols, 0.1f), x = bell(random, p.tokens * p.cols, 1.0f);
    if (!run.quantize({weights.data(), p.rows, p.cols}, h[quantize], h[codes], q)) return;
    std::vector<float> floats(weights.size()), y(p.rows), many(p.tokens * p.rows);
    run.dequantize(q, {floats.data(), p.rows, p.cols});
    h[dequantize].numbers(floats);
    run.gemv(q, {x.data(), p.cols}, y);
    h[gemv].numbers(y);
    const nbit::arch::scalar scalar;
    run.gemv_32(q, quantized<nbit::arch::scalar, 32>(scalar, x, 1, p.cols).view(), y);
    h[gemv_int8_32].numbers(y);
    run.gemv_256(q, quantized<nbit::arch::scalar, 256>(scalar, x, 1, p.cols).view(), y);
    h[gemv_int8_256].numbers(y);
    run.gemm(q, {x.data(), p.tokens, p.cols}, {many.data(), p.tokens, p.rows});
    h[gemm].numbers(many);
    run.gemm_32(q, quantized<nbit::arch::scalar, 32>(scalar, x, p.tokens, p.cols).view(),
                {many.data(), p.tokens, p.rows});
    h[gemm_int8_32].numbers(many);
  }
  for (int i = 0; i < count; ++i)
    if ((i != quantize || blocks) && h[i].value() != hash().value())  // nothing was added: not a thing of this layout
      out.push_back({std::string(name) + " " + names[i], run.tag, h[i].value()});
}

namespace {

template <int Group>
void add_activations(const char* name, entries& out) {
  nbit::arch::for_each_runnable([&](auto tag) {
    hash h;
    nbit::random_stream random(7);
    for (const problem& p : problems) {
      auto x = bell(random, p.tokens * p.cols, 1.0f);
      x[1] = std::bit_cast<float>(0x7f800000u), x[40] = std::bit_cast<float>(0x7fc00000u);  // infinity, NaN
      auto owner = quantized<decltype(tag), Group>(tag, x, p.tokens, p.cols);
      const auto view = owner.view();
      for (std::size_t r = 0; r < p.tokens; ++r) {
        for (std::size_t c = 0; c < view.stride(); ++c) h.integer(static_cast<std::uint8_t>(view.row_codes(r)[c]), 1);
        for (std::size_t b = 0; b < view.stride() / 16; ++b) {
          h.number(view.scale16(r, b));
          h.integer(static_cast<std::uint16_t>(view.row_sums(r)[b]), 2);
        }
      }
    }
    out.push_back({name, decltype(tag)::name, h.value()});
  });
}

template <class T>
void add_floats(const char* name, entries& out) {
  nbit::arch::for_each_runnable([&](auto tag) {
    hash h;
    nbit::random_stream random(8);
    for (const problem& p : problems) {
      const auto from = bell(random, p.rows * p.cols, 0.1f), x = bell(random, p.tokens * p.cols, 1.0f);
      std::vector<T> weights(from.size());
      for (std::size_t i = 0; i < from.size(); ++i) {
        if constexpr (std::is_same_v<T, float>)
          weights[i] = from[i];
        else
          weights[i] = T::from(from[i]);
      }
      const nbit::matrix_view<const T> w(weights.data(), p.rows, p.cols);
      std::vector<float> y(p.rows), many(p.tokens * p.rows);
      nbit::gemv(tag, w, std::span<const float>(x.data(), p.cols), std::span<float>(y));
      h.numbers(y);
      nbit::gemv(tag, w, quantized<decltype(tag), 32>(tag, x, 1, p.cols).view(), std::span<float>(y));
      h.numbers(y);
      nbit::gemm(tag, w, {x.data(), p.tokens, p.cols}, {many.data(), p.tokens, p.rows});
      h.numbers(many);
    }
    out.push_back({name, decltype(tag)::name, h.value()});
  });
}

void add_product(entries& out) {
  nbit::arch::for_each_runnable([&](auto tag) {
    hash h;
    nbit::random_stream random(9);
    constexpr std::size_t m = 13, n = 40, k = 150;
    const auto a = bell(random, k * m, 1.0f), b = bell(random, k * n, 1.0f);
    auto c = bell(random, m * n, 1.0f);
    nbit::product_kernel<decltype(tag)>::run({c.data(), n, a.data(), m, b.data(), n, m, n, k, -1.0f});
    h.numbers(c);
    out.push_back({"product", decltype(tag)::name, h.value()});
  });
}

void add_epilogues(entries& out) {
  nbit::arch::for_each_runnable([&](auto tag) {
    hash h;
    nbit::random_stream random(11);
    auto y = bell(random, 1000, 8.0f), z = y, g = y;
    nbit::apply(tag, nbit::then(nbit::silu{}), {y.data(), 1, y.size()});
    nbit::apply(tag, nbit::then(nbit::gelu{}), {z.data(), 1, z.size()});
    nbit::apply(tag, nbit::then(nbit::gelu_tanh{}, nbit::multiply_by{{y.data(), 1, y.size()}}, nbit::add_bias{z}),
                {g.data(), 1, g.size()});
    h.numbers(y), h.numbers(z), h.numbers(g);
    out.push_back({"epilogues", decltype(tag)::name, h.value()});
  });
}

void add_attention(entries& out) {
  nbit::arch::for_each_runnable([&](auto tag) {
    hash h;
    nbit::random_stream random(12);
    constexpr std::size_t positions = 21, dims = 64;
    const auto k = bell(random, positions * dims, 1.0f), v = bell(random, positions * dims, 1.0f),
               q = bell(random, dims, 1.0f);
    const auto keys = nbit::quantize<nbit::q8_0>(tag, {k.data(), positions, dims});
    const auto values = nbit::quantize<nbit::q4_0>(tag, {v.data(), positions, dims});
    if (keys && values) {
      std::vector<float> scores(positions), o(dims);
      nbit::attend(tag, std::span<const float>(q), keys->view(), values->view(), positions, 0.125f, scores, o);
      h.numbers(scores), h.numbers(o);
      nbit::attend(tag, quantized<decltype(tag), 32>(tag, q, 1, dims).view(), keys->view(), values->view(), positions,
                   0.125f, scores, o);
      h.numbers(o);
      h.number(nbit::row_dot(tag, keys->view(), 3, values->view(), 4));
    }
    out.push_back({"attention", decltype(tag)::name, h.value()});
  });
}

// Solvers choose the tag themselves: the selected one.
template <class F>
void add_gptq(const char* name, entries& out, bool correlated = false) {
  constexpr std::size_t rows = 5, cols = 256, tokens = 300;
  nbit::random_stream random(10);
  auto w = bell(random, rows * cols, 0.1f), x = bell(random, tokens * cols, 1.0f);
  for (std::size_t k = 1; correlated && k < x.size(); ++k) x[k] += 0.5f * x[k - 1];  // else it is plain rounding
  nbit::hessian statistics(cols);
  hash h;
  if (statistics.add({x.data(), tokens, cols})) {
    const auto solved = nbit::gptq<F>({w.data(), rows, cols}, statistics);
    if (solved) {
      for (const auto c : solved->codes.codes) h.integer(c, 4);
      h.integer(std::bit_cast<std::uint64_t>(static_cast<double>(solved->report.loss)), 8);
    }
  }
  out.push_back({name, nbit::arch::selected_name(), h.value()});
}

}  // namespace
}  // namespace nbit_test

void nbit_test::add_others(entries& out) {
  add_activations<32>("activations-32", out);
  add_activations<256>("activations-256", out);
  add_activations<nbit::per_row>("activations-row", out);
  add_floats<float>("f32 products", out);
  add_floats<nbit::f16>("f16 products", out);
  add_floats<nbit::bf16>("bf16 products", out);
  add_product(out);
  add_epilogues(out);
  add_attention(out);
  add_gptq<nbit::w3g64a>("gptq w3g64a", out);
  add_gptq<nbit::q3_k>("gptq Q3_K", out);
  add_gptq<nbit::w3g64a>("gptq correlated w3g64a", out, true);
  add_gptq<nbit::q3_k>("gptq correlated Q3_K", out, true);
}
