// tests/solver/support.hpp — formats, executors and layer problems that the solver tests share.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_SOLVER_SUPPORT_HPP
#define NBIT_TESTS_SOLVER_SUPPORT_HPP

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/eval/distortion.hpp>

#include "support/data.hpp"
#include "support/json.hpp"
#include "support/random.hpp"
#include "support/st.hpp"

namespace solver_test {

using nbit::hessian;
using nbit::matrix_view;

/// Asymmetric formats as the peers have them: f32 scales for parity, f16 as files store them.
template <int Bits, int Group>
struct peer_grid
    : nbit::uniform<nbit::scheme{
          .bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric, .scale = nbit::scale_type::f32}> {};
template <int Bits, int Group>
struct stored_grid
    : nbit::uniform<nbit::scheme{
          .bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric, .scale = nbit::scale_type::f16}> {};

/// A user's own format: powers of two with a sign, 16 weights to a scale.
struct powers {
  static constexpr int bits = 3, group = 16;
  struct params {
    nbit::f16 scale;
  };
  static float level(int c) {
    return (c & 4 ? -1.0f : 1.0f) * (std::array<float, 4>{0.0f, 0.25f, 0.5f, 1.0f})[std::size_t(c & 3)];
  }
  static params fit(std::span<const float> w, std::span<const float>) {
    float most = 0;
    for (const float v : w) most = std::max(most, nbit::abs(v));
    return {nbit::f16::from(most)};
  }
  static int code(float v, const params& p, int i) {
    int best = 0;
    for (int c = 1; c < 8; ++c)
      if (nbit::abs(v - value(c, p, i)) < nbit::abs(v - value(best, p, i))) best = c;
    return best;
  }
  static float value(int c, const params& p, int) { return float(p.scale) * level(c); }
};

/// A lattice of pairs: the checkerboard D2 (sums of coordinates even), 4 bits a coordinate, 32 weights to a scale.
struct checkerboard {
  static constexpr int bits = 8, group = 32, step = 2;
  struct params {
    float scale;
  };
  static params fit(std::span<const float> w, std::span<const float>) {
    float most = 0;
    for (const float v : w) most = std::max(most, nbit::abs(v));
    return {most / 7.0f};
  }
  static int code(std::span<const float> v, const params& p, int) {
    int best = 0;
    float least = 1e30f;
    for (int c = 0; c < 256; ++c) {
      const int a = c % 16 - 8, b = c / 16 - 8;
      if ((a + b) % 2 != 0) continue;
      const float x = v[0] - p.scale * static_cast<float>(a), y = v[1] - p.scale * static_cast<float>(b);
      if (x * x + y * y < least) least = x * x + y * y, best = c;
    }
    return best;
  }
  static void value(int c, const params& p, int, std::span<float> out) {
    out[0] = p.scale * static_cast<float>(c % 16 - 8), out[1] = p.scale * static_cast<float>(c / 16 - 8);
  }
};

/// Runs tasks last to first.
struct backwards {
  template <class F>
  void operator()(std::size_t n, F&& f) const {
    while (n-- > 0) f(n);
  }
};
/// Runs task i on thread i % count.
struct threads {
  std::size_t count;
  template <class F>
  void operator()(std::size_t n, F&& f) const {
    std::vector<std::thread> pool;
    for (std::size_t t = 0; t < count; ++t)
      pool.emplace_back([&f, t, n, step = count] {
        for (std::size_t i = t; i < n; i += step) f(i);
      });
    for (std::thread& t : pool) t.join();
  }
};

/// Inputs with correlations: a few hidden factors, noise, and channels of very different size.
inline std::vector<float> activations(std::size_t tokens, std::size_t cols, std::uint64_t seed) {
  nbit_test::random rng(seed);
  const std::size_t factors = 6;
  const std::vector<float> mix = rng.normals(factors * cols);
  std::vector<float> size(cols), x(tokens * cols);
  for (float& s : size) s = std::exp(0.8f * rng.normal());
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::vector<float> hidden = rng.normals(factors);
    for (std::size_t c = 0; c < cols; ++c) {
      float v = 0.5f * rng.normal();
      for (std::size_t k = 0; k < factors; ++k) v += 0.5f * hidden[k] * mix[k * cols + c];
      x[t * cols + c] = v * size[c];
    }
  }
  return x;
}

