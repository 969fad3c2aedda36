// nbit/io/exl3_checkpoint.hpp — a linear as EXL3 stores it: trellis codes of 16 x 16 tiles, signs, Hadamard blocks.
// Read only.
//
//   trellis  i16 [K / 16, N / 16, 16 b]   b = 1 to 8 bits a weight; 256 weights of a tile are a closed ring of 256 b
//   bits suh      f16 [K], svh f16 [N]         signs and scales of inputs and outputs (older: su, sv, i16: one bit a
//   sign) mcg, mul1  i32                        which generator; neither: the first one
// The ring is a stream of 32-bit words, highest bits first, each of two i16, the first one high. Weight t is a function
// of the 16 bits that end at bit (t + 1) b. Weight t = 8 l + e of a tile stands at input 2 (l % 4) + (e & 1) + 8 (e >>
// 1 & 1) and output l / 4 + 8 (e >> 2). The linear is diag(suh) H tiles H diag(svh), H in blocks of 128 / sqrt(128).
//   generator 0   x = 89226354 s + 64248484     each half of (x & 0x8fff8fff) ^ 0x3b603b60 is an f16; their sum
//   mcg           x = 0xCBAC1FED s              the same
//   mul1          x = 0x83DCD12D s              (1024 + sum of bytes) * 0.00677 - 10.39, one f16 rounding
// Encoding is a Viterbi search over 65536 states and not here. Ref: exllamav3 (MIT), August 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_EXL3_CHECKPOINT_HPP
#define NBIT_IO_EXL3_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// How a state of the trellis becomes a number.
enum class exl3_generator : std::uint8_t { plain, mcg, mul1 };

