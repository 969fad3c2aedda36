// nbit/tensor/transcode.hpp — the numbers of one format in another format, and a report of what became of them.
//
// repack moves codes and never changes a number. transcode changes the format: it looks for parameters whose levels
// are the source's own numbers, and measures what is left: exact (every number is the same float), rounded (parameters
// had to be rounded: each number moved by a small part of the step of its grid), or refused. It never quantizes anew:
// what does not fit is refused, and the caller decides about dequantize and quantize. Which pairs are exact: the
// generated table in docs/transcoding.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_TRANSCODE_HPP
#define NBIT_TENSOR_TRANSCODE_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/tensor/sorted_groups.hpp>
#include <nbit/tensor/transcode_grid.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// What became of the numbers of a tensor.
enum class fidelity : std::uint8_t { exact, rounded, refused };

inline namespace NBIT_TAG {

/// What a transcoding did. A step is the least distance between levels of the source at that weight.
struct transcode_report {
  fidelity kind = fidelity::exact;
  const char* reason = "";  // why it is refused; empty otherwise
  std::size_t weights = 0, changed = 0;
  double worst_steps = 0;        // largest |difference| / step
  double worst_absolute = 0;     // largest |difference|
  double worst_relative = 0;     // largest |difference| / |number|, numbers of 0 left out
  std::size_t row = 0, col = 0;  // of the largest in steps
};

/// What the caller accepts.
struct transcode_options {
  fidelity accept = fidelity::exact;  // rounded: numbers may move by up to most_steps
  float most_steps = 0.0625f;         // more than this is refused
};

/// A transcoded tensor and its report. A refused one has no weights.
template <weight_format To>
struct transcoded {
  coded_matrix<To> weights;
  transcode_report report;
};

namespace detail {

/// Values, steps and code 0 of one row of a source.
template <weight_format From>
inline void describe_row(const coded_matrix<From>& q, std::size_t r, std::span<float> value, std::span<float> step,
                         std::span<float> base) {
  decode_row<From>(q.row_codes(r), q.params.data() + q.params_index(r, 0), {}, value);
  if constexpr (grid_format<From>) {
    const std::size_t length = group_length<From>(q.cols);
    for (std::size_t c = 0; c < q.cols; ++c) {
      const int i = static_cast<int>(c % length);
      const typename From::params& p = q.params[q.params_index(r, c / length)];
      base[c] = From::value(0, p, i);
      if constexpr (integer_format<From>) {
        if constexpr (From::run > 0)
          step[c] = From::scale(p, i / From::run);
        else
          step[c] = From::scale(p, 0);
      } else if constexpr (requires { float(p.scale); }) {
        step[c] = float(p.scale);
      } else {
        step[c] = std::bit_cast<float>(0x7fc00000u);
      }
    }
  } else {
    for (float& s : step) s = std::bit_cast<float>(0x7fc00000u);
    for (float& b : base) b = 0.0f;
  }
}

/// Adds one weight's difference to a report.
inline void record(transcode_report& report, float from, float to, float step, std::size_t r, std::size_t c) {
  ++report.weights;
  if (from == to) return;
  ++report.changed;
  const double apart = double(nbit::abs(from - to)), size = double(nbit::abs(from)), unit = double(nbit::abs(step));
  const double steps = is_finite(to) && unit > 0 ? apart / unit : 1e30;
  if (apart > report.worst_absolute) report.worst_absolute = apart;
  if (size > 0 && apart / size > report.worst_relative) report.worst_relative = apart / size;
  if (steps > report.worst_steps) report.worst_steps = steps, report.row = r, report.col = c;
}

/// One row of the target, and its part of the report.
template <grid_format To>
inline void place_row(const source_row& from, std::size_t r, coded_matrix<To>& to, transcode_report& report) {
  const std::size_t length = group_length<To>(to.cols);
  for (std::size_t first = 0, g = 0; first < to.cols; first += length, ++g) {
    const std::size_t n = to.cols - first < length ? to.cols - first : length;
    typename To::params& p = to.params[to.params_index(r, g)];
    p = grid_params<To>(from.part(first, n));
    for (std::size_t i = 0; i < n; ++i) {
      const float v = from.value[first + i];
      const int code = nearest_code<To>(v, p, static_cast<int>(i));
      to.row_codes(r)[first + i] = static_cast<code_t<To>>(code);
      record(report, v, To::value(code, p, static_cast<int>(i)), from.step[first + i] * from.gap, r, first + i);
    }
  }
}

/// A report that says only why nothing was tried.
inline transcode_report refusal(const char* reason) {
  transcode_report r;
  r.kind = fidelity::refused, r.reason = reason;
  return r;
}

template <grid_format To, weight_format From>
inline result<transcoded<To>> transcode_sorted(const coded_matrix<From>& from, const transcode_options& how) {
  transcoded<To> done;
  auto to = coded_matrix<To>::make(from.shape());
  auto scratch = buffer<float>::make(3 * from.cols);
  if (!to) return to.error();
  if (!scratch) return scratch.error();
  const std::span<float> all = scratch->span(), value = all.first(from.cols), step = all.subspan(from.cols, from.cols),
                         base = all.last(from.cols);
  for (std::size_t r = 0; r < from.rows; ++r) {
    describe_row<From>(from, r, value, step, base);
    if (!value.empty() && step[0] != step[0]) {
      done.report = refusal("the source's numbers lie on no uniform grid");
      return done;
    }
    place_row<To>({value, step, base, level_gap<From>()}, r, *to, done.report);
  }
  transcode_report& report = done.report;
  report.kind = report.changed == 0                            ? fidelity::exact
                : report.worst_steps <= double(how.most_steps) ? fidelity::rounded
                                                               : fidelity::refused;
  if (report.kind == fidelity::refused)
    report.reason = "no parameters of the target have the source's numbers among their levels";
  else
    done.weights = *std::move(to);
  return done;
}

}  // namespace detail

/// What transcode would do: the matrix, unless refused, and the report. how.accept is not looked at.
/// Shape: any. Cost: some passes over each group. Errors: out_of_memory, overflow.
template <weight_format To, weight_format From>
  requires(To::group != per_tensor && From::group != per_tensor)
inline result<transcoded<To>> try_transcode(const coded_matrix<From>& from, const transcode_options& how = {}) {
  if constexpr (std::is_same_v<To, From>) {  // lattices, too
    transcoded<To> done;
    auto same = coded_matrix<To>::make(from.shape());
    if (!same) return same.error();
    for (std::size_t i = 0; i < from.codes.size(); ++i) same->codes[i] = from.codes[i];
    for (std::size_t i = 0; i < from.params.size(); ++i) same->params[i] = from.params[i];
    if (!from.group_index.empty()) {
      auto index = buffer<std::uint32_t>::make(from.cols);
      if (!index) return index.error();
      for (std::size_t c = 0; c < from.cols; ++c) (*index)[c] = from.group_index[c];
      same->group_index = *std::move(index);
    }
    done.weights = *std::move(same), done.report.weights = from.rows * from.cols;
    return done;
  } else if constexpr (!grid_format<To>) {
    transcoded<To> done;
    done.report = detail::refusal("the target is a lattice: its points are no numbers of another format");
    return done;
  } else if constexpr (!grid_format<From>) {
    transcoded<To> done;
    done.report = detail::refusal("the source's numbers lie on no uniform grid");
    return done;
  } else {
    transcoded<To> done;
    if (!fits_format<To>(from.cols)) {
      done.report = detail::refusal("rows do not fill the target's blocks");
      return done;
    }
    if (from.group_index.empty()) return detail::transcode_sorted<To>(from, how);
    if (block_format<To> || To::group != From::group) {
      done.report = detail::refusal("the source's groups are reordered (act-order), and the target holds neighbours");
      return done;
    }
    auto sorted = sort_by_group(from);
    if (!sorted) {
      done.report = detail::refusal("the source's groups are reordered and of unequal size");
      return done;
    }
    auto moved = detail::transcode_sorted<To>(sorted->weights, how);
    if (!moved || moved->report.kind == fidelity::refused) return moved;
    if (moved->report.changed != 0) moved->report.col = sorted->order[moved->report.col];
    sorted_matrix<To> back{std::move(moved->weights), std::move(sorted->order)};
    auto restored = unsort(back);
    if (!restored) return restored.error();
    moved->weights = *std::move(restored);
    return moved;
  }
}

/// The numbers of a tensor in another format.
/// Errors: unsupported when they do not fit as how.accept asks (reason, row, column of the worst), out_of_memory.
template <weight_format To, weight_format From>
inline result<transcoded<To>> transcode(const coded_matrix<From>& from, const transcode_options& how = {}) {
  auto done = try_transcode<To>(from, how);
  if (!done) return done;
  const transcode_report& report = done->report;
  if (report.kind == fidelity::refused)
    return make_error(errc::unsupported, report.reason, "dequantize, then quantize, if the loss is acceptable")
        .at(static_cast<std::int64_t>(report.row), static_cast<std::int64_t>(report.col));
  if (report.kind == fidelity::rounded && how.accept == fidelity::exact)
    return make_error(errc::unsupported, "the numbers fit the other format nearly, not exactly",
                      "accept = fidelity::rounded, if rounded parameters are acceptable")
        .at(static_cast<std::int64_t>(report.row), static_cast<std::int64_t>(report.col));
  return done;
}

/// A transcoded tensor in a layout, and its report.
template <weight_format To, class L>
struct transcoded_matrix {
  packed_matrix<To, L> weights;
  transcode_report report;
};

/// The numbers of a packed tensor in another format and layout.  Errors: as above.
template <weight_format To, class L = default_layout<To>, weight_format From, class FromLayout, class Byte>
inline result<transcoded_matrix<To, L>> transcode(const packed_view<From, FromLayout, Byte>& from,
                                                  const transcode_options& how = {}) {
  const auto codes = unpack_codes(from);
  if (!codes) return codes.error();
  auto done = transcode<To>(*codes, how);
  if (!done) return done.error();
  auto packed = pack_codes<L>(done->weights);
  if (!packed) return packed.error();
  return transcoded_matrix<To, L>{*std::move(packed), done->report};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
