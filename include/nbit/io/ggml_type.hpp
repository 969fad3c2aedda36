// nbit/io/ggml_type.hpp — the tensor types a GGUF file may name: id, name, weights per block, bytes per block.
//
// Ref: ggml's type enumeration of August 2026 (43 ids, of which 8 are retired). Ids that other programs use in files of
// their own are known by name, so that the refusal says whose they are.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGML_TYPE_HPP
#define NBIT_IO_GGML_TYPE_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/byte_cursor.hpp>

namespace nbit {

/// A tensor type, by the number that GGUF files store.
enum class ggml_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41,
  q2_0 = 42,
};

/// What a reader must know of a type to find its bytes: a row is a whole number of blocks.
struct ggml_type_info {
  ggml_type type;
  const char* name;
  std::uint32_t block;  // weights
  std::uint32_t block_bytes;
};

inline constexpr ggml_type_info ggml_types[] = {
    {ggml_type::f32, "F32", 1, 4},
    {ggml_type::f16, "F16", 1, 2},
    {ggml_type::q4_0, "Q4_0", 32, 18},
    {ggml_type::q4_1, "Q4_1", 32, 20},
    {ggml_type::q5_0, "Q5_0", 32, 22},
    {ggml_type::q5_1, "Q5_1", 32, 24},
    {ggml_type::q8_0, "Q8_0", 32, 34},
    {ggml_type::q8_1, "Q8_1", 32, 36},
    {ggml_type::q2_k, "Q2_K", 256, 84},
    {ggml_type::q3_k, "Q3_K", 256, 110},
    {ggml_type::q4_k, "Q4_K", 256, 144},
    {ggml_type::q5_k, "Q5_K", 256, 176},
    {ggml_type::q6_k, "Q6_K", 256, 210},
    {ggml_type::q8_k, "Q8_K", 256, 292},
    {ggml_type::iq2_xxs, "IQ2_XXS", 256, 66},
    {ggml_type::iq2_xs, "IQ2_XS", 256, 74},
    {ggml_type::iq3_xxs, "IQ3_XXS", 256, 98},
    {ggml_type::iq1_s, "IQ1_S", 256, 50},
    {ggml_type::iq4_nl, "IQ4_NL", 32, 18},
    {ggml_type::iq3_s, "IQ3_S", 256, 110},
    {ggml_type::iq2_s, "IQ2_S", 256, 82},
    {ggml_type::iq4_xs, "IQ4_XS", 256, 136},
    {ggml_type::i8, "I8", 1, 1},
    {ggml_type::i16, "I16", 1, 2},
    {ggml_type::i32, "I32", 1, 4},
    {ggml_type::i64, "I64", 1, 8},
    {ggml_type::f64, "F64", 1, 8},
    {ggml_type::iq1_m, "IQ1_M", 256, 56},
    {ggml_type::bf16, "BF16", 1, 2},
    {ggml_type::tq1_0, "TQ1_0", 256, 54},
    {ggml_type::tq2_0, "TQ2_0", 256, 66},
    {ggml_type::mxfp4, "MXFP4", 32, 17},
    {ggml_type::nvfp4, "NVFP4", 64, 36},
    {ggml_type::q1_0, "Q1_0", 128, 18},
    {ggml_type::q2_0, "Q2_0", 64, 18},
};

