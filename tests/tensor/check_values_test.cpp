// tests/tensor/check_values_test.cpp — damaged scales are found by row and column, in blocks and planar tensors.
// SPDX-License-Identifier: MIT
#include <nbit/tensor/check_values.hpp>

#include <catch2/catch_test_macros.hpp>

#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/uniform.hpp>

#include "tensor/random_codes.hpp"

namespace {

struct sym4 : nbit::uniform<nbit::scheme{.bits = 4, .group = 32, .symmetry = nbit::symmetry::gptq}> {};

/// Puts an f16 NaN into block (1, 1) of a tensor of two rows and two blocks each, at this byte.
template <class F>
void check_block(std::size_t byte) {
  const std::size_t group = std::size_t(F::group);
  auto q = nbit::pack_codes<nbit::blocks>(nbit_test::random_matrix<F>({2, 2 * group}, 3));
  REQUIRE(q);
  CHECK(nbit::check_values(q->view()));
  q->span().block(1, 1)[byte] = std::byte{0x01};
  q->span().block(1, 1)[byte + 1] = std::byte{0x7e};
  const auto bad = nbit::check_values(q->view());
  REQUIRE_FALSE(bad);
  CHECK((bad.error().code == nbit::errc::not_finite && bad.error().row == 1));
  CHECK(bad.error().col == static_cast<std::int64_t>(group));
}

}  // namespace

TEST_CASE("a scale that is no number is found in blocks") {
  check_block<nbit::q4_0>(0);
  check_block<nbit::q4_1>(2);  // the minimum
  check_block<nbit::q4_k>(2);  // the scale of minima
  check_block<nbit::iq2_s>(0);
}

TEST_CASE("a scale that is infinite is found in planar tensors, act-order too") {
  auto m = nbit_test::random_matrix<sym4>({3, 80}, 4);
  for (auto& c : m.codes) c = static_cast<std::uint8_t>(c == 8 ? 9 : c);  // no number is 0 times the scale
  m.params[m.params_index(2, 1)].scale = nbit::f16::from_bits(0x7c00);
  const auto plain = nbit::pack_codes<nbit::linear>(m);
  REQUIRE(plain);
  const auto bad = nbit::check_values(plain->view());
  REQUIRE_FALSE(bad);
  CHECK((bad.error().row == 2 && bad.error().col == 32));
  m.group_index = *nbit::buffer<std::uint32_t>::zeros(80);
  m.group_index[70] = 1;
  const auto order = nbit::pack_codes<nbit::linear>(m);
  REQUIRE(order);
  CHECK(nbit::check_values(order->view()).error().col == 70);
}
