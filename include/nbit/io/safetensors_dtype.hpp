// nbit/io/safetensors_dtype.hpp — the element types of safetensors files: name and bits.
//
// Ref: safetensors 0.8. Types of less than a byte are packed; a tensor of them must end on a whole byte.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_SAFETENSORS_DTYPE_HPP
#define NBIT_IO_SAFETENSORS_DTYPE_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nbit/base/config.hpp>

namespace nbit::safetensors {

/// An element type.
enum class dtype : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

/// An element type's name in a file's header, and its size.
struct dtype_info {
  dtype type;
  const char* name;
  std::uint32_t bits;
};

inline constexpr dtype_info dtypes[] = {
    {dtype::boolean, "BOOL", 8},
    {dtype::f4, "F4", 4},
    {dtype::f6_e2m3, "F6_E2M3", 6},
    {dtype::f6_e3m2, "F6_E3M2", 6},
    {dtype::u8, "U8", 8},
    {dtype::i8, "I8", 8},
    {dtype::f8_e5m2, "F8_E5M2", 8},
    {dtype::f8_e4m3, "F8_E4M3", 8},
    {dtype::f8_e8m0, "F8_E8M0", 8},
    {dtype::f8_e4m3fnuz, "F8_E4M3FNUZ", 8},
    {dtype::f8_e5m2fnuz, "F8_E5M2FNUZ", 8},
    {dtype::i16, "I16", 16},
    {dtype::u16, "U16", 16},
    {dtype::f16, "F16", 16},
    {dtype::bf16, "BF16", 16},
    {dtype::i32, "I32", 32},
    {dtype::u32, "U32", 32},
    {dtype::f32, "F32", 32},
    {dtype::c64, "C64", 64},
    {dtype::f64, "F64", 64},
    {dtype::i64, "I64", 64},
    {dtype::u64, "U64", 64},
};

inline namespace NBIT_TAG {

/// What is known of a type; the table is in the enumeration's order.
[[nodiscard]] constexpr const dtype_info& info(dtype t) noexcept { return dtypes[static_cast<std::size_t>(t)]; }

/// The type with this name, or nullptr.
[[nodiscard]] constexpr const dtype_info* find_dtype(std::string_view name) noexcept {
  for (const dtype_info& d : dtypes)
    if (name == d.name) return &d;
  return nullptr;
}

}  // namespace NBIT_TAG
}  // namespace nbit::safetensors

#endif
