// tests/odr/use.cpp — instantiates what the library offers, so that its weak functions can be compared; see check.sh.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(NBIT_ODR_BASE_ONLY)
#include <nbit/base/buffer.hpp>
#else
#include <nbit/nbit.hpp>
#endif

// Something that stays a weak function at every level, so that the self-test has one to find.
namespace nbit {
inline namespace NBIT_TAG {
template <class T>
NBIT_NOINLINE T sum_of(const T* p, std::size_t n) {
  T s{};
  for (std::size_t i = 0; i < n; ++i) s = static_cast<T>(s + p[i]);
  return s;
}
}  // namespace NBIT_TAG
}  // namespace nbit

namespace {

// FNV-1a over whatever was computed: equal bits, equal answer.
struct digest {
  std::uint64_t value = 1469598103934665603u;
  void add(const void* p, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) value = (value ^ static_cast<const unsigned char*>(p)[i]) * 1099511628211u;
  }
  template <class T>
  void add(const T& x) {
    add(&x, sizeof x);
  }
};

std::vector<float> weights(std::size_t n) {
  std::vector<float> w(n);
  std::uint32_t state = 1;
  for (float& x : w) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-33f;
  }
  return w;
}

void use_base(digest& d) {
  auto b = nbit::buffer<float>::make(256);
  if (!b) return;
  const std::vector<float> w = weights(256);
  for (std::size_t i = 0; i < 256; ++i) (*b)[i] = w[i];
  nbit::buffer<float> c = *std::move(b);
  d.add(c.data(), c.size() * sizeof(float));
  auto z = nbit::buffer<std::uint16_t>::zeros(64);
  d.add(z.has_value());
  const std::uint32_t numbers[4] = {1, 2, 3, 4};
  d.add(nbit::sum_of(numbers, 4));
}

#if !defined(NBIT_ODR_BASE_ONLY)
template <class F>
void use_format(digest& d, const std::vector<float>& w, const std::vector<float>& x) {
  constexpr std::size_t rows = 7, cols = 256;
  const auto q = nbit::quantize<F>({w.data(), rows, cols});
  if (!q) return;
  d.add(q->bytes.data(), nbit::packed_code_bytes<F>({rows, cols}));
  std::vector<float> values(rows * cols), y(rows), z(2 * rows);
  nbit::arch::for_each_runnable([&](auto tag) {
    nbit::dequantize(tag, q->view(), {values.data(), rows, cols});
    nbit::gemv(tag, q->view(), std::span<const float>(x.data(), cols), std::span<float>(y));
    nbit::gemm(tag, q->view(), {x.data(), 2, cols}, {z.data(), 2, rows});
    // Every instruction set gives the same bits, so one of them stands for all, whichever this machine has.
    if constexpr (decltype(tag)::level == 0) {
      d.add(values.data(), values.size() * sizeof(float));
      d.add(y.data(), y.size() * sizeof(float));
      d.add(z.data(), z.size() * sizeof(float));
    }
  });
  auto act = nbit::int8_activation_matrix<32>::make({2, cols});
  if (!act) return;
  nbit::quantize_activations(nbit::matrix_view<const float>(x.data(), 2, cols), act->view());
  nbit::gemm(q->view(), act->view(), {z.data(), 2, rows});
  d.add(z.data(), z.size() * sizeof(float));
}

template <class F>
void use_solver(digest& d, const std::vector<float>& w, const std::vector<float>& x) {
  constexpr std::size_t rows = 7, cols = 256;
  nbit::hessian h(cols);
  if (!h.add({x.data(), x.size() / cols, cols})) return;
  const auto g = nbit::gptq<F>({w.data(), rows, cols}, h);
  d.add(g.has_value());
  if (!g) return;
  d.add(g->codes.codes.data(), g->codes.codes.size() * sizeof(nbit::code_t<F>));
  d.add(g->report.loss);
}

void use_kernels(digest& d) {
  const std::vector<float> w = weights(7 * 256), x = weights(40 * 256);
  use_format<nbit::w4g128>(d, w, x);
  use_format<nbit::w3g64a>(d, w, x);
  use_format<nbit::nf4>(d, w, x);
  use_format<nbit::q4_k>(d, w, x);
  use_format<nbit::q6_k>(d, w, x);
  use_format<nbit::q4_0>(d, w, x);
  use_solver<nbit::w3g64a>(d, w, x);
  use_solver<nbit::q3_k>(d, w, x);
}

#endif

}  // namespace

std::uint64_t NBIT_USE();
std::uint64_t NBIT_USE() {
  digest d;
  use_base(d);
#if !defined(NBIT_ODR_BASE_ONLY)
  use_kernels(d);
#endif
  return d.value;
}
