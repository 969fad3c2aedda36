// Blocks of a model on a device, which here is the emulator: the greedy tokens are those of the host.
// SPDX-License-Identifier: MIT
#define NBIT_SCALAR_ONLY  // the host's kernels are not what is looked at, and every instruction set takes its time

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/kernel/quantize.hpp>
#include <nbit/cuda/gemv.hpp>

#include <engine/generate.hpp>
#include <engine/offload.hpp>

#include "cuda/emulator.hpp"
#include "cuda/packed_model.hpp"
#include "engine/reference.hpp"

namespace {

/// A device that knows two formats and emulates cuda::gemv on copies of the bytes.
class emulated final : public engine::device {
 public:
  std::size_t placed = 0, products = 0;

  nbit::result<engine::product_function> place(const engine::stored_weights& w) override {
    if (w.type == nbit::ggml_type::q8_0) return keep<nbit::q8_0>(w);
    if (w.type == nbit::ggml_type::q4_0) return keep<nbit::q4_0>(w);
    return nbit::make_error(nbit::errc::unsupported, "the emulated device has no such weights", "Q8_0 and Q4_0");
  }

 private:
  template <class F>
  nbit::result<engine::product_function> keep(const engine::stored_weights& w) {
    auto memory = std::make_shared<std::vector<std::byte>>(w.bytes.begin(), w.bytes.end());
    const nbit::packed_view<F> view(std::span<const std::byte>(*memory), w.shape);
    ++placed;
    return engine::product_function([this, memory, view](nbit::matrix_view<const float> x, nbit::matrix_view<float> y) {
      using one = nbit::cuda::gemv_kernel<nbit::packed_view<F>, float, 1>;
      using eight = nbit::cuda::gemv_kernel<nbit::packed_view<F>, float, 8>;
      ++products;
      if (x.rows == 1) {
        nbit_test::emulate(one{view, x, y, false}, one::blocks_for(view.shape()));
        return;
      }
      for (std::size_t t = 0; t < x.rows; t += 8) {
        const std::size_t n = std::min<std::size_t>(8, x.rows - t);
        nbit_test::emulate(eight{view, x.row_range(t, n), y.row_range(t, n), false}, eight::blocks_for(view.shape()));
      }
    });
  }
};

}  // namespace

TEST_CASE("a model whose first blocks are on a device writes the tokens of the host") {
#if NBIT_TESTS_TEAM_OF_THREADS
  SKIP("offload: too many blocks for an emulator with a thread for each GPU thread");
#endif
  const engine::model host = nbit_test::packed_blocks(engine_test::bundled_model());
  const std::vector<std::int32_t> prompt = {1, 40, 3};
  for (const std::size_t layers : {std::size_t{1}, host.blocks.size() + 3}) {
    const std::size_t tokens = layers == 1 ? 8 : 3;
    const auto expected = engine::greedy(host, prompt, tokens);
    REQUIRE((expected && expected->size() == tokens));
    emulated device;
    const auto m = engine::offloaded(host, layers, device);
    REQUIRE(m);
    CHECK(device.placed == std::min(layers, host.blocks.size()) * engine::role_count);
    const auto found = engine::greedy(*m, prompt, tokens);
    REQUIRE(found);
    CHECK(*found == *expected);
    CHECK(device.products == device.placed * found->size());
  }
}

TEST_CASE("weights that a device cannot take are refused by name") {
  emulated device;
  const auto dense = engine::offloaded(engine_test::bundled_model(), 1, device);
  REQUIRE(!dense);
  CHECK(dense.error().code == nbit::errc::unsupported);
  CHECK(std::string(dense.error().subject) == "blk.0.attn_q.weight");
}
