// tests/solver/matrix_test.cpp — every solver on every format: finite, and no worse than rounding where it promises so.
//
// Solvers are templates over the format; forty formats times seven solvers would compile for minutes. Formats are
// therefore put behind one table of functions, and solvers are instantiated once for each shape (group, step, own
// encoder).
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/e8p.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/hqq.hpp>
#include <nbit/solver/outliers.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/solver/sign_round.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {

using weights = std::span<const float>;

/// Parameters of any format.
struct any_params {
  alignas(8) unsigned char bytes[32];
};

/// A format as functions.
struct any_format {
  const char* name;
  any_params (*fit)(weights, weights);
  int (*code)(weights, const any_params&, int);
  void (*value)(int, const any_params&, int, std::span<float>);
  void (*encode)(weights, weights, float, any_params&, std::span<std::uint32_t>);
  int dial_count;
  nbit::dial (*dial_at)(int);
  float (*dial_get)(const any_params&, int);
  void (*dial_set)(any_params&, int, float);
};
const any_format* current = nullptr;

template <class P>
any_params stored(const P& p) {
  static_assert(sizeof(P) <= sizeof(any_params));
  any_params to{};
  std::memcpy(to.bytes, &p, sizeof p);
  return to;
}
template <class P>
P loaded(const any_params& from) {
  P p{};
  std::memcpy(static_cast<void*>(&p), from.bytes, sizeof p);
  return p;
}

template <class F>
any_format as_any(const char* name) {
  using P = typename F::params;
  using set = nbit::dials<F>;
  any_format a{};
  a.name = name;
  a.fit = [](weights w, weights q) { return stored(F::fit(w, q)); };
  a.code = [](weights w, const any_params& p, int i) -> int {
    if constexpr (nbit::lattice_format<F>)
      return static_cast<int>(F::code(w, loaded<P>(p), i));
    else
      return static_cast<int>(F::code(w[0], loaded<P>(p), i));
  };
  a.value = [](int c, const any_params& p, int i, std::span<float> out) {
    if constexpr (nbit::lattice_format<F>)
      F::value(c, loaded<P>(p), i, out);
    else
      out[0] = F::value(c, loaded<P>(p), i);
  };
  a.encode = [](weights w, weights q, float mean_square, any_params& to, std::span<std::uint32_t> codes) {
    std::vector<nbit::code_t<F>> own(codes.size());
    P p{};
    nbit::detail::encode_group<F>(w, q, mean_square, p, own.data());
    std::copy(own.begin(), own.end(), codes.begin());
    to = stored(p);
  };
  a.dial_count = set::count;
  if constexpr (set::count > 0) {
    a.dial_at = [](int k) { return set::at(k); };
    a.dial_get = [](const any_params& p, int k) { return set::get(loaded<P>(p), k); };
    a.dial_set = [](any_params& p, int k, float v) {
      P own = loaded<P>(p);
      set::set(own, k, v);
      p = stored(own);
    };
  }
  return a;
}

/// The current format behind one type for each shape.
template <int Group>
struct shape_of {
  static constexpr int bits = 23, group = Group;
  using params = any_params;
  static params fit(weights w, weights q) { return current->fit(w, q); }
  struct dials {
    static constexpr int count = 34;  // what the format lacks holds 0 and cannot be turned
    static nbit::dial at(int k) { return k < current->dial_count ? current->dial_at(k) : nbit::dial{}; }
    static float get(const params& p, int k) { return k < current->dial_count ? current->dial_get(p, k) : 0.0f; }
    static void set(params& p, int k, float v) {
      if (k < current->dial_count) current->dial_set(p, k, v);
    }
  };
};
template <int Group>
struct one_by_one : shape_of<Group> {
  static int code(float v, const any_params& p, int i) { return current->code({&v, 1}, p, i); }
  static float value(int c, const any_params& p, int i) {
    float v = 0;
    current->value(c, p, i, {&v, 1});
    return v;
  }
};
template <int Group>
struct with_encoder : one_by_one<Group> {
  static void encode(weights w, weights q, float mean_square, any_params& p, std::span<std::uint32_t> codes) {
    current->encode(w, q, mean_square, p, codes);
  }
};
template <int Step>
struct lattice : shape_of<256> {
  static constexpr int step = Step;
  static int code(weights w, const any_params& p, int i) { return current->code(w, p, i); }
  static void value(int c, const any_params& p, int i, std::span<float> out) { current->value(c, p, i, out); }
  static void encode(weights w, weights q, float mean_square, any_params& p, std::span<std::uint32_t> codes) {
    current->encode(w, q, mean_square, p, codes);
  }
};

template <int Bits, nbit::symmetry S>
struct grid : nbit::uniform<nbit::scheme{.bits = Bits, .group = 64, .symmetry = S}> {};

constexpr std::size_t rows = 3, cols = 256;

struct small_problem {
  std::vector<float> w, importance;
  hessian h;
  small_problem() : w(nbit_test::random(31).normals(rows * cols)), importance(cols) {
    h = statistics(activations(600, cols, 32), cols);
    h.mean_square(importance);
  }
  matrix_view<const float> view() const { return {w.data(), rows, cols}; }
  template <class Q>
  double error(const Q& q) const {
    return *nbit::relative_output_error(view(), q, h);
  }
};

