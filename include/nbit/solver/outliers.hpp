// nbit/solver/outliers.hpp — a few weights apart: W = quantized + sparse, each chosen for what the other leaves.
//
// The weights whose rounding hurts the output most (error^2 times D_j, the loss that no later column can undo) become a
// sparse matrix of 16-bit numbers; the rest is solved with its outliers gone, so its grids shrink. Then in turns the
// sparse numbers are set to what makes up for all errors of their row, and the codes are refined for what is left.
// With a super-block format (Q2_K, Q3_K: scales of scales) this is SpQR's file: small groups, two-level parameters,
// outliers in compressed rows.  Ref: Dettmers et al. 2023, "SpQR"; the joint choice of both parts is ours.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_OUTLIERS_HPP
#define NBIT_SOLVER_OUTLIERS_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/rtn.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

struct outlier_options {
  double share = 0.01;  // of the weights that become outliers, 0 to 0.5; each costs 32 bits (value and column)
  int rounds = 3;       // of setting the sparse part and refining the codes, 0 to 100
  gptq_options gptq = {};
};

/// Compressed rows: entries of row r are first[r] .. first[r + 1], columns ascending.
struct sparse_rows {
  std::size_t rows = 0, cols = 0;
  buffer<std::uint32_t> first;  // rows + 1
  buffer<std::uint32_t> column;
  buffer<f16> value;  // what is added to the quantized weight

  NBIT_HOST_INLINE sparse_rows() noexcept = default;
  NBIT_HOST_INLINE sparse_rows(sparse_rows&&) noexcept = default;
  NBIT_HOST_INLINE sparse_rows& operator=(sparse_rows&&) noexcept = default;
  NBIT_HOST_INLINE ~sparse_rows() = default;

  [[nodiscard]] NBIT_INLINE std::size_t count() const { return column.size(); }
};

template <weight_format F>
struct outlier_result {
  coded_matrix<F> codes;
  sparse_rows sparse;
  solve_report report = {};  // loss: of both parts together

  NBIT_HOST_INLINE outlier_result() noexcept = default;
  NBIT_HOST_INLINE outlier_result(outlier_result&&) noexcept = default;
  NBIT_HOST_INLINE outlier_result& operator=(outlier_result&&) noexcept = default;
  NBIT_HOST_INLINE ~outlier_result() = default;
};

