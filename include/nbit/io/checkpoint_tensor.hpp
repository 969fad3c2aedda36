// nbit/io/checkpoint_tensor.hpp — one tensor of a checkpoint, as a file gives it and as it is written.
//
// The readers of checkpoints (AWQ, compressed-tensors, bitsandbytes, HQQ, planar GPTQ) take stored_tensors and give
// owned_tensors back: element type, shape and little-endian bytes. Where they came from does not matter.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_CHECKPOINT_TENSOR_HPP
#define NBIT_IO_CHECKPOINT_TENSOR_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/safetensors_dtype.hpp>
#include <nbit/io/safetensors_reader.hpp>

namespace nbit {

inline namespace NBIT_TAG {

/// A tensor that somebody else owns; its bytes may lie at any address. A default one means: the checkpoint has none.
struct stored_tensor {
  static constexpr std::size_t most_dimensions = 4;

  safetensors::dtype type = safetensors::dtype::u8;
  std::size_t rank = 0;                                // more than most_dimensions: kept, and refused by every reader
  std::array<std::uint64_t, most_dimensions> shape{};  // the first `rank` count, outermost first
  std::span<const std::byte> bytes;
  bool present = false;
};

/// A tensor to be written: its name inside the layer ("qweight"), element type, shape and bytes.
struct owned_tensor {
  const char* name = "";
  safetensors::dtype type = safetensors::dtype::u8;
  std::size_t rank = 0;
  std::array<std::uint64_t, stored_tensor::most_dimensions> shape{};
  buffer<std::byte> bytes;

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_HOST_INLINE owned_tensor() noexcept = default;
  NBIT_HOST_INLINE owned_tensor(owned_tensor&&) noexcept = default;
  NBIT_HOST_INLINE owned_tensor& operator=(owned_tensor&&) noexcept = default;
  NBIT_HOST_INLINE ~owned_tensor() = default;

  /// False when the layer has no such tensor.
  [[nodiscard]] NBIT_INLINE bool present() const { return *name != '\0'; }
  [[nodiscard]] NBIT_INLINE std::span<const std::uint64_t> dimensions() const { return {shape.data(), rank}; }
  [[nodiscard]] NBIT_INLINE stored_tensor view() const { return {type, rank, shape, bytes.span(), present()}; }
};

/// The tensor of a safetensors file, without its name.
[[nodiscard]] inline stored_tensor stored(const safetensors::tensor_info& from) {
  stored_tensor t;
  t.type = from.type, t.rank = from.shape.size(), t.bytes = from.bytes, t.present = true;
  for (std::size_t i = 0; i < t.rank && i < t.shape.size(); ++i) t.shape[i] = from.shape[i];
  return t;
}

/// The tensor `layer`.`name` of a file, or one that is not present.
[[nodiscard]] inline stored_tensor find_stored(const safetensors::file& in, std::string_view layer,
                                               std::string_view name) {
  const result<safetensors::tensor_info> found = in.tensor(std::string(layer).append(".").append(name));
  return found ? stored(*found) : stored_tensor{};
}

namespace detail {

/// Numbers of a checkpoint that are stored like T: its element type, and how it is loaded and stored.
template <class T>
struct stored_number;
template <>
struct stored_number<float> {
  static constexpr safetensors::dtype type = safetensors::dtype::f32;
  static constexpr const char* name = "F32";
  NBIT_INLINE static float load(const std::byte* p) { return load_f32(p); }
  NBIT_INLINE static void store(std::byte* p, float v) { store_f32(p, v); }
};
template <>
struct stored_number<f16> {
  static constexpr safetensors::dtype type = safetensors::dtype::f16;
  static constexpr const char* name = "F16";
  NBIT_INLINE static f16 load(const std::byte* p) { return load_f16(p); }
  NBIT_INLINE static void store(std::byte* p, f16 v) { store_f16(p, v); }
};
template <>
struct stored_number<bf16> {
  static constexpr safetensors::dtype type = safetensors::dtype::bf16;
  static constexpr const char* name = "BF16";
  NBIT_INLINE static bf16 load(const std::byte* p) { return bf16::from_bits(load_u16(p)); }
  NBIT_INLINE static void store(std::byte* p, bf16 v) { store_u16(p, v.bits); }
};
template <>
struct stored_number<f8_e4m3> {
  static constexpr safetensors::dtype type = safetensors::dtype::f8_e4m3;
  static constexpr const char* name = "F8_E4M3";
  NBIT_INLINE static f8_e4m3 load(const std::byte* p) { return f8_e4m3::from_bits(std::to_integer<std::uint8_t>(*p)); }
  NBIT_INLINE static void store(std::byte* p, f8_e4m3 v) { *p = static_cast<std::byte>(v.bits); }
};
template <>
struct stored_number<e8m0> {
  static constexpr safetensors::dtype type = safetensors::dtype::u8;  // compressed-tensors; F8_E8M0 is read too
  static constexpr const char* name = "U8 or F8_E8M0";
  NBIT_INLINE static e8m0 load(const std::byte* p) { return e8m0::from_bits(std::to_integer<std::uint8_t>(*p)); }
  NBIT_INLINE static void store(std::byte* p, e8m0 v) { *p = static_cast<std::byte>(v.bits); }
};

/// Element i of a tensor of Ts.
template <class T>
NBIT_INLINE T load_at(const stored_tensor& t, std::size_t i) {
  return stored_number<T>::load(t.bytes.data() + i * sizeof(T));
}
template <class T>
NBIT_INLINE void store_at(owned_tensor& t, std::size_t i, T v) {
  stored_number<T>::store(t.bytes.data() + i * sizeof(T), v);
}

/// A tensor of zeros.  Errors: out_of_memory, overflow.
inline result<owned_tensor> make_tensor(const char* name, safetensors::dtype type,
                                        std::initializer_list<std::size_t> shape) {
  owned_tensor t;
  t.name = name, t.type = type;
  std::uint64_t size = safetensors::info(type).bits / 8;
  for (const std::size_t n : shape) {
    t.shape[t.rank++] = n;
    if (!nbit::checked_mul<std::uint64_t>(size, n, size))
      return make_error(errc::overflow, "a tensor's size").about(name);
  }
  auto bytes = buffer<std::byte>::zeros(static_cast<std::size_t>(size));
  if (!bytes) return bytes.error();
  t.bytes = *std::move(bytes);
  return t;
}

/// The 32-bit words of a tensor, in this machine's order.  Errors: out_of_memory.
inline result<buffer<std::uint32_t>> load_words(const stored_tensor& t) {
  auto words = buffer<std::uint32_t>::make(t.bytes.size() / 4);
  if (!words) return words.error();
  for (std::size_t i = 0; i < words->size(); ++i) (*words)[i] = load_u32(t.bytes.data() + 4 * i);
  return words;
}

/// Fills a tensor of 32-bit elements.  Needs: as many words.
inline void store_words(owned_tensor& t, std::span<const std::uint32_t> words) {
  for (std::size_t i = 0; i < words.size(); ++i) store_u32(t.bytes.data() + 4 * i, words[i]);
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
