// tests/kernel/uniform_kernels_test.cpp — every operation on uniform formats of all widths and symmetries.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <nbit/format/uniform.hpp>

namespace {
using nbit::scale_type;
using nbit::scheme;
using nbit::symmetry;
struct w1 : nbit::uniform<scheme{.bits = 1, .group = 64}> {};
struct w2 : nbit::uniform<scheme{.bits = 2, .group = 32, .symmetry = symmetry::full_range, .scale = scale_type::bf16}> {
};
struct w3 : nbit::uniform<scheme{.bits = 3, .group = 64, .symmetry = symmetry::asymmetric}> {};
struct w4 : nbit::uniform<scheme{.bits = 4, .group = 128}> {};
struct w5 : nbit::uniform<scheme{.bits = 5, .group = 24, .symmetry = symmetry::gptq}> {};
struct w6 : nbit::uniform<scheme{.bits = 6, .group = 16, .scale = scale_type::f8_e4m3}> {};
struct w7 : nbit::uniform<scheme{.bits = 7, .group = nbit::per_row, .symmetry = symmetry::asymmetric_float}> {};
struct w8 : nbit::uniform<scheme{
                .bits = 8, .group = nbit::per_tensor, .symmetry = symmetry::asymmetric, .scale = scale_type::f32}> {};
struct w4e : nbit::uniform<scheme{.bits = 4, .group = 32, .scale = scale_type::e8m0}> {};
}  // namespace

TEST_CASE("one bit") { nbit_test::check_kernels<w1>("w1"); }
TEST_CASE("two bits, full range, bf16 scales") { nbit_test::check_kernels<w2>("w2"); }
TEST_CASE("three bits, asymmetric") { nbit_test::check_kernels<w3>("w3"); }
TEST_CASE("four bits") { nbit_test::check_kernels<w4>("w4"); }
TEST_CASE("five bits, groups that no vector width divides") { nbit_test::check_kernels<w5>("w5"); }
TEST_CASE("six bits, 8-bit float scales") { nbit_test::check_kernels<w6>("w6"); }
TEST_CASE("seven bits, one group for each row, float zero") { nbit_test::check_kernels<w7>("w7"); }
TEST_CASE("eight bits, one group for the tensor") { nbit_test::check_kernels<w8>("w8"); }
TEST_CASE("four bits, power-of-two scales") { nbit_test::check_kernels<w4e>("w4e"); }