inline namespace NBIT_TAG {

/// Adds the sparse part to dense weights.  Needs: the same shape.
inline void add_sparse(const sparse_rows& s, matrix_view<float> w) {
  for (std::size_t r = 0; r < s.rows; ++r)
    for (std::size_t k = s.first[r]; k < s.first[r + 1]; ++k) w(r, s.column[k]) += static_cast<float>(s.value[k]);
}

namespace detail {

/// Marks the count largest scores, the first of equals.  Needs: no score is negative, so that bits order as numbers do.
inline void mark_largest(std::span<const float> scores, std::size_t count, unsigned char* marked) {
  for (std::size_t i = 0; i < scores.size(); ++i) marked[i] = 0;
  if (count == 0) return;
  // The bits of the least marked score, eight at a time; left: how many scores with the bits known so far it marks.
  std::uint32_t least = 0;
  std::size_t left = count;
  for (int shift = 24; shift >= 0; shift -= 8) {
    std::size_t with[256] = {};
    for (const float v : scores) {
      const auto bits = std::bit_cast<std::uint32_t>(v);
      if (std::uint64_t{bits ^ least} >> (shift + 8) == 0) ++with[bits >> shift & 255u];
    }
    std::uint32_t next = 255;
    for (; with[next] < left; --next) left -= with[next];
    least |= next << shift;
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(scores[i]);
    if (bits > least)
      marked[i] = 1;
    else if (bits == least && left > 0)
      marked[i] = 1, --left;
  }
}

/// Sets each sparse number of a panel to the least loss, column by column; e: w - quantized - sparse, [column][row].
inline void set_sparse(const metric& m, sparse_rows& s, std::size_t first_row, std::size_t rows, float* e) {
  NBIT_EXACT
  std::size_t next[panel_rows] = {};
  for (std::size_t r = 0; r < rows; ++r) next[r] = s.first[first_row + r];
  for (std::size_t c = 0; c < m.cols; ++c) {
    const float* const h = m.h.data() + c * m.stride;
    for (std::size_t r = 0; r < rows; ++r) {
      if (next[r] == s.first[first_row + r + 1] || s.column[next[r]] != c) continue;
      float slope = 0.0f;
      for (std::size_t i = 0; i < m.cols; ++i) slope += h[i] * e[i * panel_rows + r];
      f16& stored = s.value[next[r]++];
      const float now = static_cast<float>(stored), wanted = now + slope / h[c];
      if (!is_finite(wanted)) continue;
      const f16 moved = stored_float<f16>(wanted);
      const float by = static_cast<float>(moved) - now;
      if (!(by * (by * h[c] - 2.0f * slope) < 0.0f)) continue;
      stored = moved;
      e[c * panel_rows + r] -= by;
    }
  }
}

}  // namespace detail

/// Quantizes w with a share of its weights apart.  Errors: those of gptq; invalid_option.
/// Cost: gptq, and for each round a refinement and rows cols^2 share multiply-adds.
template <weight_format F, class Executor = serial>
result<outlier_result<F>> outliers(matrix_view<const float> w, const hessian& h, const outlier_options& o = {},
                                   Executor&& ex = {}) {
  using namespace detail;
  if (!(o.share >= 0 && o.share <= 0.5))
    return make_error(errc::invalid_option, "share of outliers is out of range", "0 to 0.5").about("share");
  if (o.rounds < 0 || o.rounds > 100)
    return make_error(errc::invalid_option, "number of rounds is out of range", "0 to 100")
        .about("rounds")
        .with(o.rounds);
  if (auto fine = check_gptq<F>(w, h, o.gptq); !fine) return fine.error();
  const std::size_t rows = w.rows, cols = w.cols, cells = rows * cols;
  if (cells > 0xffffffffu) return make_error(errc::overflow, "too many weights for 32-bit positions", "up to 2^32 - 1");
  const std::size_t count = static_cast<std::size_t>(o.share * static_cast<double>(cells));
  outlier_result<F> out;
  auto first = buffer<std::uint32_t>::zeros(rows + 1);
  auto column = buffer<std::uint32_t>::make(count);
  auto value = buffer<f16>::zeros(count);
  auto rest = buffer<float>::make(cells);
  auto scratch = buffer<float>::make(cells);
  auto marked = buffer<unsigned char>::zeros(cells);
  if (!first) return first.error();
  if (!column) return column.error();
  if (!value) return value.error();
  if (!rest) return rest.error();
  if (!scratch) return scratch.error();
  if (!marked) return marked.error();
  sparse_rows& s = out.sparse;
  s.rows = rows, s.cols = cols;
  s.first = *std::move(first), s.column = *std::move(column), s.value = *std::move(value);
  const matrix_view<float> dense(rest->data(), rows, cols), scores(scratch->data(), rows, cols);

  // How much each weight's rounding hurts: its error under plain rounding, weighted by D.
  auto m = make_metric(h, {}, {o.gptq.damping, o.gptq.shrink}, ex);
  if (!m) return m.error();
  auto rounded = round_to_nearest<F>(w, {}, ex);
  if (!rounded) return rounded.error();
  decode_matrix(*rounded, scores);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      // Large weights are outliers even if the grid, which they stretch, meets them.
      const float e = abs(w(r, c) - scores(r, c)), size = abs(w(r, c)) * 0.5f, hurt = e > size ? e : size;
      const float score = hurt * hurt * m->d[c];
      scores(r, c) = is_finite(score) ? score : 3e38f;
    }
  mark_largest({scratch->data(), cells}, count, marked->data());
  std::size_t next = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    s.first[r] = static_cast<std::uint32_t>(next);
    for (std::size_t c = 0; c < cols; ++c) {
      const bool apart = (*marked)[r * cols + c] != 0;
      dense(r, c) = apart ? 0.0f : w(r, c);
      if (apart) s.column[next] = static_cast<std::uint32_t>(c), s.value[next++] = stored_float<f16>(w(r, c));
    }
  }
  s.first[rows] = static_cast<std::uint32_t>(next);

  auto solved = gptq<F>(matrix_view<const float>(dense), h, o.gptq, ex);
  if (!solved) return solved.error();
  out.codes = std::move(solved->codes), out.report = solved->report;
  const std::size_t tasks = (rows + panel_rows - 1) / panel_rows;
  auto errors = buffer<float>::make(tasks * panel_rows * cols);
  auto losses = buffer<double>::zeros(2 * tasks * panel_rows);
  if (!errors) return errors.error();
  if (!losses) return losses.error();
  for (int round = 0; round <= o.rounds && !w.empty(); ++round) {
    decode_matrix(out.codes, scores);
    float* const e = errors->data();
    double* const loss = losses->data();
    const metric* const at = &*m;
    ex(tasks, [=, &s](std::size_t task) {
      const std::size_t begin = task * panel_rows, n = rows - begin < panel_rows ? rows - begin : panel_rows;
      float* const panel = e + begin * cols;
      for (std::size_t k = 0; k < panel_rows * cols; ++k) panel[k] = 0.0f;
      for (std::size_t r = 0; r < n; ++r) {
        for (std::size_t c = 0; c < cols; ++c) panel[c * panel_rows + r] = w(begin + r, c) - scores(begin + r, c);
        for (std::size_t k = s.first[begin + r]; k < s.first[begin + r + 1]; ++k)
          panel[s.column[k] * panel_rows + r] -= static_cast<float>(s.value[k]);
      }
      set_sparse(*at, s, begin, n, panel);
      quadratic_form(at->h.data(), at->stride, cols, panel, loss + begin);
    });
    out.report.loss = 0;
    for (std::size_t r = 0; r < rows; ++r) out.report.loss += loss[r];
    if (round == o.rounds) break;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) dense(r, c) = w(r, c);
      for (std::size_t k = s.first[r]; k < s.first[r + 1]; ++k) dense(r, s.column[k]) -= static_cast<float>(s.value[k]);
    }
    auto better = refine<F>(matrix_view<const float>(dense), h, out.codes, o.gptq, ex);
    if (!better) return better.error();
  }
  return out;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
