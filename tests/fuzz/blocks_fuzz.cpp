// tests/fuzz/blocks_fuzz.cpp — libFuzzer entry: the first byte chooses a block format, the rest are its blocks. Any
// bytes decode; codes stay in their range, and what is stored again decodes to the same numbers.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/blocks_fuzz.cpp -o blocks_fuzz
// SPDX-License-Identifier: MIT
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/io/gguf_byte_order.hpp>

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

template <class F>
void decode(std::span<const std::byte> bytes) {
  const std::size_t blocks = bytes.size() / F::block_bytes;
  if (blocks == 0) return;
  const std::size_t cols = blocks * std::size_t(F::group);
  bytes = bytes.first(blocks * F::block_bytes);
  const auto codes = nbit::unpack_codes(nbit::packed_view<F>(bytes, nbit::shape{1, cols}));
  require(codes.has_value());
  std::vector<float> values(cols), again(cols);
  nbit::detail::decode_matrix(*codes, {values.data(), 1, cols});
  const auto packed = nbit::pack_codes<nbit::blocks>(*codes);
  require(packed && packed->bytes.size() == bytes.size());
  const auto back = nbit::unpack_codes(packed->view());
  require(back.has_value());
  nbit::detail::decode_matrix(*back, {again.data(), 1, cols});
  for (std::size_t i = 0; i < cols; ++i)
    require(std::bit_cast<std::uint32_t>(values[i]) == std::bit_cast<std::uint32_t>(again[i]) ||
            (values[i] != values[i] && again[i] != again[i]));
  std::vector<std::byte> turned(bytes.begin(), bytes.end());
  nbit::gguf::swap_byte_order(static_cast<nbit::ggml_type>(F::ggml_type), turned);
}

using decoder = void (*)(std::span<const std::byte>);
constexpr decoder decoders[] = {
    &decode<nbit::q4_0>,  &decode<nbit::q4_1>,   &decode<nbit::q5_0>,    &decode<nbit::q5_1>,    &decode<nbit::q8_0>,
    &decode<nbit::q2_k>,  &decode<nbit::q3_k>,   &decode<nbit::q4_k>,    &decode<nbit::q5_k>,    &decode<nbit::q6_k>,
    &decode<nbit::iq1_s>, &decode<nbit::iq1_m>,  &decode<nbit::iq2_xxs>, &decode<nbit::iq2_xs>,  &decode<nbit::iq2_s>,
    &decode<nbit::iq3_s>, &decode<nbit::iq4_nl>, &decode<nbit::iq4_xs>,  &decode<nbit::iq3_xxs>, &decode<nbit::tq1_0>,
    &decode<nbit::tq2_0>, &decode<nbit::mxfp4>,  &decode<nbit::nvfp4>,   &decode<nbit::q1_0>,    &decode<nbit::q2_0>};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  decoders[data[0] % std::size(decoders)]({reinterpret_cast<const std::byte*>(data + 1), size - 1});
  return 0;
}
