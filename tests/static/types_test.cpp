// tests/static/types_test.cpp — what must hold of types at compile time; the case below only says that it was compiled.
// SPDX-License-Identifier: MIT
#include <type_traits>

#include <catch2/catch_test_macros.hpp>

#include <nbit/nbit.hpp>

namespace {

// Views are passed in registers and across units: plain, small, copyable.
static_assert(std::is_trivially_copyable_v<nbit::matrix_view<float>> &&
              sizeof(nbit::matrix_view<float>) == 4 * sizeof(void*));
static_assert(std::is_trivially_copyable_v<nbit::packed_view<nbit::w4g128>>);
static_assert(std::is_trivially_copyable_v<nbit::packed_view<nbit::q4_k>>);
static_assert(std::is_trivially_copyable_v<nbit::int8_activations<32>>);
static_assert(std::is_trivially_copyable_v<nbit::error>);

// Owners move and never copy by accident.
static_assert(std::is_nothrow_move_constructible_v<nbit::buffer<float>> &&
              !std::is_copy_constructible_v<nbit::buffer<float>>);
static_assert(!std::is_copy_constructible_v<nbit::packed_matrix<nbit::q4_k>>);
static_assert(std::is_move_constructible_v<nbit::packed_matrix<nbit::q4_k>>);

// The concepts sort the built-in formats.
static_assert(nbit::grid_format<nbit::w4g128> && nbit::integer_format<nbit::w4g128> &&
              !nbit::block_format<nbit::w4g128>);
static_assert(nbit::grid_format<nbit::nf4> && !nbit::integer_format<nbit::nf4>);
template <class... F>
constexpr bool all_ggml =
    ((nbit::ggml_format<F> && nbit::integer_format<F> && nbit::self_encoding<F> && nbit::grid_format<F>) && ...);
static_assert(all_ggml<nbit::q4_0, nbit::q4_1, nbit::q5_0, nbit::q5_1, nbit::q8_0, nbit::q8_1, nbit::q2_k, nbit::q3_k,
                       nbit::q4_k, nbit::q5_k, nbit::q6_k, nbit::q8_k>);

// Sizes that files rely on.
template <class F>
constexpr std::size_t block = nbit::packed_bytes<F>({1, std::size_t(F::group)});
static_assert(block<nbit::q4_0> == 18 && block<nbit::q4_1> == 20 && block<nbit::q5_0> == 22 && block<nbit::q5_1> == 24);
static_assert(block<nbit::q8_0> == 34 && block<nbit::q8_1> == 36 && block<nbit::q8_k> == 292);
static_assert(block<nbit::q2_k> == 84 && block<nbit::q3_k> == 110 && block<nbit::q4_k> == 144 &&
              block<nbit::q5_k> == 176);
static_assert(block<nbit::q6_k> == 210);

// A mutable view reads as a constant one, never the other way.
static_assert(std::is_convertible_v<nbit::packed_span<nbit::q4_k>, nbit::packed_view<nbit::q4_k>>);
static_assert(!std::is_convertible_v<nbit::packed_view<nbit::q4_k>, nbit::packed_span<nbit::q4_k>>);
static_assert(nbit::weight_matrix<nbit::packed_view<nbit::q4_k>> &&
              nbit::weight_matrix<nbit::matrix_view<const nbit::f16>>);
static_assert(!nbit::weight_matrix<nbit::matrix_view<const double>>);

}  // namespace

TEST_CASE("the static assertions of this file hold") { SUCCEED(); }
