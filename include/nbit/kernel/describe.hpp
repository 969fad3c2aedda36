// nbit/kernel/describe.hpp — which kernel an operation runs on this machine, and why not a faster one.
//
// Nothing is allocated and nothing printed: all texts are constants of the program. A format without a kernel of its
// own says so; there is no silent slow path.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_DESCRIBE_HPP
#define NBIT_KERNEL_DESCRIBE_HPP

#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/about.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/encode.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {

/// An operation on weights, with the activations it is given.
enum class operation : std::uint8_t { quantize, dequantize, gemv, gemv_int8, gemm, gemm_int8, gemm_bf16 };

/// The operation as it is called in code.
[[nodiscard]] NBIT_INLINE constexpr const char* name_of(operation op) {
  switch (op) {
    case operation::quantize: return "quantize";
    case operation::dequantize: return "dequantize";
    case operation::gemv: return "gemv";
    case operation::gemv_int8: return "gemv int8";
    case operation::gemm: return "gemm";
    case operation::gemm_int8: return "gemm int8";
    case operation::gemm_bf16: return "gemm bf16";
  }
  return "unknown";
}

/// What runs: every text is a constant; the last two are nullptr when there is nothing faster.
struct kernel_description {
  operation op;
  const char* arch;         // the tag's name
  kernel_path path;         // own, decoder or generic
  const char* how;          // what the kernel does, in a few words
  const char* for_format;   // why this format has no faster kernel on this tag
  const char* for_machine;  // why no faster tag runs
};