inline namespace NBIT_TAG {

/// The tensors of one linear: suh or su, svh or sv; mcg and mul1 only say that they are there.
struct exl3_linear {
  stored_tensor trellis, suh, svh, su, sv, mcg, mul1;
};

/// A linear as read: the tiles' words stay packed, decode_exl3 gives the weights.
struct exl3_weights {
  std::size_t outputs = 0, inputs = 0;
  int bits = 0;
  exl3_generator generator = exl3_generator::plain;
  buffer<std::uint32_t> words;  // inputs / 16 x outputs / 16 x 8 bits
  buffer<float> input_scale, output_scale;
};

namespace detail {

/// What a 16-bit state of the trellis is worth, an f16 number.
NBIT_INLINE float exl3_value(std::uint32_t state, exl3_generator how) {
  NBIT_EXACT
  if (how == exl3_generator::mul1) {
    const std::uint32_t x = state * 0x83DCD12Du;
    const std::uint32_t sum = 1024u + (x & 255u) + (x >> 8 & 255u) + (x >> 16 & 255u) + (x >> 24);
    // 11 bits times 11 bits: exact in float; the sum with an f16 of nearly the same exponent is exact, too
    constexpr float inverse = float(f16::from_bits(0x1eee)), bias = float(f16::from_bits(0xc931));
    return float(f16::from(static_cast<float>(sum) * inverse + bias));
  }
  std::uint32_t x = how == exl3_generator::mcg ? state * 0xCBAC1FEDu : state * 89226354u + 64248484u;
  x = (x & 0x8fff8fffu) ^ 0x3b603b60u;
  const f16 low = f16::from_bits(static_cast<std::uint16_t>(x)),
            high = f16::from_bits(static_cast<std::uint16_t>(x >> 16));
  return float(f16::from(float(low) + float(high)));
}

/// The state of weight t: the 16 bits of the ring that end at bit (t + 1) * bits.
NBIT_INLINE std::uint32_t exl3_state(const std::uint32_t* words, int bits, int t) {
  const int ring = 256 * bits, first = ((t + 1) * bits - 16 + ring) % ring, word = first / 32, shift = first % 32;
  const std::uint64_t two = std::uint64_t{words[word]} << 32 | words[(word + 1) % (ring / 32)];
  return static_cast<std::uint32_t>(two >> (48 - shift)) & 0xffffu;
}

/// Scales of inputs or outputs: f16 numbers, or the signs that older files hold.
inline result<buffer<float>> exl3_scales(const stored_tensor& scales, const stored_tensor& signs, std::size_t n,
                                         const char* name, const char* sign_name) {
  auto to = buffer<float>::make(n);
  if (!to) return to.error();
  if (!scales.present && signs.present) {
    if (auto ok = check_tensor(signs, sign_name, {safetensors::dtype::i16}, "I16", 1); !ok) return ok.error();
    if (auto ok = check_dimension(signs, sign_name, 0, n / 16, "a bit for each"); !ok) return ok.error();
    for (std::size_t i = 0; i < n; ++i)
      (*to)[i] = (load_u16(signs.bytes.data() + i / 16 * 2) >> (i % 16) & 1u) != 0 ? -1.0f : 1.0f;
    return to;
  }
  if (auto ok = check_tensor(scales, name, {safetensors::dtype::f16}, "F16", 1); !ok) return ok.error();
  if (auto ok = check_dimension(scales, name, 0, n, "the tiles of trellis times 16"); !ok) return ok.error();
  for (std::size_t i = 0; i < n; ++i) {
    (*to)[i] = float(load_at<f16>(scales, i));
    if (auto ok = check_scale((*to)[i], name, 0, i); !ok) return ok.error();
  }
  return to;
}

/// The Walsh-Hadamard transform of 128 numbers `stride` apart, not scaled: seven rounds of sums and differences.
inline void exl3_hadamard(float* x, std::size_t stride) {
  for (std::size_t half = 1; half < 128; half *= 2)
    for (std::size_t i = 0; i < 128; i += 2 * half)
      for (std::size_t j = i; j < i + half; ++j) {
        const float a = x[j * stride], b = x[(j + half) * stride];
        x[j * stride] = a + b, x[(j + half) * stride] = a - b;
      }
}

}  // namespace detail

/// Words, scales and generator of a linear. Inputs and outputs are multiples of 128.
/// Errors: missing, malformed (element type, two generators), shape, not_finite, overflow, out_of_memory; the tensor is
/// the subject.
inline result<exl3_weights> unpack_exl3(const exl3_linear& from) {
  if (auto ok = detail::check_tensor(from.trellis, "trellis", {safetensors::dtype::i16}, "I16", 3); !ok)
    return ok.error();
  const auto k = static_cast<std::size_t>(from.trellis.shape[0]) * 16,
             n = static_cast<std::size_t>(from.trellis.shape[1]) * 16;
  const auto last = static_cast<std::size_t>(from.trellis.shape[2]);
  if (last % 16 != 0 || last > 128)
    return detail::tensor_error(errc::shape, "a dimension of a tensor does not fit the format", "16 times 1 to 8 bits",
                                "trellis", "last dimension")
        .with(static_cast<std::int64_t>(last));
  if (k % 128 != 0 || n % 128 != 0)
    return make_error(errc::shape, "an EXL3 linear does not fill its Hadamard blocks", "inputs and outputs % 128 == 0")
        .about("trellis")
        .with(static_cast<std::int64_t>(k % 128 != 0 ? k : n));
  if (from.mcg.present && from.mul1.present)
    return make_error(errc::malformed, "a linear names two generators", "mcg or mul1").about("mul1");
  auto input = detail::exl3_scales(from.suh, from.su, k, "suh", "su");
  if (!input) return input.error();
  auto output = detail::exl3_scales(from.svh, from.sv, n, "svh", "sv");
  if (!output) return output.error();
  auto words = buffer<std::uint32_t>::make(from.trellis.bytes.size() / 4);
  if (!words) return words.error();
  for (std::size_t i = 0; i < words->size(); ++i) (*words)[i] = load_u32(from.trellis.bytes.data() + 4 * i);
  exl3_weights to;
  to.outputs = n, to.inputs = k, to.bits = static_cast<int>(last / 16);
  to.generator = from.mcg.present    ? exl3_generator::mcg
                 : from.mul1.present ? exl3_generator::mul1
                                     : exl3_generator::plain;
  to.words = *std::move(words), to.input_scale = *std::move(input), to.output_scale = *std::move(output);
  return to;
}

/// The weights before signs and Hadamard blocks, exactly as the peer's kernels make them.
/// Needs: out is outputs x inputs.
inline void decode_exl3_tiles(const exl3_weights& from, matrix_view<float> out) {
  const std::size_t across = from.outputs / 16, tile_words = 8 * static_cast<std::size_t>(from.bits);
  for (std::size_t tile = 0; tile < from.inputs / 16 * across; ++tile) {
    const std::uint32_t* const words = from.words.data() + tile * tile_words;
    const std::size_t k = tile / across * 16, n = tile % across * 16;
    for (int t = 0; t < 256; ++t) {
      const auto lane = static_cast<std::size_t>(t / 8), e = static_cast<std::size_t>(t % 8);
      out(n + lane / 4 + 8 * (e >> 2), k + 2 * (lane % 4) + (e & 1) + 8 * (e >> 1 & 1)) =
          detail::exl3_value(detail::exl3_state(words, from.bits, t), from.generator);
    }
  }
}

/// The weights of the linear, in float: the peer rounds to f16 between the steps, so it differs in the last bits.
/// Needs: out is outputs x inputs.
inline void decode_exl3(const exl3_weights& from, matrix_view<float> out) {
  decode_exl3_tiles(from, out);
  for (std::size_t n = 0; n < from.outputs; ++n)
    for (std::size_t k = 0; k < from.inputs; k += 128) detail::exl3_hadamard(&out(n, k), 1);
  for (std::size_t n = 0; n < from.outputs; n += 128)
    for (std::size_t k = 0; k < from.inputs; ++k) detail::exl3_hadamard(&out(n, k), out.stride);
  for (std::size_t n = 0; n < from.outputs; ++n)  // two factors 1 / sqrt(128)
    for (std::size_t k = 0; k < from.inputs; ++k)
      out(n, k) = out(n, k) * 0x1p-7f * from.input_scale[k] * from.output_scale[n];
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