/// The same in sequences of `length` tokens that are alike: part of what they are is drawn once for all of them.
inline std::vector<float> texts(std::size_t tokens, std::size_t cols, std::size_t length, std::uint64_t seed) {
  std::vector<float> x = activations(tokens, cols, seed);
  const std::vector<float> subject = activations((tokens + length - 1) / length, cols, seed + 1);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 0; c < cols; ++c) x[t * cols + c] += subject[t / length * cols + c];
  return x;
}

/// Adds tokens [first, last) of a stream of sequences of `length`.
inline void add_sequences(hessian& h, const std::vector<float>& x, std::size_t first, std::size_t last,
                          std::size_t length) {
  const std::size_t cols = h.cols();
  while (first < last) {
    const std::size_t n = std::min(last, (first / length + 1) * length) - first;
    if (!h.add({x.data() + first * cols, n, cols})) std::abort();
    first += n;
    if (first % length == 0) h.end_sequence();
  }
}

inline hessian statistics(const std::vector<float>& x, std::size_t cols) {
  hessian h(cols);
  if (cols != 0 && !h.add({x.data(), x.size() / cols, cols})) std::abort();
  return h;
}

/// The mean Gram matrix as bytes can be compared.
inline std::vector<float> gram_of(const hessian& h) {
  std::vector<float> g(h.cols() * h.cols());
  h.write({g.data(), h.cols(), h.cols()});
  return g;
}

template <class F>
bool same(const nbit::coded_matrix<F>& a, const nbit::coded_matrix<F>& b) {
  return a.rows == b.rows && a.cols == b.cols &&
         std::equal(a.codes.begin(), a.codes.end(), b.codes.begin(), b.codes.end()) &&
         a.params.size() == b.params.size() &&
         (a.params.size() == 0 ||
          std::memcmp(static_cast<const void*>(a.params.data()), static_cast<const void*>(b.params.data()),
                      a.params.size() * sizeof(a.params[0])) == 0) &&
         std::equal(a.group_index.begin(), a.group_index.end(), b.group_index.begin(), b.group_index.end());
}

template <class F>
bool all_values_finite(const nbit::coded_matrix<F>& q) {
  std::vector<float> v(q.rows * q.cols);
  nbit::detail::decode_matrix(q, matrix_view<float>(v.data(), q.rows, q.cols));
  return std::all_of(v.begin(), v.end(), [](float x) { return nbit::is_finite(x); });
}

/// A real layer with peers' results (data folder, layers/).
struct layer {
  std::vector<float> weight;
  std::size_t rows = 0, cols = 0;
  hessian calib, eval;
  nbit_test::json peers;

  matrix_view<const float> w() const { return {weight.data(), rows, cols}; }
  /// A peer's figure: "calib" or "eval" of a method; NaN if there is none.
  double peer(const std::string& method, const char* which, int bits = 0, int group = 0) const {
    for (const nbit_test::json& r : peers["results"].items)
      if (r["method"].text == method && (bits == 0 || r["bits"].integer() == bits) &&
          (group == 0 || r["group"].integer() == group))
        return r[which].number();
    return std::nan("");
  }
  template <class Codes>
  double on_calib(const Codes& q) const {
    return *nbit::relative_output_error(w(), q, calib);
  }
  template <class Codes>
  double on_eval(const Codes& q) const {
    return *nbit::relative_output_error(w(), q, eval);
  }
};

inline hessian half_precision_tokens(const nbit_test::st_tensor& t) {
  const std::vector<std::uint16_t> bits = t.as<std::uint16_t>();
  std::vector<float> x(bits.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(nbit::f16::from_bits(bits[i]));
  return statistics(x, t.shape[1]);
}

inline std::optional<layer> load_layer(const std::string& name) {
  const auto tensors = nbit_test::data_path("layers/" + name + ".safetensors");
  const auto results = nbit_test::data_path("layers/" + name + ".json");
  if (!tensors || !results) return std::nullopt;
  const auto file = nbit_test::st_file::load(*tensors);
  const auto peers = nbit_test::json::load(*results);
  if (!file || !peers) return std::nullopt;
  layer l;
  l.weight = (*file)["weight"].as<float>();
  l.rows = (*file)["weight"].shape[0], l.cols = (*file)["weight"].shape[1];
  l.calib = half_precision_tokens((*file)["calib"]);
  l.eval = half_precision_tokens((*file)["eval"]);
  l.peers = *peers;
  return l;
}

}  // namespace solver_test

#endif