inline namespace NBIT_TAG {
namespace detail {

template <class Arch, class F, class L>
constexpr kernel_about about_quantize() {
  if constexpr (requires { quantize_kernel<Arch, F, L>::about; })
    return quantize_kernel<Arch, F, L>::about;
  else if constexpr (std::is_same_v<L, blocks> && has_group_encoder<Arch, F>)
    return own_kernel("sixteen groups side by side, the reference's bytes");
  else if constexpr (self_encoding<F>)
    return {kernel_path::generic, "the format's own encoder, a group at a time",
            "no encoder is written for this format and instruction set"};
  else
    return {kernel_path::generic, "fit and code, a weight at a time",
            "no encoder is written for this format and instruction set"};
}

// The generic kernels are as good as their decoder.
template <class Arch, class W>
constexpr kernel_about about_floats() {
  if constexpr (requires { row_decoder<Arch, W>::about; })
    return {kernel_path::decoder, row_decoder<Arch, W>::about.how, row_decoder<Arch, W>::about.limit};
  else if constexpr (!requires { typename W::format; })
    return {kernel_path::generic, "floats, sixteen at a time", nullptr};
  else if constexpr (has_exact_levels<typename W::format> && has_integer_runs<typename W::format>)
    return {kernel_path::generic, "generic decoding to floats, sixteen levels with one scale at a time",
            "no kernel is written for this format and layout"};
  else
    return {kernel_path::generic, "generic decoding to floats, a weight at a time",
            "no kernel is written for this format and layout, and its values are no runs of scale * level"};
}

template <class Arch, class W>
constexpr kernel_about about_levels() {
  if constexpr (!requires { typename W::format; })
    return {kernel_path::generic, "the activations become floats again", "the weights are floats"};
  else if constexpr (!has_integer_runs<typename W::format>)
    return {kernel_path::generic, "weights and activations become floats, then f32 arithmetic",
            "the format has no integer levels with one scale for sixteen columns"};
  else if constexpr (requires { row_decoder<Arch, W>::about; })
    return {kernel_path::decoder, row_decoder<Arch, W>::about.how, row_decoder<Arch, W>::about.limit};
  else
    return {kernel_path::generic, "generic decoding to integer levels, exact dots of four",
            "no kernel is written for this operation on this format and layout; repack to row_tiles for one"};
}

// Kernels on the bytes of files, and the activations that they are for.
template <class Gemv>
constexpr kernel_about about_blocks() {
  if (Gemv::template on_blocks<32>)
    return own_kernel("integer sums straight on the file's bytes, a few tokens at once");
  return own_kernel("integer sums straight on the file's bytes, a few tokens at once, for activations in groups of 256",
                    "activations in groups of less than 256 run the generic text on integer levels");
}

// Whether the operation runs word_gemv for these weights: all columns in whole words.
template <class Arch, class W>
constexpr bool is_on_words(operation op, const W& matrix) {
  if constexpr (requires { gemv_kernel<Arch, W>::on_words; }) {
    const bool asks = op == operation::gemv || op == operation::gemv_int8 || op == operation::gemm_int8;
    if constexpr (gemv_kernel<Arch, W>::on_words) return asks && fills_words(matrix);
  }
  return false;
}

template <class Arch, class W>
constexpr kernel_about about_product(operation op) {
  using base = arch::base_of<Arch>;
  using gemv_k = gemv_kernel<base, W>;
  using gemm_k = gemm_kernel<Arch, W>;
  if (op == operation::gemv_int8) {
    if constexpr (requires { gemv_k::template on_blocks<32>; }) {
      if (gemv_k::template on_blocks<32> || gemv_k::template on_blocks<256>) return about_blocks<gemv_k>();
    }
    if constexpr (requires { gemv_k::about_int8; }) return gemv_k::about_int8;
    if constexpr (requires { gemv_k::about; }) return gemv_k::about;
    return about_levels<base, W>();
  }
  if (op == operation::gemm_int8) {
    if constexpr (requires { gemm_k::about_int8; }) return gemm_k::about_int8;
    if constexpr (requires { gemm_k::about; }) return gemm_k::about;
    // the generic gemm asks gemv's kernels, for a few tokens or for each
    if constexpr (requires { gemv_k::template on_blocks<32>; }) {
      if (gemv_k::template on_blocks<32> || gemv_k::template on_blocks<256>) return about_blocks<gemv_k>();
    }
    if constexpr (requires { gemv_k::about_int8; }) return gemv_k::about_int8;
    return about_levels<base, W>();
  }
  if (op == operation::gemv) {
    if constexpr (requires { gemv_k::about; }) return gemv_k::about;
  }
  if (op == operation::gemm_bf16) {
    if constexpr (requires { gemm_k::about_bf16; }) return gemm_k::about_bf16;
  }
  if (op == operation::gemm || op == operation::gemm_bf16) {
    if constexpr (requires { gemm_k::about; }) return gemm_k::about;
  }
  return about_floats<base, W>();
}

/// What this machine or unit lacks for the next tag of its family, or nullptr.
inline const char* faster_tag_than(int best, [[maybe_unused]] bool int8_products) noexcept {
#if defined(NBIT_SCALAR_ONLY)
  return best == 0 ? "the unit is built with NBIT_SCALAR_ONLY" : nullptr;
#elif NBIT_HAS_X86
  if (best < arch::avx2::level) return "the processor or the operating system lacks AVX2, FMA, F16C or BMI2";
  if (best < arch::avx512_vnni::level)
    return "the processor or the operating system lacks AVX-512 F, BW, VL, DQ or VNNI";
  return nullptr;
#elif NBIT_HAS_NEON
  if (best < arch::neon_dotprod::level)
    return NBIT_HAS_NEON_DOTPROD ? "the processor lacks the int8 dots of Armv8.2"
                                 : "the compiler offers the int8 dots of Armv8.2 only by a flag";
  if (int8_products && best < arch::neon_i8mm::level)
    return NBIT_HAS_NEON_I8MM ? "the processor lacks the int8 matrix products of Armv8.6"
                              : "the compiler offers the int8 matrix products of Armv8.6 only by a flag";
  return nullptr;
#elif NBIT_HAS_RVV || NBIT_HAS_SIMD128
  return best == 0 ? "unreachable" : nullptr;
#elif defined(__riscv)
  return best == 0 ? "the unit is not compiled by clang for RISC-V V 1.0" : nullptr;
#elif defined(__wasm__)
  return best == 0 ? "the unit is not compiled for SIMD128" : nullptr;
#else
  return best == 0 ? "no vector kernels exist for this processor" : nullptr;
#endif
}

/// Why no tag above this one runs here, or nullptr: of those that the operation is stamped for.
inline const char* why_not_a_faster_tag(int level, operation op) noexcept {
  using namespace arch::detail;
  const bool int8_products = op == operation::gemm_int8;
  const unsigned stamped = op == operation::gemm_bf16 ? bits_of(for_bf16{})
                           : int8_products            ? bits_of(for_int8{})
                                                      : general_levels;
  const int best = best_level(detect_levels() & stamped);
  if (level >= best) return faster_tag_than(best, int8_products);
  return arch::selected_level() < best ? "the environment variable NBIT_ARCH lowers the choice"
                                       : "the caller names the tag";
}

}  // namespace detail

/// Which kernel the operation runs for these weights with that tag.  Cost: a few comparisons.
template <class Arch, weight_matrix W>
  requires(requires { Arch::level; })
[[nodiscard]] inline kernel_description describe(Arch, operation op, const W& matrix) noexcept {
  using weights = weights_t<W>;
  kernel_about about = detail::about_product<Arch, weights>(op);
  if constexpr (requires { typename weights::format; }) {
    const bool on_words = detail::is_on_words<arch::base_of<Arch>>(op, weights(matrix));
    if (op == operation::quantize)
      about = detail::about_quantize<arch::base_of<Arch>, typename weights::format, typename weights::layout>();
    else if (on_words)
      about = own_kernel("straight on the checkpoint's words, sixteen rows side by side");
    if constexpr (requires { matrix.group_index; }) {
      if (matrix.group_index != nullptr && op != operation::quantize)
        about = {on_words ? kernel_path::own : kernel_path::generic,
                 on_words ? about.how : "generic decoding to floats, a weight at a time",
                 "the columns are reordered: each looks its group up"};
    }
  } else if (op == operation::quantize) {
    about = {kernel_path::generic, "nothing: the weights are floats", nullptr};
  }
  return {op, Arch::name, about.path, about.how, about.limit, detail::why_not_a_faster_tag(Arch::level, op)};
}

/// Which kernel the operation runs for these weights on this machine.
template <weight_matrix W>
[[nodiscard]] inline kernel_description describe(operation op, const W& w) noexcept {
  if (op == operation::gemm_bf16) return arch::dispatch_bf16([&](auto tag) { return describe(tag, op, w); });
  if (op == operation::gemm_int8) return arch::dispatch_int8([&](auto tag) { return describe(tag, op, w); });
  return arch::dispatch([&](auto tag) { return describe(tag, op, w); });
}

/// Which kernel the operation runs on this machine for a format in a layout, in natural column order.
template <weight_format F, class L = default_layout<F>>
[[nodiscard]] inline kernel_description describe(operation op) noexcept {
  return describe(op, packed_view<F, L>());
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
