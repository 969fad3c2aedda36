// tests/base/matrix_view_test.cpp — rows, strides, conversions and ranges of a view.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstddef>
#include <type_traits>

#include <catch2/catch_test_macros.hpp>

#include <nbit/base/matrix_view.hpp>

TEST_CASE("elements lie a stride apart from row to row") {
  std::array<int, 12> n{};
  for (int i = 0; i < 12; ++i) n[static_cast<std::size_t>(i)] = i;
  const nbit::matrix_view<int> m(n.data(), 3, 2, 4);
  REQUIRE(m(0, 0) == 0);
  REQUIRE(m(1, 1) == 5);
  REQUIRE(m(2, 0) == 8);
  REQUIRE(m.row(2).size() == 2);
  REQUIRE(m.row(2)[1] == 9);
  REQUIRE(m.shape() == nbit::shape{3, 2});
  m(2, 1) = 70;
  REQUIRE(n[9] == 70);
}

TEST_CASE("rows are adjacent when no stride is given") {
  std::array<float, 6> n{0, 1, 2, 3, 4, 5};
  const nbit::matrix_view m(n.data(), 2, 3);
  REQUIRE(m.stride == 3);
  REQUIRE(m(1, 0) == 3);
}

TEST_CASE("a range of rows keeps columns and stride") {
  std::array<int, 12> n{};
  for (int i = 0; i < 12; ++i) n[static_cast<std::size_t>(i)] = i;
  const auto tail = nbit::matrix_view<int>(n.data(), 3, 3, 4).row_range(1, 2);
  REQUIRE(tail.shape() == nbit::shape{2, 3});
  REQUIRE(tail(0, 0) == 4);
  REQUIRE(tail(1, 2) == 10);
}

TEST_CASE("a view of mutable elements converts to one of const elements and not back") {
  using mutable_view = nbit::matrix_view<float>;
  using const_view = nbit::matrix_view<const float>;
  static_assert(std::is_convertible_v<mutable_view, const_view>);
  static_assert(!std::is_convertible_v<const_view, mutable_view>);
  std::array<float, 4> n{1, 2, 3, 4};
  const const_view v = mutable_view(n.data(), 2, 2);
  REQUIRE(v(1, 1) == 4);
}

namespace {
struct foreign {  // the part of std::mdspan that a view reads
  const float* p;
  const float* data_handle() const { return p; }
  int extent(std::size_t i) const { return i == 0 ? 2 : 3; }
  int stride(std::size_t i) const { return i == 0 ? 5 : 1; }
};
}  // namespace

TEST_CASE("anything shaped like a two-dimensional mdspan is a view") {
  std::array<float, 10> n{};
  n[7] = 9;
  const nbit::matrix_view<const float> v = foreign{n.data()};
  REQUIRE(v.shape() == nbit::shape{2, 3});
  REQUIRE(v(1, 2) == 9);
}

TEST_CASE("a view with no rows or no columns is empty") {
  REQUIRE(nbit::matrix_view<float>().empty());
  REQUIRE(nbit::matrix_view<float>(nullptr, 0, 5).empty());
  REQUIRE(nbit::matrix_view<float>(nullptr, 5, 0).empty());
}
