// nbit/io/hqq_settings.hpp — what an HQQ linear says about itself: its settings, which are tensors too.
//
// Ref: HQQ 0.2.8 (Apache-2.0). The tensors are drawn in io/hqq_checkpoint.hpp.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_HQQ_SETTINGS_HPP
#define NBIT_IO_HQQ_SETTINGS_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// The settings of a linear.
struct hqq_meta {
  int bits = 4, axis = 1;
  std::int64_t group = 64;
  std::uint64_t rows = 0, cols = 0;
  std::string compute_dtype = "torch.float16";
  bool channel_wise = true, optimize = true, round_zero = false, offload_meta = false;
};

/// The tensors of one linear that hold numbers, and its settings.
struct hqq_linear {
  stored_tensor w_q, scale, zero;
  hqq_meta meta;
};

namespace detail {

NBIT_INLINE constexpr const char* hqq_packing(int bits) {
  return bits == 1 ? "1bit_u8" : bits == 2 ? "2bit_u8" : bits == 3 ? "3bit_32" : bits == 4 ? "4bit_u8" : "8bit_u8";
}

/// One number or text of the settings; `fallback` when it is absent.
inline result<std::int64_t> hqq_number(const stored_tensor& t, const char* name, std::int64_t fallback) {
  using safetensors::dtype;
  if (!t.present) return fallback;
  if (auto ok = check_tensor(t, name, {dtype::i32, dtype::u8, dtype::boolean, dtype::i64}, "I32, I64, U8 or BOOL", 0);
      !ok)
    return ok.error();
  if (t.type == dtype::i64) return static_cast<std::int64_t>(load_u64(t.bytes.data()));
  if (t.type == dtype::i32) return static_cast<std::int32_t>(load_u32(t.bytes.data()));
  return std::to_integer<std::int64_t>(t.bytes[0]);
}
inline result<std::string> hqq_text(const stored_tensor& t, const char* name, std::string_view fallback) {
  if (!t.present) return std::string(fallback);
  if (auto ok = check_tensor(t, name, safetensors::dtype::u8, {{}}); !ok) return ok.error();
  return std::string(reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size());
}

}  // namespace detail

/// The settings and tensors of a linear; find(name) gives the one of this name inside the layer, or one that is not
/// present.
/// Errors: missing, malformed, shape, unsupported (another packing; codes stored as floats; quantized scales or zeros).
template <class Find>
  requires std::is_invocable_r_v<stored_tensor, const Find&, std::string_view>
inline result<hqq_linear> find_hqq(const Find& find) {
  using safetensors::dtype;
  hqq_linear to;
  to.w_q = find("W_q"), to.scale = find("scale"), to.zero = find("zero");
  const stored_tensor size = find("shape");
  if (auto ok = detail::check_tensor(size, "shape", dtype::i64, {{2, "2"}}); !ok) return ok.error();
  to.meta.rows = load_u64(size.bytes.data()), to.meta.cols = load_u64(size.bytes.data() + 8);
  std::int64_t numbers[10] = {-1, -1, -1, 1, 1, 0, 0, 0, 0, 0};
  const char* const names[10] = {"nbits",      "group_size",   "axis",        "channel_wise", "optimize",
                                 "round_zero", "offload_meta", "quant_scale", "quant_zero",   "view_as_float"};
  for (std::size_t i = 0; i < 10; ++i) {
    const stored_tensor t = find(names[i]);
    if (i < 3 && !t.present) return make_error(errc::missing, "the layer lacks a setting").about(names[i]);
    const result<std::int64_t> n = detail::hqq_number(t, names[i], numbers[i]);
    if (!n) return n.error();
    numbers[i] = *n;
  }
  if (numbers[0] < 1 || numbers[0] > 8 || numbers[0] == 7)
    return make_error(errc::unsupported, "code width of an HQQ checkpoint", "1 to 6 or 8")
        .about("nbits")
        .with(numbers[0]);
  if (numbers[1] < 1)
    return make_error(errc::malformed, "group size of an HQQ checkpoint", "1 and more")
        .about("group_size")
        .with(numbers[1]);
  if (numbers[2] != 0 && numbers[2] != 1)
    return make_error(errc::malformed, "axis of the groups", "0 or 1").about("axis").with(numbers[2]);
  for (std::size_t i = 7; i < 10; ++i)
    if (numbers[i] != 0)
      return make_error(errc::unsupported, i < 9 ? "parameters are quantized themselves" : "codes are stored as floats",
                        "false")
          .about(names[i])
          .with(numbers[i]);
  to.meta.bits = static_cast<int>(numbers[0]), to.meta.group = numbers[1], to.meta.axis = static_cast<int>(numbers[2]);
  to.meta.channel_wise = numbers[3] != 0, to.meta.optimize = numbers[4] != 0;
  to.meta.round_zero = numbers[5] != 0, to.meta.offload_meta = numbers[6] != 0;
  detail::attempts all;
  to.meta.compute_dtype = all(detail::hqq_text(find("compute_dtype"), "compute_dtype", "torch.float16"));
  const std::string packing = all(detail::hqq_text(find("packing"), "packing", detail::hqq_packing(to.meta.bits)));
  if (all.failed()) return all.first();
  if (packing != detail::hqq_packing(to.meta.bits))
    return detail::tensor_error(errc::unsupported, "codes are packed in another way",
                                "1bit_u8, 2bit_u8, 3bit_32, 4bit_u8 or 8bit_u8", "packing", packing);
  return to;
}

/// The same of the linear `layer` of a file.
inline result<hqq_linear> find_hqq(const safetensors::file& in, std::string_view layer) {
  return find_hqq([&in, layer](std::string_view name) { return find_stored(in, layer, name); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
