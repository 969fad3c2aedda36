// nbit/solver/gptq_kicks.hpp — iterated local search over the codes of a row: push a few, descend, keep what ended
// lower.
//
// Half the loss's gradient, g = e H, is kept up to date move by move: a code whose error changes by a adds a times one
// row of H. A code holds as long as its entry of g lies between two bounds, which follow from the values beside it and
// change only when it moves; so the next code to move is found with two comparisons an entry, and a kick costs some
// forty such rows instead of products with all of H. Ref: Lourenco, Martin and Stuetzle 2003.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GPTQ_KICKS_HPP
#define NBIT_SOLVER_GPTQ_KICKS_HPP

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/random.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/kernel/row_update.hpp>
#include <nbit/solver/gptq_panel.hpp>
#include <nbit/solver/quadratic.hpp>
#include <nbit/solver/tune.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
namespace detail {

/// Columns that are searched together: of wider rows one stretch after another, so that H's part stays in the caches.
inline constexpr std::size_t kick_columns = 2048;
/// Codes that a kick pushes, codes that are examined after it, and kicks between two refits of the parameters. With
/// more than a few pushes, or a share of the columns, hardly a row ends lower.
inline constexpr std::size_t kick_pushes = 6, kick_examined = 64;
inline constexpr int kicks_between_refits = 64;
/// Kicks of every row unless another number is asked for, and how many take the time of the passes they make needless.
inline constexpr int usual_kicks = 64, kicks_for_passes = 32;

/// Whether codes have few enough values for tables; gptq_panel_kicks.hpp serves the other formats.
template <class F>
inline constexpr bool kicks_by_table = step_of<F> == 1 && F::bits <= 6;

/// The values that rounding can give, rising, with their codes.
template <class F>
struct value_table {
  static constexpr std::size_t size = kicks_by_table<F> ? std::size_t{1} << F::bits : 1;
  float values[size];
  code_t<F> codes[size];
  std::uint8_t count;
};

/// Columns of a row that share their values.
template <weight_format F>
NBIT_INLINE constexpr std::size_t same_values_over(std::size_t cols) {
  if constexpr (has_same_values<F>)
    return group_length<F>(cols);
  else if constexpr (has_exact_levels<F>)
    return F::run == 0 ? group_length<F>(cols) : std::size_t(F::run);
  else
    return 1;
}
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

/// What the search over one row needs: error, gradient (twice) and two bounds of each column, and its values.
template <class F>
struct kick_memory {
  buffer<float> floats;
  buffer<value_table<F>> tables;
  buffer<std::uint8_t> places;
};

/// Memory for rows of cols weights.  Errors: out_of_memory, overflow.
template <weight_format F>
inline result<void> make_kick_memory(kick_memory<F>& m, std::size_t cols, bool scattered_groups) {
  const std::size_t n = cols < kick_columns ? cols : kick_columns;
  auto floats = buffer<float>::make(5 * n);
  auto tables = buffer<value_table<F>>::make(n / (scattered_groups ? 1 : same_values_over<F>(cols)) + 2);
  auto places = buffer<std::uint8_t>::make(n);
  if (!floats) return floats.error();
  if (!tables) return tables.error();
  if (!places) return places.error();
  m.floats = *std::move(floats), m.tables = *std::move(tables), m.places = *std::move(places);
  return {};
}

/// The search over columns [first, first + cols) of row r of a panel; "column" counts from first.
template <weight_format F>
class row_search {
 public:
  row_search(const gptq_panel<F>& p, std::size_t r, std::size_t first, std::size_t cols, kick_memory<F>& memory)
      : p_(p), r_(r), first_(first), cols_(cols), memory_(memory) {}

  /// Takes errors and gradient from [column][row] panels.
  void load(const float* e, const float* gradient) {
    for (std::size_t c = 0; c < cols_; ++c) e_[c] = e[c * panel_rows + r_], g_[c] = gradient[c * panel_rows + r_];
    for (std::size_t c = 0; c < cols_; ++c) {
      value_table<F>& t = table(c);
      if (c == 0 || (first_ + c) % shared_ == 0) fill(t, c);
      std::uint8_t i = 0;
      while (i < t.count && t.codes[i] != codes_[c]) ++i;
      places_[c] = i < t.count ? i : stuck;
    }
    for (std::size_t c = 0; c < cols_; ++c) bound(c);
  }

