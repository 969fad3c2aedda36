// nbit/adapters/cblas.hpp — the Gram matrix by a BLAS library's ssyrk, where a program has one anyway.
//
// Not part of the umbrella header: needs <cblas.h> and a library.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ADAPTERS_CBLAS_HPP
#define NBIT_ADAPTERS_CBLAS_HPP

#include <cstddef>
#include <utility>

#include <cblas.h>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/adapters/library_gram.hpp>

namespace nbit {

/// BLAS as library_gram wants it: every product is taken at once.
class cblas_product {
 public:
  static constexpr std::size_t panels = 1;

  /// Errors: overflow, out_of_memory.
  static result<cblas_product> make(std::size_t cols) {
    if (cols > 0x7fffffff / 2) return make_error(errc::overflow, "too many columns for BLAS", "up to 2^30");
    auto product = buffer<float>::make(cols * cols);
    if (!product) return product.error();
    cblas_product made;
    made.cols_ = cols, made.product_ = *std::move(product);
    return result<cblas_product>(std::move(made));
  }

  result<double> add(const float* tokens, std::size_t n) {
    const int cols = static_cast<int>(cols_);
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, cols, static_cast<int>(n), 1.0f, tokens, cols, 0.0f,
                product_.data(), cols);
    double square = 0;
    for (std::size_t r = 0; r < cols_; ++r)
      for (std::size_t c = 0; c < r; ++c) {
        const double v = static_cast<double>(product_[r * cols_ + c]);
        square += 2 * v * v;
      }
    return square;
  }

  result<void> take(float* out) {
    for (std::size_t i = 0; i < cols_ * cols_; ++i) out[i] = product_[i];
    return {};
  }

 private:
  std::size_t cols_ = 0;
  buffer<float> product_;
};

/// Feeds statistics through BLAS.
using cblas_gram = library_gram<cblas_product>;

}  // namespace nbit

#endif
