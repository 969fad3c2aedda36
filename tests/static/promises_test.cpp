// tests/static/promises_test.cpp — what the types promise at compile time: sizes, triviality, and nothing that throws.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <type_traits>
#include <utility>

#include <catch2/catch_test_macros.hpp>

#include <nbit/nbit.hpp>

namespace {

// Views and numbers cross units as plain bytes.
template <class T>
inline constexpr bool plain = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>;

// Owners are moved without throwing and never copied by accident.
template <class T>
inline constexpr bool owner = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                              !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;

}  // namespace

TEST_CASE("numbers have the size of their name") {
  STATIC_REQUIRE(sizeof(nbit::f16) == 2);
  STATIC_REQUIRE(sizeof(nbit::bf16) == 2);
  STATIC_REQUIRE(sizeof(nbit::f8_e4m3) == 1);
  STATIC_REQUIRE(sizeof(nbit::f8_e5m2) == 1);
  STATIC_REQUIRE(sizeof(nbit::e8m0) == 1);
  STATIC_REQUIRE(plain<nbit::f16>);
  STATIC_REQUIRE(plain<nbit::bf16>);
  STATIC_REQUIRE(plain<nbit::e8m0>);
}

TEST_CASE("views are plain") {
  STATIC_REQUIRE(plain<nbit::matrix_view<float>>);
  STATIC_REQUIRE(plain<nbit::packed_view<nbit::w4g128>>);
  STATIC_REQUIRE(plain<nbit::packed_view<nbit::q4_k>>);
  STATIC_REQUIRE(plain<nbit::int8_activations<32>>);
  STATIC_REQUIRE(plain<nbit::error>);
}

TEST_CASE("owners move and do not copy") {
  STATIC_REQUIRE(owner<nbit::buffer<float>>);
  STATIC_REQUIRE(owner<nbit::packed_matrix<nbit::w4g128>>);
  STATIC_REQUIRE(owner<nbit::packed_matrix<nbit::q4_k>>);
}

TEST_CASE("kernels promise not to throw") {
  using view = nbit::packed_view<nbit::w4g128>;
  STATIC_REQUIRE(noexcept(nbit::gemv(std::declval<const view&>(), std::declval<std::span<const float>>(),
                                     std::declval<std::span<float>>())));
  STATIC_REQUIRE(noexcept(nbit::gemv(nbit::arch::scalar{}, std::declval<const view&>(),
                                     std::declval<std::span<const float>>(), std::declval<std::span<float>>())));
}

TEST_CASE("a format costs what its name says") {
  STATIC_REQUIRE(nbit::packed_bytes<nbit::q4_k>({1, 256}) == 144);
  STATIC_REQUIRE(nbit::packed_bytes<nbit::q6_k>({1, 256}) == 210);
  STATIC_REQUIRE(nbit::packed_bytes<nbit::w4g128>({1, 128}) == 64 + 2);
}
