// bench/solver/oracle_bench.cpp — how far the solvers' codes are from the best there are, where all can be tried.
//
//   nbit_oracle_bench [ROWS]      rows of each layer, 64 by default
//
// Eight or ten neighbouring columns of real layers, 2 bits, or six, 3 bits; one f32 scale and an integer zero for them.
// With H the Gram matrix of these columns and u the codes less the zero, |w - s u|^2 in H is least at s = wHu / uHu: so
// the best scale of every choice of codes and zero is known, and the least loss over all of them is exact. Solvers get
// H as it is, neither damped nor shrunk. Data: the folder NBIT_DATA or ../shared/data (layers/).
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <nbit/solver/gptq.hpp>
#include <nbit/solver/rtn.hpp>

#include "solver/support.hpp"

namespace {

using view = nbit::matrix_view<const float>;
using matrix = std::vector<double>;

/// w H v^T.
double product(const matrix& h, const double* w, const double* v, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) sum += w[i] * h[i * n + j] * v[j];
  return sum;
}

/// The least loss of every row over all codes and zeros. gain(r, zero, wHu, uHu): what it can fall by with these.
template <int Bits, int Cols, class Gain>
std::vector<double> best_of_all(const matrix& h, view w, const Gain& gain_of) {
  constexpr int levels = 1 << Bits;
  constexpr std::size_t n = Cols;
  std::vector<double> gain(w.rows, 0.0), energy(w.rows), toward(w.rows * n);
  for (std::size_t r = 0; r < w.rows; ++r) {
    const matrix row(w.row(r).begin(), w.row(r).end());
    energy[r] = product(h, row.data(), row.data(), n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) toward[r * n + i] += h[i * n + j] * row[j];
  }
  for (int zero = 0; zero < levels; ++zero)
    for (long code = 0; code < 1L << (Bits * Cols); ++code) {
      double u[n];
      for (std::size_t i = 0; i < n; ++i) u[i] = static_cast<double>((code >> (Bits * i) & (levels - 1)) - zero);
      const double square = product(h, u, u, n);
      if (!(square > 0)) continue;
      for (std::size_t r = 0; r < w.rows; ++r) {
        double along = 0;
        for (std::size_t i = 0; i < n; ++i) along += toward[r * n + i] * u[i];
        gain[r] = std::max(gain[r], gain_of(r, zero, along, square));
      }
    }
  for (std::size_t r = 0; r < w.rows; ++r) energy[r] -= gain[r];
  return energy;
}

/// What some codes lose, row by row, beside the best.
struct comparison {
  double lost = 0, best = 0;
  std::size_t rows = 0, reached = 0;

  template <class F>
  void add(const matrix& h, view w, const nbit::coded_matrix<F>& q, const std::vector<double>& least) {
    std::vector<float> v(w.rows * w.cols);
    nbit::detail::decode_matrix(q, nbit::matrix_view<float>(v.data(), w.rows, w.cols));
    for (std::size_t r = 0; r < w.rows; ++r) {
      matrix e(w.cols);
      for (std::size_t c = 0; c < w.cols; ++c) e[c] = double(w(r, c)) - double(v[r * w.cols + c]);
      const double loss = product(h, e.data(), e.data(), w.cols);
      lost += loss, best += least[r], ++rows;
      reached += loss <= least[r] * 1.001 + 1e-12 ? 1 : 0;
    }
  }
  void print() const { std::printf("  %6.3f (%3.0f%%)", lost / best, 100.0 * double(reached) / double(rows)); }
};

template <int Bits, int Cols>
void compare(const char* name, const solver_test::layer& l, std::size_t rows) {
  using F = solver_test::peer_grid<Bits, Cols>;
  constexpr std::size_t n = Cols;
  comparison rounded, searched, greedy, solved, kicked, longer, codes;
  const std::vector<float> gram = solver_test::gram_of(l.calib);
  for (std::size_t part = 0; part < 4; ++part) {
    const std::size_t first = (l.cols - n) * part / 3;
    std::vector<float> block(n * n), weights(rows * n), importance(n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) block[i * n + j] = gram[(first + i) * l.cols + first + j];
    for (std::size_t i = 0; i < n; ++i) importance[i] = block[i * n + i];
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < n; ++i) weights[r * n + i] = l.weight[r * l.cols + first + i];
    const matrix h(block.begin(), block.end());
    const view w(weights.data(), rows, n);
    const auto statistics = nbit::hessian::from_mean({block.data(), n, n});
    if (!statistics) std::exit(1);
    // with the best scale, of either sign: a negative one is the mirrored codes' positive
    const auto best_scale = [](std::size_t, int, double along, double square) { return along * along / square; };
    const std::vector<double> least = best_of_all<Bits, Cols>(h, w, best_scale);
    const auto with = [&](comparison& to, int passes, int kicks) {
      const auto q = nbit::gptq<F>(w, *statistics, {.damping = 0, .shrink = false, .passes = passes, .kicks = kicks});
      if (!q) std::exit(1);
      to.add(h, w, q->codes, least);
      if (kicks != 400) return;
      const auto same_scale = [&](std::size_t r, int zero, double along, double square) {
        const auto& p = q->codes.params[r];
        const double scale = double(p.scale);
        return zero == int(p.zero) ? scale * (2 * along - scale * square) : 0.0;
      };
      codes.add(h, w, q->codes, best_of_all<Bits, Cols>(h, w, same_scale));
    };
    const auto plain = nbit::round_to_nearest<F>(w);
    const auto search = nbit::round_with_search<F>(w, importance);
    if (!plain || !search) std::exit(1);
    rounded.add(h, w, *plain, least), searched.add(h, w, *search, least);
    with(greedy, 0, 0), with(solved, 8, 0), with(kicked, 8, -1), with(longer, 8, 400);
  }
  std::printf("%-17s %d x %-2d", name, Bits, Cols);
  for (const comparison* c : {&rounded, &searched, &greedy, &solved, &kicked, &longer, &codes}) c->print();
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
  const std::size_t asked = count > 1 ? std::strtoull(words[1], nullptr, 10) : 64;
  std::printf(
      "loss as a multiple of the least there is (and share of rows within a thousandth of it)\n"
      "its codes: of 400 kicks, as a multiple of the best codes with the same scales and zeros\n");
  std::printf("%-17s %-7s  %13s  %13s  %13s  %13s  %13s  %13s  %13s\n", "layer", "bits", "rounding", "search",
              "gptq, greedy", "+ passes", "+ kicks", "400 kicks", "its codes");
  for (const char* const name : {"bert_l2_query", "bert_l4_ffn_down", "lm_l3_q", "lm_l4_down"}) {
    const auto l = solver_test::load_layer(name);
    if (!l) return std::fprintf(stderr, "oracle_bench: no data for layer %s\n", name), 1;
    const std::size_t rows = std::min(asked, l->rows);
    compare<2, 8>(name, *l, rows);
    compare<2, 10>(name, *l, std::min<std::size_t>(rows, 16));
    compare<3, 6>(name, *l, rows);
  }
  return 0;
}
