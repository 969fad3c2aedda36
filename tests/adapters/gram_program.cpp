// tests/adapters/gram_program.cpp — statistics through BLAS or cuBLAS: the same sums closely, codes of the same
// quality. Built by cblas.sh, and with NBIT_TEST_CUBLAS by cublas.sh.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdio>
#include <vector>

#include <nbit/format/presets.hpp>
#include <nbit/solver/gptq.hpp>
#if defined(NBIT_TEST_CUBLAS)
#include <nbit/adapters/cublas.hpp>
using gram = nbit::cublas_gram;
#else
#include <nbit/adapters/cblas.hpp>
using gram = nbit::cblas_gram;
#endif
#include <nbit/eval/distortion.hpp>

#include "support/random.hpp"

int main() {
  constexpr std::size_t cols = 96, rows = 64, tokens = 3000;
  nbit_test::random rng(5);
  std::vector<float> x = rng.normals(tokens * cols);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 1; c < cols; ++c) x[t * cols + c] = 0.6f * x[t * cols + c] + 0.8f * x[t * cols + c - 1];
  const std::vector<float> w = rng.normals(rows * cols);
  nbit::hessian own(cols), blas(cols);
  auto library = gram::make(cols);
  if (!library && library.error().code == nbit::errc::device) {
    std::printf("skipped: no device: %s\n", library.error().subject);
    return 77;
  }
  if (!library || !own.add({x.data(), tokens, cols})) return 1;
  for (std::size_t t = 0; t < tokens; t += 300)
    if (!library->add(blas, {x.data() + t * cols, 300, cols})) return 1;
  std::vector<float> a(cols * cols), b(cols * cols);
  own.write({a.data(), cols, cols});
  blas.write({b.data(), cols, cols});
  double worst = 0;
  for (std::size_t k = 0; k < a.size(); ++k) worst = std::fmax(worst, std::fabs(double(a[k]) - double(b[k])));
  const auto one = nbit::gptq<nbit::w3g64a>({w.data(), rows, cols}, own);
  const auto two = nbit::gptq<nbit::w3g64a>({w.data(), rows, cols}, blas);
  if (!one || !two) return 1;
  const auto e1 = nbit::relative_output_error<nbit::w3g64a>({w.data(), rows, cols}, one->codes, own);
  const auto e2 = nbit::relative_output_error<nbit::w3g64a>({w.data(), rows, cols}, two->codes, own);
  if (!e1 || !e2) return 1;
  std::printf("Gram differs by %.2g, shrinkage %.4f and %.4f, error %.6f and %.6f\n", worst, own.shrinkage(),
              blas.shrinkage(), *e1, *e2);
  const bool alike = worst < 1e-4 && std::fabs(*e1 / *e2 - 1) < 0.02 && own.tokens() == blas.tokens();
  if (library->add(blas, {x.data(), 3, cols - 1})) return 1;
  return alike ? 0 : 1;
}