  void store(float* e) const {
    for (std::size_t c = 0; c < cols_; ++c) e[c * panel_rows + r_] = e_[c];
  }

  /// Moves codes until no single move helps, or as many as there are columns.
  void settle() {
    for (std::size_t done = 0; done < cols_; done += kick_examined) {
      moves_ = 0;
      descend();
      if (moves_ == 0) break;
    }
  }

  /// Kicks [begin, end): the same columns in every row, so a row's codes do not depend on where it stands.
  void kick(int begin, int end) {
    copy(g_, kept_);
    for (int k = begin; k < end; ++k) {
      random_stream random(static_cast<std::uint64_t>(k) << 32 | first_);
      moves_ = 0, gain_ = 0, turnover_ = 0;
      for (std::size_t m = 0; m < kick_pushes; ++m) push(random);
      descend();
      if (gain_ < -1e-5 * turnover_)  // less than that is rounding
        copy(g_, kept_);
      else
        take_back();
    }
  }

 private:
  static constexpr std::size_t most_moves = kick_pushes + kick_examined;
  static constexpr std::uint8_t stuck = 255;  // the place of a code that rounding never gives

  /// A column as it was before a move.
  struct move {
    std::size_t column;
    code_t<F> code;
    std::uint8_t place;
    float e, least, most;
  };

  const typename F::params& params(std::size_t column) const { return params_of<F>(p_, r_, first_ + column); }
  int place_of(std::size_t column) const { return place_in_group<F>(first_ + column); }
  const float* metric_row(std::size_t column) const {
    return p_.job->m->h.data() + (first_ + column) * p_.job->m->stride + first_;
  }
  value_table<F>& table(std::size_t column) const {
    return memory_.tables[(first_ + column) / shared_ - first_ / shared_];
  }
  void copy(const float* from, float* to) const {
    for (std::size_t c = 0; c < cols_; ++c) to[c] = from[c];
  }

  void fill(value_table<F>& t, std::size_t column) const {
    const typename F::params& p = params(column);
    std::size_t n = 0;
    for (std::size_t c = 0; c < value_table<F>::size; ++c) {
      const float v = F::value(static_cast<int>(c), p, place_of(column));
      if (!is_finite(v) || F::code(v, p, place_of(column)) != static_cast<int>(c)) continue;
      std::size_t i = n++;
      for (; i > 0 && t.values[i - 1] > v; --i) t.values[i] = t.values[i - 1], t.codes[i] = t.codes[i - 1];
      t.values[i] = v, t.codes[i] = static_cast<code_t<F>>(c);
    }
    t.count = static_cast<std::uint8_t>(n);
  }

  /// Sets the bounds of a column. A value d higher changes the loss by d^2 h - 2 d g: it pays as soon as g > h d / 2.
  void bound(std::size_t column) {
    NBIT_EXACT
    constexpr float none = std::numeric_limits<float>::infinity();
    const value_table<F>& t = table(column);
    const std::size_t i = places_[column];
    const float half = 0.5f * metric_row(column)[column];
    least_[column] = i == stuck || i == 0 ? -none : (t.values[i - 1] - t.values[i]) * half;
    most_[column] = i == stuck || i + 1 == t.count ? none : (t.values[i + 1] - t.values[i]) * half;
  }

  /// Gives a column the value at a place of its table, if it lowers the loss or needs not.
  void set(std::size_t column, std::size_t place, bool lower) {
    NBIT_EXACT
    const value_table<F>& t = table(column);
    const float* const h = metric_row(column);
    const float error = w_[column] - t.values[place], change = error - e_[column];
    const float gain = change * (2.0f * g_[column] + change * h[column]);
    if (!is_finite(gain) || (lower && !(gain < 0.0f))) return;
    gain_ += static_cast<double>(gain), turnover_ += static_cast<double>(abs(gain));
    log_[moves_++] = {column, codes_[column], places_[column], e_[column], least_[column], most_[column]};
    codes_[column] = t.codes[place], places_[column] = static_cast<std::uint8_t>(place), e_[column] = error;
    add_scaled(g_, h, change, cols_);
    bound(column);
  }

