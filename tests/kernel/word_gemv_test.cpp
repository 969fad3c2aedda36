// tests/kernel/word_gemv_test.cpp — gemv and gemm straight on the words of GPTQ and AWQ: the scalar text's bits for
// every width, kind of zero and scale, group of activations, number of rows, and with reordered columns.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/kernel/describe.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>

namespace {

using nbit::scale_type;
using nbit::symmetry;
template <int Bits, int Group, symmetry Kind, scale_type Scale = scale_type::f16>
using format = nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = Kind, .scale = Scale}>;

int runs = 0;

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <int Group, class View>
void check_int8(const View& w, const std::vector<float>& x, std::size_t tokens) {
  INFO("int8, groups of " << Group);
  auto act = nbit::int8_activation_matrix<Group>::make({tokens, w.cols});
  REQUIRE(act);
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), tokens, w.cols),
                             act->view());
  std::vector<float> y(tokens * w.rows), z(tokens * w.rows);
  nbit::gemm(nbit::arch::scalar{}, w, act->view(), {y.data(), tokens, w.rows});
  nbit::arch::for_each_runnable([&](auto tag) {
    if constexpr (decltype(tag)::level > 0) {
      INFO(decltype(tag)::name);
      std::fill(z.begin(), z.end(), 7.0f);
      nbit::gemm(tag, w, act->view(), {z.data(), tokens, w.rows});
      REQUIRE(same(y, z));
      auto first = act->view();
      first.rows = 1;
      std::fill(z.begin(), z.end(), 7.0f);
      nbit::gemv(tag, w, first, std::span<float>(z.data(), w.rows));
      REQUIRE(std::memcmp(y.data(), z.data(), w.rows * sizeof(float)) == 0);
      ++runs;
    }
  });
}

// EveryGroup: with activations in groups of all sizes, not of 32 alone. For a format of each width and one of AWQ,
// because each (format, group) is a kernel for every instruction set to compile.
template <class F, class L, bool EveryGroup>
void check_shape(nbit::shape s, bool reordered) {
  INFO("shape " << s.rows << " x " << s.cols << (reordered ? ", reordered" : ""));
  nbit_test::random numbers(s.rows + s.cols);
  auto coded = nbit::coded_matrix<F>::make(s);
  REQUIRE(coded);
  for (auto& code : coded->codes) code = static_cast<nbit::code_t<F>>(numbers.below(1u << F::bits));
  for (auto& p : coded->params) {
    const float w[3] = {numbers.uniform(-1.0f, 1.0f), numbers.uniform(-1.0f, 1.0f), numbers.uniform(-1.0f, 1.0f)};
    p = F::fit(w, {});
    if constexpr (F::symmetric && std::is_same_v<typename F::scale_t, nbit::f16>) {  // negative scales, too
      if (numbers.below(4) == 0) p.scale = nbit::f16::from(-float(p.scale));
    }
  }
  if (reordered) {
    auto index = nbit::buffer<std::uint32_t>::make(s.cols);
    REQUIRE(index);
    for (auto& g : *index) g = static_cast<std::uint32_t>(numbers.below(nbit::groups_per_row<F>(s.cols)));
    coded->group_index = *std::move(index);
  }
  auto packed = nbit::pack_codes<L>(*coded);
  REQUIRE(packed);
  const auto w = packed->view();
  constexpr std::size_t tokens = 2;
  const auto x = numbers.normals(tokens * s.cols);
  std::vector<float> y(s.rows), z(s.rows);
  nbit::gemv(nbit::arch::scalar{}, w, std::span<const float>(x.data(), s.cols), std::span<float>(y));
  nbit::arch::for_each_runnable([&](auto tag) {
    if constexpr (decltype(tag)::level > 0) {
      INFO(decltype(tag)::name);
      std::fill(z.begin(), z.end(), 7.0f);
      nbit::gemv(tag, w, std::span<const float>(x.data(), s.cols), std::span<float>(z));
      REQUIRE(same(y, z));
      ++runs;
    }
  });
  check_int8<32>(w, x, tokens);
  if constexpr (EveryGroup) {
    if (s.rows > 200) return;
    check_int8<16>(w, x, tokens);
    check_int8<256>(w, x, tokens);
    check_int8<nbit::per_row>(w, x, tokens);
  }
}

template <class F, class L, bool EveryGroup = false>
void check(const char* name) {
  INFO(name);
  for (const nbit::shape s :
       {nbit::shape{16, 32}, {70, 256}, {131, 416}, {64, 480}, {5, 64}, {33, 40}, {272, 4096 + 96}})
    for (const bool reordered : {false, true})
      if (!reordered || F::group > 0) {
        check_shape<F, L, EveryGroup>(s, reordered);
      }
}

}  // namespace

TEST_CASE("products on GPTQ words") {
  using nbit::gptq_words;
  check<format<4, 128, symmetry::asymmetric>, gptq_words, true>("4 bits, zeros");
  check<format<4, 32, symmetry::gptq>, gptq_words>("4 bits");
  check<format<4, 64, symmetry::asymmetric_float, scale_type::bf16>, gptq_words>("4 bits, fractional zeros, bf16");
  check<format<2, 16, symmetry::asymmetric_float>, gptq_words, true>("2 bits, fractional zeros");
  check<format<2, 64, symmetry::asymmetric>, gptq_words>("2 bits, zeros");
  check<format<8, 128, symmetry::restricted, scale_type::f32>, gptq_words>("8 bits, f32");
  check<format<8, nbit::per_row, symmetry::asymmetric>, gptq_words, true>("8 bits, one group, zeros");
}

TEST_CASE("products on AWQ words") {
  using nbit::awq_interleave;
  check<format<4, 128, symmetry::asymmetric>, awq_interleave, true>("4 bits, zeros");
  check<format<4, 64, symmetry::restricted>, awq_interleave>("4 bits");
  check<format<8, 32, symmetry::asymmetric>, awq_interleave>("8 bits, zeros");
  WARN("count: word gemv: " << runs << " comparisons with the scalar text");
}

TEST_CASE("many groups in another order") {
  check_shape<format<4, 16, symmetry::asymmetric>, nbit::gptq_words, false>({48, 16 * 300}, true);
  check_shape<format<4, 16, symmetry::asymmetric>, nbit::gptq_words, false>({48, 16 * 600}, true);
}
