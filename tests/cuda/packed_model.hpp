// A model whose blocks a device can take: their matrices in Q8_0 and Q4_0 in turn.
#ifndef NBIT_TESTS_CUDA_PACKED_MODEL_HPP
#define NBIT_TESTS_CUDA_PACKED_MODEL_HPP

#include <cstddef>
#include <vector>

#include <nbit/kernel/quantize.hpp>

#include <engine/model.hpp>

namespace nbit_test {

inline engine::model packed_blocks(engine::model m) {
  for (std::size_t b = 0; b < m.blocks.size(); ++b)
    for (engine::linear& w : m.blocks[b].matrices) {
      std::vector<float> floats(w.shape().rows * w.shape().cols);
      const nbit::matrix_view<float> all(floats.data(), w.shape().rows, w.shape().cols);
      w.decode(all);
      if (b % 2 == 0)
        w = engine::linear(*nbit::quantize<nbit::q8_0>(nbit::arch::scalar{}, all), "Q8_0");
      else
        w = engine::linear(*nbit::quantize<nbit::q4_0>(nbit::arch::scalar{}, all), "Q4_0");
    }
  return m;
}

}  // namespace nbit_test

#endif
