// Every kernel over every way of reading, for the compile check (tests/cuda/compile.sh); nothing here runs.
// SPDX-License-Identifier: MIT
#include <array>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/cuda/operations.hpp>

namespace cuda_kernels {

struct w8row : nbit::uniform<nbit::scheme{.bits = 8, .group = nbit::per_row}> {};
struct w3g64a : nbit::uniform<nbit::scheme{.bits = 3, .group = 64, .symmetry = nbit::symmetry::asymmetric}> {};
struct w2g16f : nbit::uniform<nbit::scheme{.bits = 2, .group = 16, .symmetry = nbit::symmetry::asymmetric_float}> {};
struct user_levels : nbit::codebook<user_levels, 4, 64> {
  static constexpr std::array<float, 16> levels = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
};
/// A block format that cuda/ knows nothing of.
struct whole_q6_k : nbit::q6_k {};
/// A user's own format in twenty lines: constexpr members run on the GPU as they are.
struct my_grid {
  static constexpr int bits = 3, group = 64;
  struct params {
    nbit::f16 scale;
  };
  static constexpr params fit(std::span<const float>, std::span<const float>) { return {}; }
  static constexpr int code(float, const params&, int) { return 0; }
  static constexpr float value(int c, const params& p, int) {
    return static_cast<float>(p.scale) * static_cast<float>(c - 4);
  }
};

template <class View>
bool all(View w, nbit::matrix_view<float> y, nbit::matrix_view<const nbit::f16> x,
         nbit::matrix_view<const nbit::bf16> xb, cudaStream_t s) {
  return nbit::cuda::dequantize(w, y, s) && nbit::cuda::gemv(w, x, y, s) && nbit::cuda::gemm(w, x, y, s) &&
         nbit::cuda::gemm(w, xb, y, s);
}
template <class F, class L = nbit::default_layout<F>>
bool all(nbit::matrix_view<float> y, nbit::matrix_view<const nbit::f16> x, nbit::matrix_view<const nbit::bf16> xb,
         cudaStream_t s) {
  return all(nbit::packed_view<F, L>{}, y, x, xb, s);
}

}  // namespace cuda_kernels

// NBIT_HOT_KERNELS: those whose registers are watched on every architecture; without it all.
using namespace cuda_kernels;

bool instantiate(nbit::matrix_view<float> y, nbit::matrix_view<const nbit::f16> x,
                 nbit::matrix_view<const nbit::bf16> xb, nbit::int8_activations<nbit::per_row> q,
                 nbit::matrix_view<nbit::f8_e4m3> c, cudaStream_t s) {
#if defined(NBIT_HOT_KERNELS)
  bool good = all<nbit::w4g128>(y, x, xb, s) && all<nbit::w4g128, nbit::gptq_words>(y, x, xb, s) &&
              all<nbit::w4g128, nbit::warp_tiles>(y, x, xb, s) && all<nbit::nf4, nbit::warp_tiles>(y, x, xb, s) &&
              all<nbit::nf4>(y, x, xb, s) && all<nbit::q4_k>(y, x, xb, s) && all<nbit::q8_0>(y, x, xb, s);
#else
  bool good = all<nbit::w4g128>(y, x, xb, s) && all<nbit::w4g128, nbit::gptq_words>(y, x, xb, s) &&
              all<nbit::w4g128, nbit::awq_interleave>(y, x, xb, s) && all<nbit::w4g128, nbit::tiled<16>>(y, x, xb, s) &&
              all<nbit::w4g128, nbit::warp_tiles>(y, x, xb, s) && all<nbit::nf4, nbit::warp_tiles>(y, x, xb, s) &&
              all<w3g64a, nbit::warp_tiles>(y, x, xb, s) && all<w8row, nbit::warp_tiles>(y, x, xb, s) &&
              all<w3g64a, nbit::gptq_words>(y, x, xb, s) && all<w2g16f>(y, x, xb, s) && all<w8row>(y, x, xb, s) &&
              all<nbit::nf4>(y, x, xb, s) && all<nbit::fp4>(y, x, xb, s) && all<user_levels>(y, x, xb, s) &&
              all<my_grid>(y, x, xb, s) && all(nbit::matrix_view<const nbit::f16>{}, y, x, xb, s);
  good = good && all<nbit::q4_0>(y, x, xb, s) && all<nbit::q8_0>(y, x, xb, s) && all<nbit::q2_k>(y, x, xb, s) &&
         all<nbit::q3_k>(y, x, xb, s) && all<nbit::q4_k>(y, x, xb, s) && all<nbit::q5_k>(y, x, xb, s) &&
         all<nbit::q6_k>(y, x, xb, s) && all<nbit::iq4_xs>(y, x, xb, s) && all<nbit::mxfp4>(y, x, xb, s) &&
         all<nbit::nvfp4>(y, x, xb, s) && all<nbit::iq3_s>(y, x, xb, s) && all<nbit::iq2_xs>(y, x, xb, s) &&
         all<nbit::iq1_m>(y, x, xb, s) && all<whole_q6_k>(y, x, xb, s);
#endif
  good = good && nbit::cuda::gemm(nbit::packed_view<w8row, nbit::linear>{}, q, y, s) &&
         nbit::cuda::quantize_activations(x, q, s) && nbit::cuda::quantize_activations(x, c, nullptr, s) &&
         nbit::cuda::append_rows(x, nbit::packed_span<nbit::q8_0>{}, 0, s) &&
         nbit::cuda::append_rows(y, nbit::packed_span<nbit::q4_0>{}, 0, s) &&
         nbit::cuda::repack(nbit::packed_view<nbit::w4g128, nbit::gptq_words>{},
                            nbit::packed_span<nbit::w4g128, nbit::warp_tiles>{}, s);
  return good;
}
