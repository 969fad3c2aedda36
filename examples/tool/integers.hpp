// tool/integers.hpp — a linear as integers times scales, whatever file it comes from or goes to.
// SPDX-License-Identifier: MIT
#ifndef TOOL_INTEGERS_HPP
#define TOOL_INTEGERS_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

#include <nbit/format/scheme.hpp>
#include <nbit/tensor/coded_matrix.hpp>

namespace tool {

/// A linear as codes, scales and zeros: weight = (code - zero) * scale, rounded once to a float.
struct integer_linear {
  std::size_t rows = 0, cols = 0;
  int bits = 4;
  std::int64_t group = 128;             // -1: one group for each output
  std::vector<std::uint8_t> codes;      // rows x cols
  std::vector<float> scales;            // rows x groups
  std::vector<std::uint8_t> zeros;      // rows x groups
  std::vector<std::uint32_t> group_of;  // of each column where groups are not in order (act-order); else empty
  nbit::scale_type scale = nbit::scale_type::f16;  // as stored

  std::size_t groups() const {
    return group < 0 ? 1 : (cols + static_cast<std::size_t>(group) - 1) / static_cast<std::size_t>(group);
  }
  /// Every zero lies in the middle.
  bool symmetric() const;
  std::vector<float> values() const;
};

/// Codes of a uniform format with integer zeros; scale: what a file stores scales as, if it is not what F holds.
template <class F>
integer_linear integers_of(const nbit::coded_matrix<F>& from, nbit::scale_type scale = F::scheme.scale) {
  integer_linear to;
  to.rows = from.rows, to.cols = from.cols, to.bits = F::bits, to.scale = scale;
  to.group = F::group == nbit::per_row ? -1 : F::group;
  to.codes.assign(from.codes.begin(), from.codes.end());
  for (const auto& p : from.params) {
    to.scales.push_back(float(p.scale));
    if constexpr (F::symmetric)
      to.zeros.push_back(static_cast<std::uint8_t>(F::half));
    else
      to.zeros.push_back(static_cast<std::uint8_t>(p.zero));
  }
  to.group_of.assign(from.group_index.begin(), from.group_index.end());
  return to;
}

}  // namespace tool

#endif
