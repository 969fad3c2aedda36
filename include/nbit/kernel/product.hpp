// nbit/kernel/product.hpp — C += A^T B in a fixed order of additions: the one matrix product of the solvers.
//
// Gram panels, the factor's trailing update, GPTQ's error feedback and the gradient of descent are all this shape.
// Every entry is a sum in f32 over chunks of 128 terms, each from zero and in order, product and sum rounded
// separately, added to C chunk by chunk: tiles and vectors change the speed and never a bit.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_PRODUCT_HPP
#define NBIT_KERNEL_PRODUCT_HPP

#include <cstddef>
#include <cstring>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>

namespace nbit {

/// The operands of C (m x n) += sign * A^T B; A is k x m, B is k x n, rows a stride apart.
struct product_operands {
  float* c;
  std::size_t c_stride;
  const float* a;
  std::size_t a_stride;
  const float* b;
  std::size_t b_stride;
  std::size_t m, n, k;
  float sign;
};

inline namespace NBIT_TAG {

/// run(operands): the product for one instruction set.
template <class Arch>
struct product_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/product.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// C (m x n) += sign * A^T B.  Needs: n % 8 == 0; C overlaps neither A nor B; sign is 1 or -1.
inline void add_product(const product_operands& p) noexcept {
  arch::dispatch([&](auto tag) { product_kernel<decltype(tag)>::run(p); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
