// nbit/adapters/library_gram.hpp — the Gram matrix by somebody else's product: adapters/cblas.hpp, adapters/cublas.hpp.
//
// A Library multiplies panels of 512 tokens:
//   static constexpr std::size_t panels;                       // products that its sums hold before they are taken
//   result<double> add(const float* tokens, std::size_t n);    // sums += X^T X of n rows of cols numbers; the sum of
//   the
//                                                              // squares of the off-diagonal entries of that product
//   result<void> take(float* out);                             // the lower triangle of the sums, cols x cols; then
//   zero
//
// Sums differ from the built-in kernel's in the last bits, and with the library, its version and its threads; codes are
// as good. 512 tokens are one product, so the noise estimate sees blocks of 512 tokens instead of 128.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ADAPTERS_LIBRARY_GRAM_HPP
#define NBIT_ADAPTERS_LIBRARY_GRAM_HPP

#include <cstddef>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/solver/calibration.hpp>

namespace nbit {

/// Feeds statistics through a library; its memory (cols^2 and 512 cols floats here) serves all layers of one width.
template <class Library>
class library_gram {
 public:
  /// Errors: out_of_memory, overflow; the library's.
  static result<library_gram> make(std::size_t cols) {
    auto library = Library::make(cols);
    if (!library) return library.error();
    auto tokens = buffer<float>::make(gram_panel::tokens * cols);
    if (!tokens) return tokens.error();
    auto sums = buffer<float>::make(cols * cols);
    if (!sums) return sums.error();
    library_gram made(*std::move(library));
    made.cols_ = cols, made.tokens_ = *std::move(tokens), made.sums_ = *std::move(sums);
    return result<library_gram>(std::move(made));  // nvcc does not move it by itself
  }

  /// What hessian::add does.  Errors: shape, not_finite (then nothing was added), out_of_memory; the library's, after
  /// which the statistics lack tokens.
  result<void> add(hessian& to, matrix_view<const float> x) {
    if (to.cols() != cols_ || x.cols != cols_)
      return make_error(errc::shape, "batch, statistics and the library's memory differ in columns", "one width")
          .with(static_cast<std::int64_t>(x.cols));
    if (auto done = detail::gram_access::allocate(to); !done || cols_ == 0) return done;
    detail::gram_sums& g = detail::gram_access::of(to);
    result<void> outcome;
    if (auto done = detail::gram_add(g, x, [&](detail::gram_sums&) { note(outcome, fold(g)); }); !done) return done;
    note(outcome, take(g));
    return outcome;
  }

 private:
  explicit library_gram(Library library) : library_(std::move(library)) {}

  static void note(result<void>& first, result<void> next) {
    if (first && !next) first = next;
  }

  result<void> fold(detail::gram_sums& g) {
    const std::size_t n = g.pending;
    for (std::size_t t = 0; t < n; ++t)
      for (std::size_t c = 0; c < cols_; ++c) tokens_[t * cols_ + c] = g.panel[gram_panel::at(t, c)];
    g.pending = 0;
    const auto square = library_.add(tokens_.data(), n);
    if (!square) return square.error();
    g.block_square += *square, g.block_tokens_square += static_cast<double>(n) * static_cast<double>(n), ++g.blocks;
    return ++held_ < Library::panels ? result<void>() : take(g);
  }

  /// Moves what the library holds into the statistics.
  result<void> take(detail::gram_sums& g) {
    if (held_ == 0) return {};
    held_ = 0;
    if (auto done = library_.take(sums_.data()); !done) return done;
    detail::with_sums(g, [&](auto* sums) {
      for (std::size_t r = 0; r < cols_; ++r)
        for (std::size_t c = 0; c <= r; ++c)
          sums[gram_triangle::at(r, c)] += static_cast<std::remove_pointer_t<decltype(sums)>>(sums_[r * cols_ + c]);
    });
    return {};
  }

  Library library_;
  std::size_t cols_ = 0, held_ = 0;
  buffer<float> tokens_, sums_;
};

}  // namespace nbit

#endif
