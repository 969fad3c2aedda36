// nbit/solver/rtn.hpp — round to nearest: every group by itself, with the format's own encoder or with a search.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_RTN_HPP
#define NBIT_SOLVER_RTN_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/search.hpp>

#if !defined(NBIT_NO_HEAP)

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

template <weight_format F>
inline result<coded_matrix<F>> start_rounding(matrix_view<const float> w, std::span<const float> importance) {
  if (!fits_format<F>(w.cols)) return shape_error<F>(w.cols);
  if (!importance.empty() && importance.size() != w.cols)
    return make_error(errc::shape, "importance has another length than a row", "empty, or one number for each column")
        .about("importance")
        .with(static_cast<std::int64_t>(importance.size()));
  for (std::size_t c = 0; c < importance.size(); ++c)
    if (!(importance[c] >= 0.0f && importance[c] <= 3e38f))
      return make_error(errc::not_finite, "importance is NaN, infinite or negative", "finite numbers from 0 up")
          .about("importance")
          .at(std::int64_t{0}, static_cast<std::int64_t>(c));
  if (auto fine = all_finite(w); !fine) return fine.error();
  auto made = coded_matrix<F>::make(w.shape());
  if (!made) return made.error();
  if constexpr (F::group == per_tensor) {
    if (!w.empty()) {
      auto p = fit_tensor<F>(w, importance);
      if (!p) return p.error();
      made->params[0] = *p;
    }
  }
  return made;
}

}  // namespace detail

/// Rounds every weight to nearest with the format's own encoder, or its fit. importance: one number per column that
/// says how much its error matters (mean x^2), or empty; what it changes is up to the format. Errors: shape, not_finite
/// with row and column, out_of_memory.
template <weight_format F, class Executor = serial>
result<coded_matrix<F>> round_to_nearest(matrix_view<const float> w, std::span<const float> importance = {},
                                         Executor&& ex = {}) {
  auto made = detail::start_rounding<F>(w, importance);
  if (!made) return made;
  coded_matrix<F>& q = *made;
  ex(w.rows, [&q, w, importance](std::size_t r) {
    detail::encode_row<F>(w.row(r), importance, q.row_codes(r), q.params.data() + q.params_index(r, 0));
  });
  return made;
}

/// Rounds to nearest with parameters searched for the least (weighted) squared error of each group. Formats with an
/// encoder of their own search already: they are passed to it.
/// Errors: shape, not_finite with row and column, out_of_memory.
template <weight_format F, class Executor = serial>
result<coded_matrix<F>> round_with_search(matrix_view<const float> w, std::span<const float> importance = {},
                                          const search_options& o = {}, Executor&& ex = {}) {
  if constexpr (encodes_itself<F> || F::group == per_tensor) {
    static_cast<void>(o);
    return round_to_nearest<F>(w, importance, ex);
  } else {
    auto made = detail::start_rounding<F>(w, importance);
    if (!made || w.empty()) return made;
    coded_matrix<F>& q = *made;
    const std::size_t tasks = (w.rows + 31) / 32, length = group_length<F>(w.cols);
    auto scratch = buffer<float>::make(tasks * length);
    if (!scratch) return scratch.error();
    float* const memory = scratch->data();
    ex(tasks, [&q, w, importance, &o, memory, length](std::size_t task) {
      for (std::size_t r = task * 32; r < w.rows && r < task * 32 + 32; ++r)
        for (std::size_t first = 0, g = 0; first < w.cols; first += length, ++g) {
          const std::size_t n = w.cols - first < length ? w.cols - first : length;
          typename F::params& p = q.params[q.params_index(r, g)];
          const std::span<const float> group = w.row(r).subspan(first, n);
          p = detail::search_group<F>(group, importance.empty() ? importance : importance.subspan(first, n), o,
                                      memory + task * length);
          detail::round_group<F>(group, p, 0, q.row_codes(r) + first / std::size_t(step_of<F>));
        }
    });
    return made;
  }
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