  /// Moves a column whose gradient left its bounds to the value where the loss is least.
  void improve(std::size_t column) {
    NBIT_EXACT
    const value_table<F>& t = table(column);
    const std::size_t count = t.count < t.size ? t.count : t.size;  // g++ does not see that it is
    std::size_t i = places_[column];
    const float target = t.values[i] + g_[column] / metric_row(column)[column];
    if (!is_finite(target)) return;
    if (g_[column] > 0.0f)
      for (++i; i + 1 < count && t.values[i + 1] - target < target - t.values[i];) ++i;
    else
      for (--i; i > 0 && target - t.values[i - 1] < t.values[i] - target;) --i;
    set(column, i, true);
  }

  /// Examines columns outside their bounds, round and round, until there is none.
  void descend() {
    std::size_t from = 0;
    for (std::size_t examined = 0; examined < kick_examined; ++examined) {
      std::size_t c = first_outside(g_, least_, most_, from, cols_);
      if (c == cols_ && from != 0) c = first_outside(g_, least_, most_, 0, cols_);
      if (c == cols_) return;
      improve(c);
      from = c + 1;
    }
  }

  /// Moves a random code to the next value on the side that its gradient points to.
  void push(random_stream& random) {
    const std::size_t column = random.below(static_cast<std::uint32_t>(cols_));
    const std::size_t i = places_[column], count = table(column).count;
    if (i == stuck || count < 2 || !(metric_row(column)[column] > 0.0f)) return;
    set(column, i == 0 || (g_[column] > 0.0f && i + 1 != count) ? i + 1 : i - 1, false);
  }

  void take_back() {
    copy(kept_, g_);
    while (moves_ != 0) {
      const move& m = log_[--moves_];
      codes_[m.column] = m.code, places_[m.column] = m.place, e_[m.column] = m.e;
      least_[m.column] = m.least, most_[m.column] = m.most;
    }
  }

  const gptq_panel<F>& p_;
  const std::size_t r_, first_, cols_;
  kick_memory<F>& memory_;
  const float* const w_ = p_.job->w.row(p_.first_row + r_).data() + first_;
  code_t<F>* const codes_ = p_.job->out->row_codes(p_.first_row + r_) + first_;
  float* const e_ = memory_.floats.data();
  float *const g_ = e_ + cols_, *const kept_ = g_ + cols_, *const least_ = kept_ + cols_, *const most_ = least_ + cols_;
  std::uint8_t* const places_ = memory_.places.data();
  const std::size_t shared_ = p_.job->out->group_index.empty() ? same_values_over<F>(p_.job->w.cols) : 1;
  std::size_t moves_ = 0;
  double gain_ = 0, turnover_ = 0;  // of the kick: change of the loss, and the sum of its moves' sizes
  move log_[most_moves];
};

/// Kicks every row of a panel; p.extra is overwritten. scratch: tune_scratch floats, or nullptr to leave the
/// parameters alone.
template <weight_format F>
inline void kick_rows(gptq_panel<F>& p, kick_memory<F>& memory, float* scratch) {
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  const std::size_t cols = job.w.cols;
  for (int begin = 0; begin < job.kicks; begin += kicks_between_refits) {
    const int end = job.kicks - begin < kicks_between_refits ? job.kicks : begin + kicks_between_refits;
    for (std::size_t first = 0; first < cols; first += kick_columns) {
      const std::size_t n = cols - first < kick_columns ? cols - first : kick_columns;
      for (std::size_t k = 0; k < n * panel_rows; ++k) p.extra[k] = 0.0f;
      add_product({p.extra, panel_rows, m.h.data() + first, m.stride, p.e, panel_rows, n, panel_rows, cols, 1.0f});
      for (std::size_t r = 0; r < p.rows; ++r) {
        row_search<F> search(p, r, first, n, memory);
        search.load(p.e + first * panel_rows, p.extra);
        search.settle();
        search.kick(begin, end);
        search.store(p.e + first * panel_rows);
      }
    }
    if (scratch != nullptr) tune_panel<F>(*job.out, p.first_row, p.rows, m.h.data(), m.stride, p.e, scratch);
  }
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
