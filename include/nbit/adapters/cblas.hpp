// nbit/adapters/cblas.hpp — the Gram matrix by a BLAS library's ssyrk, where a program has one anyway.
//
// Sums differ from the built-in kernel's in the last bits, and with the library, its version and its threads; codes are
// as good. 512 tokens are one product, so the noise estimate sees blocks of 512 tokens instead of 128.
// Not part of the umbrella header: needs <cblas.h> and a library.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ADAPTERS_CBLAS_HPP
#define NBIT_ADAPTERS_CBLAS_HPP

#include <cstddef>
#include <utility>

#include <cblas.h>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/solver/calibration.hpp>

namespace nbit {

/// Feeds statistics through BLAS; its memory (cols^2 and 512 cols floats) serves all layers of one width.
class cblas_gram {
 public:
  /// Errors: out_of_memory, overflow.
  static result<cblas_gram> make(std::size_t cols) {
    if (cols > 0x7fffffff / 2) return make_error(errc::overflow, "too many columns for BLAS", "up to 2^30");
    auto tokens = buffer<float>::make(gram_panel::tokens * cols);
    if (!tokens) return tokens.error();
    auto product = buffer<float>::make(cols * cols);
    if (!product) return product.error();
    cblas_gram made;
    made.cols_ = cols, made.tokens_ = *std::move(tokens), made.product_ = *std::move(product);
    return made;
  }

  /// What hessian::add does.  Errors: shape, not_finite (then nothing was added), out_of_memory.
  result<void> add(hessian& to, matrix_view<const float> x) {
    if (to.cols() != cols_ || x.cols != cols_)
      return make_error(errc::shape, "batch, statistics and BLAS memory differ in columns", "one width")
          .with(static_cast<std::int64_t>(x.cols));
    if (auto done = detail::gram_access::allocate(to); !done || cols_ == 0) return done;
    return detail::gram_add(detail::gram_access::of(to), x, [this](detail::gram_sums& g) { fold(g); });
  }

 private:
  void fold(detail::gram_sums& g) {
    const std::size_t n = cols_;
    for (std::size_t t = 0; t < g.pending; ++t)
      for (std::size_t c = 0; c < n; ++c) tokens_[t * n + c] = g.panel[gram_panel::at(t, c)];
    const int cols = static_cast<int>(n);
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, cols, static_cast<int>(g.pending), 1.0f, tokens_.data(), cols,
                0.0f, product_.data(), cols);
    double square = 0;
    detail::with_sums(g, [&](auto* sums) {
      for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = 0; c <= r; ++c) {
          const float v = product_[r * n + c];
          sums[gram_triangle::at(r, c)] += static_cast<std::remove_pointer_t<decltype(sums)>>(v);
          if (c < r) square += 2 * static_cast<double>(v) * static_cast<double>(v);
        }
    });
    const double length = static_cast<double>(g.pending);
    g.block_square += square, g.block_tokens_square += length * length, ++g.blocks;
    g.pending = 0;
  }

  std::size_t cols_ = 0;
  buffer<float> tokens_, product_;
};

}  // namespace nbit

#endif
