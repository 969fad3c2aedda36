// nbit/io/gguf_byte_order.hpp — GGUF files of the other byte order: which bytes of a header and of a block are numbers.
//
// A big-endian file has the structure and the sizes of a little-endian one with every number's bytes turned round:
// counts, lengths, values of keys, and in the weights what is wider than a byte (scales, index words, sums). Codes and
// strings stay. Nothing in the file says so but the version, whose low 16 bits would be 0.
// Ref: gguf's gguf_convert_endian.py for F32 F16 BF16 Q1_0 Q4_0 Q8_0 Q4_K Q6_K TQ2_0 MXFP4 NVFP4. No peer converts the
// other types; they follow the widths of their fields in docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_BYTE_ORDER_HPP
#define NBIT_IO_GGUF_BYTE_ORDER_HPP

#include <array>
#include <bit>  // endian
#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_value.hpp>

namespace nbit::gguf {

/// So many numbers of so many bytes each.
struct number_run {
  std::uint16_t width, count;
};

inline namespace NBIT_TAG {

/// The numbers of one block, in order; runs of count 0 end the list.
[[nodiscard]] constexpr std::array<number_run, 4> block_numbers(ggml_type t) noexcept {
  switch (t) {
    case ggml_type::f32:
    case ggml_type::i32: return {{{4, 1}}};
    case ggml_type::f16:
    case ggml_type::bf16:
    case ggml_type::i16: return {{{2, 1}}};
    case ggml_type::i64:
    case ggml_type::f64: return {{{8, 1}}};
    case ggml_type::i8: return {{{1, 1}}};
    case ggml_type::q4_0:
    case ggml_type::q1_0:
    case ggml_type::q2_0:
    case ggml_type::iq4_nl: return {{{2, 1}, {1, 16}}};
    case ggml_type::q4_1: return {{{2, 2}, {1, 16}}};
    case ggml_type::q5_0: return {{{2, 1}, {4, 1}, {1, 16}}};
    case ggml_type::q5_1: return {{{2, 2}, {4, 1}, {1, 16}}};
    case ggml_type::q8_0: return {{{2, 1}, {1, 32}}};
    case ggml_type::q8_1: return {{{2, 2}, {1, 32}}};
    case ggml_type::q2_k: return {{{1, 80}, {2, 2}}};
    case ggml_type::q3_k: return {{{1, 108}, {2, 1}}};
    case ggml_type::q4_k: return {{{2, 2}, {1, 140}}};
    case ggml_type::q5_k: return {{{2, 2}, {1, 172}}};
    case ggml_type::q6_k: return {{{1, 208}, {2, 1}}};
    case ggml_type::q8_k: return {{{4, 1}, {1, 256}, {2, 16}}};
    case ggml_type::iq2_xxs: return {{{2, 33}}};
    case ggml_type::iq2_xs: return {{{2, 33}, {1, 8}}};
    case ggml_type::iq3_xxs: return {{{2, 1}, {1, 64}, {4, 8}}};
    case ggml_type::iq1_s: return {{{2, 1}, {1, 32}, {2, 8}}};
    case ggml_type::iq3_s: return {{{2, 1}, {1, 108}}};
    case ggml_type::iq2_s: return {{{2, 1}, {1, 80}}};
    case ggml_type::iq4_xs: return {{{2, 2}, {1, 132}}};
    case ggml_type::iq1_m: return {{{1, 48}, {2, 4}}};
    case ggml_type::tq1_0: return {{{1, 52}, {2, 1}}};
    case ggml_type::tq2_0: return {{{1, 64}, {2, 1}}};
    case ggml_type::mxfp4: return {{{1, 17}}};
    case ggml_type::nvfp4: return {{{1, 36}}};
  }
  return {};
}

/// Turns round the bytes of every number in whole blocks of a type, in place: from one byte order to the other.
/// Needs: blocks.size() is a multiple of the type's block bytes.
inline void swap_byte_order(ggml_type t, std::span<std::byte> blocks) noexcept {
  const std::array<number_run, 4> runs = block_numbers(t);
  for (std::byte *p = blocks.data(), *const end = p + blocks.size(); p < end;)
    for (const number_run& r : runs) {
      if (r.width == 1) {
        p += r.count;
        continue;
      }
      for (std::uint16_t i = 0; i < r.count; ++i, p += r.width)
        for (std::size_t a = 0, b = r.width - std::size_t{1}; a < b; ++a, --b) {
          const std::byte held = p[a];
          p[a] = p[b], p[b] = held;
        }
    }
}

namespace detail {

/// Walks over a header in some byte order and, if told where, writes it there in the other order, byte for byte in the
/// same places. It checks only what it needs to stay inside; who reads the result checks the rest.
class header_swapper {
 public:
  /// The order that the header is in; to: where the other one goes (as many bytes as walk() gives), or nullptr.
  header_swapper(std::span<const std::byte> header, std::endian from, std::byte* to) noexcept
      : in_(header), from_(from), to_(to) {}

  /// The bytes of the header, without the padding before the data.  Errors: truncated, malformed, unsupported.
  result<std::uint64_t> walk() noexcept {
    std::uint64_t tensors = 0, keys = 0, scratch = 0;
    if (!numbers(4, 1) || !number<std::uint32_t>(scratch) || !number<std::uint64_t>(tensors) ||
        !number<std::uint64_t>(keys))
      return short_here();
    if (to_ != nullptr)
      for (std::size_t i = 0; i < 4; ++i) to_[i] = in_[i];  // the magic reads the same in both orders
    for (; keys > 0; --keys) {
      std::uint64_t type = 0;
      if (!text() || !number<std::uint32_t>(type)) return short_here();
      if (const result<void> done = value(type, 0); !done) return done.error();
    }
    for (; tensors > 0; --tensors) {
      std::uint64_t dims = 0;
      if (!text() || !number<std::uint32_t>(dims) || !numbers(8, dims) || !numbers(4, 1) || !numbers(8, 1))
        return short_here();
    }
    return std::uint64_t{at_};
  }

 private:
  [[nodiscard]] error short_here() const noexcept {
    return make_error(errc::truncated, "the file ends inside its header", "no more bytes than the file has left")
        .at(std::uint64_t{at_});
  }

  bool numbers(std::size_t width, std::uint64_t count) noexcept {
    if (count > (in_.size() - at_) / width) return false;
    for (; count > 0; --count, at_ += width)
      if (to_ != nullptr)
        for (std::size_t i = 0; i < width; ++i) to_[at_ + i] = in_[at_ + width - 1 - i];
    return true;
  }

  template <class T>
  bool number(std::uint64_t& v) noexcept {
    if (in_.size() - at_ < sizeof(T)) return false;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      v = (v << 8) | static_cast<std::uint64_t>(in_[at_ + (from_ == std::endian::big ? i : sizeof(T) - 1 - i)]);
    return numbers(sizeof(T), 1);
  }

  bool text() noexcept {
    std::uint64_t length = 0;
    return number<std::uint64_t>(length) && numbers(1, length);
  }

  result<void> value(std::uint64_t type, int depth) noexcept {
    if (type > 12) return make_error(errc::malformed, "value type is unknown", "0 to 12").at(std::uint64_t{at_ - 4});
    if (const std::size_t width = fixed_bytes(static_cast<value_type>(type)))
      return numbers(width, 1) ? result<void>() : short_here();
    if (static_cast<value_type>(type) == value_type::string) return text() ? result<void>() : short_here();
    std::uint64_t each = 0, count = 0;
    if (depth == 8)
      return make_error(errc::unsupported, "arrays are nested too deep", "at most 8 levels").at(std::uint64_t{at_});
    if (!number<std::uint32_t>(each) || !number<std::uint64_t>(count)) return short_here();
    if (each <= 12)
      if (const std::size_t width = fixed_bytes(static_cast<value_type>(each)))
        return numbers(width, count) ? result<void>() : short_here();
    for (; count > 0; --count)
      if (const result<void> done = value(each, depth + 1); !done) return done;
    return {};
  }

  std::span<const std::byte> in_;
  std::endian from_;
  std::byte* to_;
  std::size_t at_ = 0;
};

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit::gguf

#endif
