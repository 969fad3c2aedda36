// Every barrier and every wait of the kernels is left out once: the results show it, or nobody needs it.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/format/codebook.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/cuda/fragment_gemm.hpp>
#include <nbit/cuda/gemm.hpp>
#include <nbit/cuda/gemv.hpp>
#include <nbit/cuda/int8_gemm.hpp>

#include "cuda/emulator.hpp"
#include "cuda/products.hpp"

namespace {

using nbit_test::activations;
using nbit_test::forgotten;
using nbit_test::packed;
using nbit_test::w8row;
using nbit_test::whole_q6_k;

/// A barrier in the loop over `pieces` of columns: the first of a piece shows what others have fetched, the second lets
/// the piece `stages` later overwrite this one.  tail: barriers after the loop, before which the first stage is
/// written.
bool is_needed(unsigned sync, std::size_t pieces, std::size_t stages, unsigned tail) {
  const std::size_t piece = sync / 2;
  if (piece >= pieces || sync % 2 == 0) return true;
  return piece + stages < pieces || (tail != 0 && piece + 1 == pieces && piece % stages == 0);
}

/// run(without) computes y and returns the barriers it met.
template <class Run>
void check_barriers(const std::string& name, std::vector<float>& y, std::size_t pieces, std::size_t stages, bool waits,
                    unsigned tail, Run run) {
  INFO(name);
  const nbit_test::barriers met = run(forgotten{});
  const std::vector<float> right = y;
  CHECK(met.syncs == 2 * pieces + tail);
  CHECK(met.waits == (waits ? pieces : 0));
  CHECK(met.commits == met.waits);
  const auto seen = [&](forgotten without) {
    y.assign(y.size(), 0.0f);
    run(without);
    return std::memcmp(y.data(), right.data(), y.size() * sizeof(float)) != 0;
  };
  REQUIRE_FALSE(seen({}));
  for (unsigned k = 0; k < met.syncs; ++k) {
    INFO("without sync " << k);
    CHECK(seen({.sync = k}) == is_needed(k, pieces, stages, tail));
  }
  for (unsigned k = 0; k < met.waits; ++k) {
    INFO("without wait " << k);
    CHECK(seen({.wait = k}));
    CHECK(seen({.late = k}));
  }
  for (unsigned k = 0; k < met.commits; ++k) {
    INFO("without commit " << k);
    CHECK(seen({.commit = k}));
  }
}

/// A product with 16-bit activations, copied sixteen bytes at a time.
template <class T, class Gemm, class F, class L>
void check_gemm(const std::string& name, const packed<F, L>& w, std::size_t depth, std::size_t stages, unsigned tail) {
  const nbit::shape s = w.view().shape();
  const std::size_t tokens = 17;
  const auto x = activations<T>(tokens * s.cols, 11);
  std::vector<float> y(tokens * s.rows);
  check_barriers(name, y, (s.cols + depth - 1) / depth, stages, true, tail, [&](forgotten without) {
    return nbit_test::emulate(Gemm{w.view(), {x.data(), tokens, s.cols}, {y.data(), tokens, s.rows}, true},
                              Gemm::blocks_for(s), Gemm::blocks_y_for({tokens, s.cols}), without);
  });
}

}  // namespace

TEST_CASE("no barrier and no wait of a kernel can be left out unseen, but those that nothing follows") {
  // Races are the result that is looked for: under sanitizers they would be the error.
  if (NBIT_TESTS_TEAM_OF_THREADS != 0) SKIP("threads of the host race; the order of contexts is known");
  using nbit::f16, nbit::warp_tiles, nbit::linear;

  const auto planar = packed<nbit::w4g128, linear>({64, 320});
  check_gemm<f16, nbit::cuda::gemm_kernel<nbit::packed_view<nbit::w4g128, linear>, f16>>("gemm, two stages", planar, 64,
                                                                                         2, 0);
  const auto blocks = packed<whole_q6_k, nbit::blocks>({32, 768});
  check_gemm<f16, nbit::cuda::gemm_kernel<nbit::packed_view<whole_q6_k, nbit::blocks>, f16>>("gemm, one stage", blocks,
                                                                                             256, 1, 0);
  using tiles = nbit::packed_view<nbit::w4g128, warp_tiles>;
  using many = nbit::cuda::many_tokens_gemm<tiles, f16>;
  using few = nbit::cuda::few_tokens_gemm<tiles, f16>;
  const auto tiled = packed<nbit::w4g128, warp_tiles>({104, 640});
  check_gemm<f16, many>("gemm on warp tiles, many tokens", tiled, many::depth, 2, 0);
  for (const std::size_t cols : {std::size_t{1536}, std::size_t{2048}})
    check_gemm<f16, few>("gemm on warp tiles, few tokens", packed<nbit::w4g128, warp_tiles>({24, cols}), few::depth, 2,
                         1);

  const nbit::shape s{64, 200};
  const std::size_t tokens = 64;
  const auto w8 = packed<w8row, linear>(s);
  const auto x = activations<float>(tokens * s.cols, 3);
  auto codes = nbit::int8_activation_matrix<nbit::per_row>::make({tokens, s.cols});
  REQUIRE(codes);
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), tokens, s.cols),
                             codes->view());
  using int8_gemm = nbit::cuda::int8_gemm_kernel<w8row, nbit::per_row>;
  std::vector<float> y(tokens * s.rows);
  check_barriers("int8 gemm", y, 4, 1, false, 0, [&](forgotten without) {
    return nbit_test::emulate(int8_gemm{w8.view(), codes->view(), {y.data(), tokens, s.rows}}, int8_gemm::blocks_for(s),
                              int8_gemm::blocks_y_for({tokens, s.cols}), without);
  });

  using gemv = nbit::cuda::gemv_kernel<tiles, float, 4>;
  const auto few_x = activations<float>(3 * 640, 5);
  std::vector<float> few_y(3 * 104);
  check_barriers("gemv on warp tiles", few_y, 0, 1, false, 1, [&](forgotten without) {
    return nbit_test::emulate(gemv{tiled.view(), {few_x.data(), 3, 640}, {few_y.data(), 3, 104}, true},
                              gemv::blocks_for({104, 640}), 1, without);
  });
}
