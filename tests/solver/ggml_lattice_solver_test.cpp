// tests/solver/ggml_lattice_solver_test.cpp — GPTQ into the blocks of ggml's IQ types and E8P: ordinary files, lower
// loss.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <vector>

#include <nbit/format/e8p.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/rtn.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {
template <class F>
void gains(double at_most) {
  const std::size_t rows = 24, cols = 256;
  const std::vector<float> w = nbit_test::random(21).normals(rows * cols);
  const hessian h = statistics(activations(1024, cols, 22), cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  const auto plain = nbit::round_to_nearest<F>(view);
  const auto solved = nbit::gptq<F>(view, h);
  REQUIRE(plain);
  REQUIRE(solved);
  const double before = *nbit::relative_output_error(view, *plain, h),
               after = *nbit::relative_output_error(view, solved->codes, h);
  INFO(F::name << ": loss relative to plain rounding " << after / before);
  CHECK(all_values_finite(solved->codes));
  CHECK(after < at_most * before);
  // what a file would hold reads back as the same codes
  const auto blocks = nbit::pack_codes<nbit::blocks>(solved->codes);
  REQUIRE(blocks);
  const auto again = nbit::unpack_codes(blocks->view());
  REQUIRE(again);
  for (std::size_t i = 0; i < again->codes.size(); ++i) REQUIRE(again->codes[i] == solved->codes.codes[i]);
}
}  // namespace

TEST_CASE("GPTQ lowers the output error of every IQ type, and of E8P") {
  gains<nbit::iq3_s>(0.75);
  gains<nbit::iq3_xxs>(0.75);
  gains<nbit::iq2_s>(0.75);
  gains<nbit::iq2_xs>(0.75);
  gains<nbit::iq2_xxs>(0.75);
  gains<nbit::iq1_m>(0.9);
  gains<nbit::iq1_s>(0.9);
  gains<nbit::e8p<256>>(0.75);
  gains<nbit::e8p<64>>(0.75);
}
