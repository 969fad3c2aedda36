// nbit/tensor/encode.hpp — one row of weights to codes and parameters and back, for any weight_format.
//
// The formats' three questions (fit, code, value) asked group by group; a format's own encoder is used where it has
// one. Kernels replace these loops for the formats they know and must give the same codes. A ragged last group is
// passed to the format as a short span; callers refuse ragged rows for block formats first (fits_format).
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_ENCODE_HPP
#define NBIT_TENSOR_ENCODE_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// Whether encode_row uses F::encode.
template <class F>
inline constexpr bool encodes_itself = self_encoding<F>;

/// Whether rows of this many weights can be held by F: blocks of a file are never short, lattice points never split.
template <weight_format F>
NBIT_INLINE constexpr bool fits_format(std::size_t cols) {
  if constexpr (block_format<F> && F::group > 0) {
    if (cols % std::size_t(F::group) != 0) return false;
  }
  return cols % std::size_t(step_of<F>) == 0;
}

/// The error for a row length that F cannot hold.
template <weight_format F>
NBIT_INLINE constexpr error shape_error(std::size_t cols) {
  return make_error(errc::shape, "row length does not fit the format's blocks",
                    "a multiple of the format's group (blocks) or step (lattices)")
      .with(static_cast<std::int64_t>(cols));
}

inline namespace NBIT_TAG {
namespace detail {

/// Rounds the weights of one group with given parameters; `first` is the position of w[0] inside the group.
template <weight_format F>
inline void round_group(std::span<const float> w, const typename F::params& p, int first, code_t<F>* codes) {
  const int n = static_cast<int>(w.size());
  if constexpr (lattice_format<F>) {
    constexpr int step = step_of<F>;
    for (int i = 0; i < n; i += step)
      codes[i / step] = static_cast<code_t<F>>(F::code(w.subspan(std::size_t(i), std::size_t(step)), p, first + i));
  } else {
    for (int i = 0; i < n; ++i) codes[i] = static_cast<code_t<F>>(F::code(w[std::size_t(i)], p, first + i));
  }
}

/// Writes the values of one group's codes.
template <weight_format F>
inline void value_group(const code_t<F>* codes, const typename F::params& p, int first, std::span<float> out) {
  const int n = static_cast<int>(out.size());
  if constexpr (lattice_format<F>) {
    constexpr int step = step_of<F>;
    for (int i = 0; i < n; i += step)
      F::value(static_cast<int>(codes[i / step]), p, first + i, out.subspan(std::size_t(i), std::size_t(step)));
  } else {
    for (int i = 0; i < n; ++i) out[std::size_t(i)] = F::value(static_cast<int>(codes[i]), p, first + i);
  }
}

/// Parameters and codes of one group.
template <weight_format F>
inline void encode_group(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                         typename F::params& p, code_t<F>* codes) {
  if constexpr (encodes_itself<F>) {
    F::encode(w, importance, row_mean_square, p, std::span<code_t<F>>(codes, w.size() / std::size_t(step_of<F>)));
  } else {
    p = F::fit(w, importance);
    round_group<F>(w, p, 0, codes);
  }
}

/// The mean of the squares of a row, summed in order in float as the reference encoders do.
inline float row_mean_square(std::span<const float> row) {
  NBIT_EXACT
  float sum = 0.0f;
  for (const float v : row) sum += v * v;
  return row.empty() ? 0.0f : sum / static_cast<float>(row.size());
}

/// Encodes one row: all of its groups, the last perhaps short. importance: one weight for each column, or empty.
/// With one group per tensor, params holds the fitted parameters already and the row is only rounded.
/// Needs: fits_format<F>(row.size()).
template <weight_format F>
inline void encode_row(std::span<const float> row, std::span<const float> importance, code_t<F>* codes,
                       typename F::params* params) {
  if constexpr (F::group == per_tensor) {
    round_group<F>(row, *params, 0, codes);
  } else {
    float mean_square = 0.0f;
    if constexpr (encodes_itself<F>) mean_square = row_mean_square(row);
    const std::size_t length = group_length<F>(row.size());
    for (std::size_t first = 0, g = 0; first < row.size(); first += length, ++g) {
      const std::size_t n = row.size() - first < length ? row.size() - first : length;
      encode_group<F>(row.subspan(first, n), importance.empty() ? importance : importance.subspan(first, n),
                      mean_square, params[g], codes + first / std::size_t(step_of<F>));
    }
  }
}

/// Writes the values of one row of codes. group_index: empty, or the group of every column.
/// Needs: fits_format<F>(out.size()); group_index empty for lattice formats.
template <weight_format F>
inline void decode_row(const code_t<F>* codes, const typename F::params* params,
                       std::span<const std::uint32_t> group_index, std::span<float> out) {
  const std::size_t length = group_length<F>(out.size());
  if constexpr (grid_format<F>) {
    if (!group_index.empty()) {
      for (std::size_t c = 0; c < out.size(); ++c)
        out[c] = F::value(static_cast<int>(codes[c]), params[group_index[c]], static_cast<int>(c % length));
      return;
    }
  }
  for (std::size_t first = 0, g = 0; first < out.size(); first += length, ++g) {
    const std::size_t n = out.size() - first < length ? out.size() - first : length;
    value_group<F>(codes + first / std::size_t(step_of<F>), params[g], 0, out.subspan(first, n));
  }
}

/// The first weight that is NaN or infinite, as an error with its row and column.
inline result<void> all_finite(matrix_view<const float> w) {
  for (std::size_t r = 0; r < w.rows; ++r) {
    const std::span<const float> row = w.row(r);
    bool fine = true;
    for (const float v : row) fine &= is_finite(v);
    if (fine) continue;
    for (std::size_t c = 0; c < row.size(); ++c)
      if (!is_finite(row[c]))
        return make_error(errc::not_finite, "weight is NaN or infinite", "finite numbers")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c));
  }
  return {};
}

#if !defined(NBIT_NO_HEAP)
/// Parameters for a format with one group per tensor.  Errors: out_of_memory, overflow.
template <weight_format F>
  requires(F::group == per_tensor)
inline result<typename F::params> fit_tensor(matrix_view<const float> w, std::span<const float> importance) {
  if (w.stride == w.cols && importance.empty())
    return F::fit(std::span<const float>(w.data, w.rows * w.cols), importance);
  auto values = buffer<float>::make(w.rows * w.cols);
  if (!values) return values.error();
  auto weights = buffer<float>::make(importance.empty() ? 0 : w.rows * w.cols);
  if (!weights) return weights.error();
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) {
      (*values)[r * w.cols + c] = w(r, c);
      if (!importance.empty()) (*weights)[r * w.cols + c] = importance[c];
    }
  const buffer<float>& v = *values;
  const buffer<float>& i = *weights;
  return F::fit(v.span(), i.span());
}

/// Writes the values of a whole coded matrix.  Needs: out has the same shape.
template <weight_format F>
inline void decode_matrix(const coded_matrix<F>& q, matrix_view<float> out) {
  for (std::size_t r = 0; r < q.rows; ++r)
    decode_row<F>(q.row_codes(r), q.params.data() + q.params_index(r, 0), q.group_index.span(), out.row(r));
}
#endif

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