inline namespace NBIT_TAG {
namespace detail {
struct refused_ggml_type {
  std::uint32_t first, last;
  const char* what;
};

// Retired ids must stay refused: files that carry them have layouts nobody reads any more. The ids from 97 on belong to
// a fork whose rows may begin with a header, so not even their size can be computed here.
inline constexpr refused_ggml_type refused_ggml_types[] = {
    {4, 4, "tensor type is Q4_2, which ggml removed"},
    {5, 5, "tensor type is Q4_3, which ggml removed"},
    {31, 31, "tensor type is Q4_0_4_4, which ggml removed from files"},
    {32, 32, "tensor type is Q4_0_4_8, which ggml removed from files"},
    {33, 33, "tensor type is Q4_0_8_8, which ggml removed from files"},
    {36, 36, "tensor type is IQ4_NL_4_4, which ggml removed from files (in other programs: BitNet's I2_S)"},
    {37, 37, "tensor type is IQ4_NL_4_8, which ggml removed from files"},
    {38, 38, "tensor type is IQ4_NL_8_8, which ggml removed from files"},
    {97, 99, "tensor type is an activation type of ik_llama.cpp, not of ggml"},
    {133, 133, "tensor type is Q6_0 of ik_llama.cpp, not of ggml"},
    {134, 135, "tensor type is IQ1_BN or IQ2_BN of ik_llama.cpp, not of ggml"},
    {137, 141, "tensor type is one of IQ2_K to IQ6_K of ik_llama.cpp, not of ggml"},
    {144, 146, "tensor type is IQ4_KS, IQ2_KS or IQ4_KSS of ik_llama.cpp, not of ggml"},
    {151, 151, "tensor type is Q8_KV of ik_llama.cpp, not of ggml"},
    {152, 152, "tensor type is IQ5_KS of ik_llama.cpp, not of ggml"},
    {153, 155, "tensor type is one of IQ2_KT to IQ4_KT of ik_llama.cpp, not of ggml"},
    {156, 157, "tensor type is IQ3_KS or IQ2_KL of ik_llama.cpp, not of ggml"},
    {158, 158, "tensor type is IQ1_KT of ik_llama.cpp, not of ggml"},
    {202, 399, "tensor type is a row-interleaved type of ik_llama.cpp, not of ggml"},
};
}  // namespace detail

/// What is known of the type with this number, or nullptr.
[[nodiscard]] constexpr const ggml_type_info* find_ggml_type(std::uint32_t id) noexcept {
  for (const ggml_type_info& t : ggml_types)
    if (static_cast<std::uint32_t>(t.type) == id) return &t;
  return nullptr;
}

/// The type with this name, as "Q4_K" (upper case), or nullptr.
[[nodiscard]] constexpr const ggml_type_info* find_ggml_type(std::string_view name) noexcept {
  for (const ggml_type_info& t : ggml_types)
    if (name == t.name) return &t;
  return nullptr;
}

/// What is known of the type with this number.  Errors: unsupported, naming retired and foreign types.
[[nodiscard]] constexpr result<ggml_type_info> ggml_type_of(std::uint32_t id) noexcept {
  if (const ggml_type_info* const t = find_ggml_type(id)) return *t;
  for (const detail::refused_ggml_type& r : detail::refused_ggml_types)
    if (id >= r.first && id <= r.last)
      return make_error(errc::unsupported, r.what, "a type of ggml in use (0 to 42)")
          .with(static_cast<std::int64_t>(id));
  return make_error(errc::unsupported, "tensor type is unknown", "a type of ggml in use (0 to 42)")
      .with(static_cast<std::int64_t>(id));
}

/// What a row's length must be, as text for an error.
[[nodiscard]] constexpr const char* block_rule(const ggml_type_info& t) noexcept {
  switch (t.block) {
    case 256: return "a multiple of 256";
    case 128: return "a multiple of 128";
    case 64: return "a multiple of 64";
    case 32: return "a multiple of 32";
    default: return "any length";
  }
}

/// The bytes that rows x cols weights take in this type; false if cols is not whole blocks or the size does not fit.
[[nodiscard]] constexpr bool ggml_bytes(const ggml_type_info& t, std::uint64_t cols, std::uint64_t rows,
                                        std::uint64_t& bytes) noexcept {
  std::uint64_t row_bytes = 0;
  return cols % t.block == 0 && checked_mul(cols / t.block, t.block_bytes, row_bytes) &&
         checked_mul(row_bytes, rows, bytes);
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
