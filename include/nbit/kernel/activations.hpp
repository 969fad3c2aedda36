// nbit/kernel/activations.hpp — activations as int8 with a scale per group, made on the fly (dynamic quantization).
//
// code = round(x * 127 / absmax), in [-127, 127]; x ~ scale * code, scale = absmax / 127. Rows are padded with zero
// codes to a multiple of 64, and the sum of every 16 codes is kept for weights that have an offset.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ACTIVATIONS_HPP
#define NBIT_KERNEL_ACTIVATIONS_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/prefetch.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/parallel/executor.hpp>

namespace nbit {

/// Rows of int8 activations that somebody else owns; Group columns share a scale (a multiple of 16, or per_row).
template <int Group = 32>
struct int8_activations {
  static_assert(Group == per_row || (Group > 0 && Group % 16 == 0),
                "int8_activations: Group must be a multiple of 16, or nbit::per_row");
  static constexpr int group = Group;

  std::int8_t* codes = nullptr;  // rows x stride
  float* scales = nullptr;       // rows x groups
  std::int16_t* sums = nullptr;  // rows x stride / 16
  std::size_t rows = 0, cols = 0;

  [[nodiscard]] NBIT_INLINE static constexpr std::size_t stride_for(std::size_t c) { return (c + 63) / 64 * 64; }
  [[nodiscard]] NBIT_INLINE static constexpr std::size_t groups_for(std::size_t c) {
    if constexpr (Group == per_row)
      return 1;
    else
      return (stride_for(c) + std::size_t(Group) - 1) / std::size_t(Group);
  }
  /// Bytes of storage for a rows x cols matrix of activations.
  [[nodiscard]] NBIT_INLINE static constexpr std::size_t bytes_for(shape s) {
    return s.rows *
           (stride_for(s.cols) + groups_for(s.cols) * sizeof(float) + stride_for(s.cols) / 16 * sizeof(std::int16_t));
  }

  NBIT_HOST_INLINE constexpr int8_activations() = default;
  /// Views storage of bytes_for(shape) bytes.  Needs: aligned to 4 bytes.
  NBIT_INLINE int8_activations(std::span<std::byte> storage, shape s) {
    NBIT_EXPECTS(storage.size() >= bytes_for(s), "int8_activations: storage must hold bytes_for(shape) bytes");
    NBIT_EXPECTS(reinterpret_cast<std::uintptr_t>(storage.data()) % alignof(float) == 0,
                 "int8_activations: storage must be aligned to 4 bytes");
    scales = reinterpret_cast<float*>(storage.data());
    sums = reinterpret_cast<std::int16_t*>(storage.data() + s.rows * groups_for(s.cols) * sizeof(float));
    codes = reinterpret_cast<std::int8_t*>(sums + s.rows * (stride_for(s.cols) / 16));
    rows = s.rows, cols = s.cols;
  }

  /// Rows first ... first + count - 1 of the same matrix.
  [[nodiscard]] NBIT_INLINE int8_activations row_range(std::size_t first, std::size_t count) const {
    int8_activations part = *this;
    part.codes += first * stride(), part.scales += first * groups_for(cols), part.sums += first * (stride() / 16);
    part.rows = count;
    return part;
  }
  [[nodiscard]] NBIT_INLINE std::size_t stride() const { return stride_for(cols); }
  [[nodiscard]] NBIT_INLINE std::int8_t* row_codes(std::size_t r) const { return codes + r * stride(); }
  [[nodiscard]] NBIT_INLINE std::int16_t* row_sums(std::size_t r) const { return sums + r * (stride() / 16); }
  [[nodiscard]] NBIT_INLINE float* row_scales(std::size_t r) const { return scales + r * groups_for(cols); }
  /// The scale of the 16 columns from 16 * b on.
  [[nodiscard]] NBIT_INLINE float scale16(std::size_t r, std::size_t b) const {
    if constexpr (Group == per_row)
      return scales[r];
    else
      return row_scales(r)[b * 16 / std::size_t(Group)];
  }
};

inline namespace NBIT_TAG {
/// Quantizes one row; stamped per instruction set.
template <class Arch>
struct activation_kernel;
}  // namespace NBIT_TAG

}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/activations.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// Quantizes activations to int8.  Needs: out has the shape of x.  NaN becomes 0; infinity saturates its group.
template <class Arch, int Group, executor E = serial>
  requires(requires { Arch::level; })
inline void quantize_activations(Arch, matrix_view<const float> x, int8_activations<Group> out, E&& ex = {}) noexcept {
  NBIT_EXPECTS(x.rows == out.rows && x.cols == out.cols, "quantize_activations: out must have the shape of x");
  ex(x.rows, [&](std::size_t r) { activation_kernel<Arch>::quantize_row(x.row(r), out, r); });
}
template <int Group, executor E = serial>
inline void quantize_activations(matrix_view<const float> x, int8_activations<Group> out, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { quantize_activations(tag, x, out, ex); });
}

}  // namespace NBIT_TAG

#if !defined(NBIT_NO_HEAP)

/// Owns int8 activations.
template <int Group = 32>
struct int8_activation_matrix {
  std::size_t rows = 0, cols = 0;
  buffer<std::byte> bytes;

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_HOST_INLINE int8_activation_matrix() noexcept = default;
  NBIT_HOST_INLINE int8_activation_matrix(int8_activation_matrix&&) noexcept = default;
  NBIT_HOST_INLINE int8_activation_matrix& operator=(int8_activation_matrix&&) noexcept = default;
  NBIT_HOST_INLINE ~int8_activation_matrix() = default;

  /// Errors: out_of_memory, overflow.
  NBIT_HOST_INLINE static result<int8_activation_matrix> make(shape s, allocator from = default_allocator()) {
    auto b = buffer<std::byte>::make(int8_activations<Group>::bytes_for(s), from);
    if (!b) return b.error();
    int8_activation_matrix m;
    m.rows = s.rows, m.cols = s.cols, m.bytes = *std::move(b);
    return result<int8_activation_matrix>(std::move(m));  // nvcc does not move it by itself
  }
  [[nodiscard]] NBIT_INLINE int8_activations<Group> view() { return {bytes.span(), {rows, cols}}; }
};

#endif

}  // namespace nbit

#endif