template <class F>
void every_solver(const any_format& format) {
  static const small_problem l;
  current = &format;
  CAPTURE(format.name);
  const auto rtn = nbit::round_to_nearest<F>(l.view(), l.importance);
  const auto searched = nbit::round_with_search<F>(l.view(), l.importance);
  const auto hqq = nbit::hqq<F>(l.view());
  nbit::gptq_options few;
  few.passes = 3;
  const auto gptq = nbit::gptq<F>(l.view(), l.h, few);
  const auto sign = nbit::sign_round<F>(l.view(), l.h, {.steps = 20});
  nbit::outlier_options apart;
  apart.rounds = 1, apart.gptq = few;
  const auto split = nbit::outliers<F>(l.view(), l.h, apart);
  const auto scaled = nbit::awq<F>(l.view(), l.h, {.steps = 4, .clip_steps = 3});
  REQUIRE((rtn && searched && hqq && gptq && sign && split && scaled));
  const double unit = l.error(*rtn);
  const auto values = [](const nbit::coded_matrix<F>& q) {
    std::vector<float> v(rows * cols);
    nbit::detail::decode_matrix(q, matrix_view<float>(v.data(), rows, cols));
    return v;
  };
  std::vector<float> sparse = values(split->codes);
  nbit::add_sparse(split->sparse, {sparse.data(), rows, cols});
  std::vector<float> awq = values(*nbit::round_to_nearest<F>(scaled->view()));
  for (std::size_t k = 0; k < awq.size(); ++k) awq[k] /= scaled->scales[k % cols];
  const auto dense = [](const std::vector<float>& v) { return matrix_view<const float>(v.data(), rows, cols); };
  const double found[] = {l.error(*searched),   l.error(*hqq),          l.error(gptq->codes),
                          l.error(sign->codes), l.error(dense(sparse)), l.error(dense(awq))};
  std::printf("%-10s %9.6f %7.3f %7.3f %7.3f %7.3f %9.3f %7.3f\n", format.name, unit, found[0] / unit, found[1] / unit,
              found[2] / unit, found[3] / unit, found[4] / unit, found[5] / unit);
  for (const double e : found) CHECK((e >= 0 && e < 2));
  CHECK(gptq->report.loss <= gptq->report.loss_rounded);
  CHECK(sign->report.loss <= sign->report.loss_rounded);
  // The metric that was minimised is shrunk and damped; in the plain one compensation still wins.
  CHECK(found[2] <= unit);
  CHECK(found[3] <= unit * 1.001);
  CHECK(found[4] <= unit);
}

template <class F>
void encoder(const char* name) {
  const any_format a = as_any<F>(name);
  if constexpr (nbit::lattice_format<F>)
    every_solver<lattice<F::step>>(a);
  else
    every_solver<with_encoder<F::group>>(a);
}
template <class F>
void plain(const char* name) {
  every_solver<one_by_one<64>>(as_any<F>(name));
}

}  // namespace

TEST_CASE("every solver on every format, relative to rounding with importance") {
  std::printf("%-10s %9s %7s %7s %7s %7s %9s %7s\n", "format", "rounding", "search", "HQQ", "GPTQ", "sign", "outliers",
              "AWQ");
  using nbit::symmetry;
  plain<grid<1, symmetry::gptq>>("w1");
  plain<grid<2, symmetry::asymmetric>>("w2a");
  plain<grid<3, symmetry::asymmetric>>("w3a");
  plain<grid<4, symmetry::asymmetric>>("w4a");
  plain<grid<5, symmetry::asymmetric_float>>("w5z");
  plain<grid<6, symmetry::restricted>>("w6r");
  plain<grid<7, symmetry::full_range>>("w7f");
  plain<grid<8, symmetry::gptq>>("w8s");
  plain<nbit::nf4>("NF4");
  plain<nbit::fp4>("FP4");
  encoder<nbit::q4_0>("Q4_0");
  encoder<nbit::q4_1>("Q4_1");
  encoder<nbit::q5_0>("Q5_0");
  encoder<nbit::q5_1>("Q5_1");
  encoder<nbit::q8_0>("Q8_0");
  encoder<nbit::iq4_nl>("IQ4_NL");
  encoder<nbit::mxfp4>("MXFP4");
  encoder<nbit::nvfp4>("NVFP4");
  encoder<nbit::q2_0>("Q2_0");
  encoder<nbit::q2_k>("Q2_K");
  encoder<nbit::q3_k>("Q3_K");
  encoder<nbit::q4_k>("Q4_K");
  encoder<nbit::q5_k>("Q5_K");
  encoder<nbit::q6_k>("Q6_K");
  encoder<nbit::iq4_xs>("IQ4_XS");
  encoder<nbit::tq1_0>("TQ1_0");
  encoder<nbit::tq2_0>("TQ2_0");
  encoder<nbit::iq3_s>("IQ3_S");
  encoder<nbit::iq3_xxs>("IQ3_XXS");
  encoder<nbit::iq2_xxs>("IQ2_XXS");
  encoder<nbit::iq2_xs>("IQ2_XS");
  encoder<nbit::iq2_s>("IQ2_S");
  encoder<nbit::iq1_s>("IQ1_S");
  encoder<nbit::iq1_m>("IQ1_M");
  encoder<nbit::e8p<256>>("E8P");
}
