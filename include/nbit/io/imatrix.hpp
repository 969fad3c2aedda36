// nbit/io/imatrix.hpp — an importance matrix: for each tensor the sums of its squared inputs, and how many were summed.
//
// A tensor with experts has one row of sums and one count for each of them. Experts that calibration never reached have
// a count of 0; what then stands for their importance is the caller's choice, and how many there are is reported.
// imatrix_dat.hpp and imatrix_gguf.hpp read and write the two files of llama.cpp.   Ref: its tools/imatrix, October
// 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_IMATRIX_HPP
#define NBIT_IO_IMATRIX_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>

namespace nbit {

/// What an expert without data gets: ones, as llama.cpp; the mean of the experts that have data; or an error.
enum class uncovered : std::uint8_t { ones, average, refuse };

inline namespace NBIT_TAG {

/// The inputs of one tensor.
struct imatrix_entry {
  std::string name;           // of the tensor: "blk.0.attn_q.weight"
  std::vector<float> sums;    // of squares: matrices x columns
  std::vector<float> counts;  // of the inputs summed: one for each matrix

  [[nodiscard]] std::size_t matrices() const noexcept { return counts.size(); }
  [[nodiscard]] std::size_t cols() const noexcept { return counts.empty() ? 0 : sums.size() / counts.size(); }
  /// Matrices with data.
  [[nodiscard]] std::size_t covered() const noexcept {
    std::size_t n = 0;
    for (const float c : counts) n += c > 0.0f ? 1 : 0;
    return n;
  }
};

/// All entries of a file, in its order.
struct imatrix {
  std::vector<imatrix_entry> entries;
  std::vector<std::string> datasets;  // what calibration read
  std::uint32_t chunk_count = 0;
  std::uint32_t chunk_size = 0;  // tokens; 0: unknown
  bool legacy = false;           // from a .dat file: sums are means times counts, and counts are calls

  /// The entry of a tensor, or nullptr. Names may be decorated as back ends do ("CUDA0#blk.0.attn_q.weight#0").
  [[nodiscard]] const imatrix_entry* find(std::string_view name) const noexcept {
    for (const imatrix_entry& e : entries) {
      if (e.name == name) return &e;
      std::string_view plain = e.name;
      if (const std::size_t first = plain.find('#'); first != std::string_view::npos) {
        plain.remove_prefix(first + 1);
        if (plain.substr(0, plain.find('#')) == name) return &e;
      }
    }
    return nullptr;
  }

  /// Adds what calibration says of a tensor with one matrix: the mean square of each input over `count` tokens.
  void add(std::string_view name, std::span<const float> mean_square, std::uint64_t count) {
    imatrix_entry e{std::string(name), {mean_square.begin(), mean_square.end()}, {static_cast<float>(count)}};
    for (float& s : e.sums) s *= e.counts[0];
    entries.push_back(std::move(e));
  }
};

namespace detail {
/// Whether sums and counts are what squares can give.  Errors: shape, not_finite, malformed; the tensor is the subject.
inline result<void> check_imatrix_entry(const imatrix_entry& e) {
  const auto bad = [&e](errc code, const char* what, const char* allowed, std::size_t row, std::size_t col) {
    return make_error(code, what, allowed)
        .about(e.name)
        .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col));
  };
  if (e.counts.empty() || e.sums.empty() || e.sums.size() % e.counts.size() != 0)
    return make_error(errc::shape, "an importance matrix has no whole number of columns for each matrix",
                      "as many sums for each count")
        .about(e.name)
        .with(static_cast<std::int64_t>(e.sums.size()));
  for (std::size_t i = 0; i < e.sums.size(); ++i) {
    if (!is_finite(e.sums[i]))
      return bad(errc::not_finite, "an importance is NaN or infinite", "finite numbers from 0", i / e.cols(),
                 i % e.cols());
    if (e.sums[i] < 0.0f)
      return bad(errc::malformed, "an importance is negative", "finite numbers from 0", i / e.cols(), i % e.cols());
  }
  for (std::size_t i = 0; i < e.counts.size(); ++i)
    if (!is_finite(e.counts[i]) || e.counts[i] < 0.0f)
      return bad(errc::malformed, "a count of an importance matrix is no number from 0", "numbers from 0", i, 0);
  return {};
}
}  // namespace detail

/// The importance of every input of a tensor: mean squares, matrices x cols. A legacy entry may hold several matrices
/// under one count.  Errors: missing; shape (other columns or matrices than the tensor's); refuse: missing data.
[[nodiscard]] inline result<std::vector<float>> importance(const imatrix& from, std::string_view name, std::size_t cols,
                                                           std::size_t matrices = 1,
                                                           uncovered policy = uncovered::ones) {
  const imatrix_entry* const e = from.find(name);
  if (e == nullptr) return make_error(errc::missing, "the importance matrix lacks this tensor").about(name);
  if (e->sums.size() / (matrices == 0 ? 1 : matrices) != cols || e->sums.size() % (matrices == 0 ? 1 : matrices) != 0 ||
      (e->counts.size() != matrices && e->counts.size() != 1))
    return make_error(errc::shape, "the importance matrix has another number of inputs than the tensor",
                      "columns times experts")
        .about(name)
        .with(static_cast<std::int64_t>(e->sums.size()));
  std::vector<float> out(e->sums.size(), 1.0f), mean(cols, 0.0f);
  std::size_t covered = 0;
  for (std::size_t m = 0; m < matrices; ++m) {
    const float count = e->counts[e->counts.size() == 1 ? 0 : m];
    if (!(count > 0.0f) && !from.legacy) continue;  // a legacy count of 0 means that the values are means already
    ++covered;
    for (std::size_t c = 0; c < cols; ++c) {
      out[m * cols + c] = count > 0.0f ? e->sums[m * cols + c] / count : e->sums[m * cols + c];
      mean[c] += out[m * cols + c];
    }
  }
  if (covered == matrices || policy == uncovered::ones) return out;
  if (policy == uncovered::refuse)
    return make_error(errc::missing, "calibration never reached some experts of a tensor", "data for every expert")
        .about(name)
        .with(static_cast<std::int64_t>(matrices - covered));
  for (std::size_t m = 0; m < matrices && covered != 0; ++m)
    if (!(e->counts[e->counts.size() == 1 ? 0 : m] > 0.0f))
      for (std::size_t c = 0; c < cols; ++c) out[m * cols + c] = mean[c] / static_cast<float>(covered);
  return out;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
