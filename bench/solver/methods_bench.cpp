// bench/solver/methods_bench.cpp — every solver on real layers beside its own peer: output error on unseen tokens.
//
//   nbit_methods_bench [LAYER...]       data: the folder NBIT_DATA or ../shared/data (layers/)
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/hqq.hpp>
#include <nbit/solver/nested_scales.hpp>
#include <nbit/solver/outliers.hpp>
#include <nbit/solver/sign_round.hpp>

#include "solver/support.hpp"

namespace {

using solver_test::layer;
using solver_test::stored_grid;
using view = nbit::matrix_view<const float>;

template <int Bits>
struct float_zero
    : nbit::uniform<nbit::scheme{
          .bits = Bits, .group = 128, .symmetry = nbit::symmetry::asymmetric_float, .scale = nbit::scale_type::f16}> {};

template <class T>
T need(nbit::result<T> r) {
  if (r) return *std::move(r);
  std::fprintf(stderr, "methods_bench: %s\n", r.error().what);
  std::exit(1);
}

void line(const char* name, const char* what, double ours, const char* peer, double theirs) {
  std::printf("%-17s %-28s %9.6f  %-27s %9.6f %6.3f\n", name, what, ours, peer, theirs, ours / theirs);
  std::fflush(stdout);
}

template <int Bits>
void by_bits(const char* name, const layer& l, nbit::thread_pool& pool) {
  const std::string bits = std::to_string(Bits) + " bit";
  const auto h = need(nbit::hqq<float_zero<Bits>>(l.w(), {}, pool));
  line(name, ("HQQ, " + bits).c_str(), l.on_eval(h), "hqq0.2.8_axis1", l.peer("hqq0.2.8_axis1", "eval", Bits, 128));
  const auto s = need(nbit::sign_round<stored_grid<Bits, 128>>(l.w(), l.calib, {}, pool));
  line(name, ("sign descent, " + bits).c_str(), l.on_eval(s.codes), "autoround0.16_signround200",
       l.peer("autoround0.16_signround200", "eval", Bits, 128));
  const auto a = need(nbit::awq<stored_grid<Bits, 128>>(l.w(), l.calib, {}, pool));
  const auto q = need(nbit::round_to_nearest<stored_grid<Bits, 128>>(a.view(), {}, pool));
  std::vector<float> v(l.rows * l.cols);
  nbit::detail::decode_matrix(q, nbit::matrix_view<float>(v.data(), l.rows, l.cols));
  for (std::size_t k = 0; k < v.size(); ++k) v[k] /= a.scales[k % l.cols];
  line(name, ("AWQ, " + bits).c_str(), l.on_eval(view(v.data(), l.rows, l.cols)), "autoawq0.2.9_scale+clip",
       l.peer("autoawq0.2.9_scale+clip", "eval", Bits, 128));
}

}  // namespace

int main(int count, char** words) {
  nbit::thread_pool pool;
  std::printf("%-17s %-28s %9s  %-27s %9s %6s\n", "layer", "solver", "nbit", "peer", "", "ratio");
  for (const char* const name : {"bert_l2_query", "bert_l4_ffn_down", "lm_l3_q", "lm_l4_down"}) {
    if (count > 1 && std::find(words + 1, words + count, std::string(name)) == words + count) continue;
    const auto loaded = solver_test::load_layer(name);
    if (!loaded) {
      std::fprintf(stderr, "methods_bench: no data for layer %s\n", name);
      return 1;
    }
    const layer& l = *loaded;
    by_bits<4>(name, l, pool);
    by_bits<3>(name, l, pool);
    by_bits<2>(name, l, pool);
    const double bnb = l.peer("bnb_nf4_bs64", "eval");
    auto nf4 = need(nbit::gptq<nbit::nf4>(l.w(), l.calib, {}, pool));
    line(name, "GPTQ on NF4", l.on_eval(nf4.codes), "bnb_nf4_bs64", bnb);
    need(nbit::nest_scales(nf4.codes));
    need(nbit::refine<nbit::nf4>(l.w(), l.calib, nf4.codes, {.tune = false}, pool));
    line(name, "GPTQ on NF4, nested scales", l.on_eval(nf4.codes), "bnb_nf4_bs64", bnb);
    if (l.cols % 256 != 0) continue;
    const auto split = need(nbit::outliers<nbit::q3_k>(l.w(), l.calib, {}, pool));
    std::vector<float> v(l.rows * l.cols);
    nbit::detail::decode_matrix(split.codes, nbit::matrix_view<float>(v.data(), l.rows, l.cols));
    nbit::add_sparse(split.sparse, {v.data(), l.rows, l.cols});
    const auto whole = need(nbit::gptq<nbit::q3_k>(l.w(), l.calib, {}, pool));
    line(name, "Q3_K and 1 % outliers", l.on_eval(view(v.data(), l.rows, l.cols)), "GPTQ on Q3_K, nbit",
         l.on_eval(whole.codes));
  }
  return 0;
}
