// tests/tensor/encode_test.cpp — rows of any format to codes and back: groups, ragged ends, encoders of their own.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>

#include "support/random.hpp"

namespace {
template <int Group>
struct grid : nbit::uniform<nbit::scheme{.bits = 5, .group = Group, .scale = nbit::scale_type::f32}> {};

// Half a step is the most that rounding may miss by.
template <class F>
void round_trip(std::size_t cols) {
  const std::vector<float> w = nbit_test::random(cols).normals(cols);
  std::vector<nbit::code_t<F>> codes(nbit::codes_per_row<F>(cols));
  std::vector<typename F::params> params(nbit::groups_per_row<F>(cols));
  std::vector<float> v(cols);
  nbit::detail::encode_row<F>(w, {}, codes.data(), params.data());
  nbit::detail::decode_row<F>(codes.data(), params.data(), {}, v);
  for (std::size_t c = 0; c < cols; ++c) {
    const std::size_t g = F::group > 0 ? c / nbit::group_length<F>(cols) : 0;
    CHECK(nbit::abs(v[c] - w[c]) <= 0.5001f * float(params[g].scale));
  }
}
}  // namespace

TEST_CASE("encoded rows decode to within half a step, whatever the group and the last group's length") {
  for (const std::size_t cols : {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{50}}) {
    round_trip<grid<16>>(cols);
    round_trip<grid<1>>(cols);
    round_trip<grid<nbit::per_row>>(cols);
  }
}

TEST_CASE("a group index says which parameters a column uses") {
  using F = grid<2>;
  const std::vector<F::params> params = {{1.0f}, {10.0f}};
  const std::vector<std::uint8_t> codes = {17, 17, 18, 15};
  const std::vector<std::uint32_t> group = {1, 0, 0, 1};
  std::vector<float> v(4);
  nbit::detail::decode_row<F>(codes.data(), params.data(), group, v);
  CHECK(v == std::vector<float>{10, 1, 2, -10});
}

TEST_CASE("a format with an encoder of its own is asked for it") {
  const std::vector<float> w = nbit_test::random(3).normals(512);
  std::vector<std::uint8_t> codes(512), expected(512);
  std::vector<nbit::q4_k::params> params(2);
  nbit::detail::encode_row<nbit::q4_k>(w, {}, codes.data(), params.data());
  for (std::size_t b = 0; b < 2; ++b) {
    nbit::q4_k::params p{};
    nbit::q4_k::encode(std::span<const float>(w).subspan(256 * b, 256), {}, nbit::detail::row_mean_square(w), p,
                       std::span<std::uint8_t>(expected).subspan(256 * b, 256));
  }
  CHECK(codes == expected);
  static_assert(nbit::encodes_itself<nbit::q4_0>);
  static_assert(!nbit::encodes_itself<grid<16>>);
}

TEST_CASE("blocks of a file are never short") {
  CHECK(nbit::fits_format<nbit::q4_k>(512));
  CHECK_FALSE(nbit::fits_format<nbit::q4_k>(500));
  CHECK(nbit::fits_format<grid<16>>(17));
  CHECK(nbit::shape_error<nbit::q4_k>(500).found == 500);
}
