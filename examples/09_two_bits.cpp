// examples/09_two_bits.cpp — two bits a weight: inputs rotated, error feedback over a lattice, and a model that runs
// so.
//
//   example_09_two_bits [WINDOWS]     windows of calibration text, 8 by default; the model is examples/data's
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <nbit/parallel/threads.hpp>
#include <nbit/nbit.hpp>

#include <engine/evaluate.hpp>
#include <engine/forward.hpp>
#include <engine/load.hpp>

namespace {

constexpr std::uint64_t seed = 2;
using view = nbit::matrix_view<const float>;
using values = std::vector<float>;

[[noreturn]] void fail(const nbit::error& e) {
  std::printf("error: %s %s\n", e.what, e.subject);
  std::exit(1);
}
void check(const nbit::result<void>& done) {
  if (!done) fail(done.error());
}

values copy(view x) {
  values v;
  for (std::size_t r = 0; r < x.rows; ++r) v.insert(v.end(), x.row(r).begin(), x.row(r).end());
  return v;
}

/// Inputs or weights W as the rotated matrix sees them.
values turned(view x, const engine::workers& pool) {
  values v = copy(x);
  check(nbit::rotate_rows({x.cols, seed}, {v.data(), x.rows, x.cols}, pool));
  return v;
}

/// One layer: its weights, and statistics of its inputs in calibration and in other text.
struct layer {
  values w;
  nbit::shape shape;
  nbit::hessian calibration, held_out;

  view weights() const { return {w.data(), shape.rows, shape.cols}; }
};

template <class F>
double loss(const layer& l, const nbit::coded_matrix<F>& q) {
  const auto error = nbit::relative_output_error(l.weights(), q, l.held_out);
  if (!error) fail(error.error());
  return *error;
}

/// Prints what one format loses: rounded, solved, and solved for rotated inputs, which it returns.
template <class F>
double compare(const char* name, const layer& plain, const layer& rotated, const engine::workers& pool) {
  values importance(plain.shape.cols);
  plain.calibration.mean_square(importance);
  const auto rounded = nbit::round_to_nearest<F>(plain.weights(), importance);
  const auto solved = nbit::gptq<F>(plain.weights(), plain.calibration, {}, pool);
  const auto both = nbit::gptq<F>(rotated.weights(), rotated.calibration, {}, pool);
  if (!rounded || !solved || !both) fail((!rounded ? rounded.error() : !solved ? solved.error() : both.error()));
  const double last = loss(rotated, both->codes);
  std::printf("%-8s %6.4f bits   rounded %.4f   solved %.4f   rotated and solved %.4f\n", name,
              8.0 * double(nbit::packed_bytes<F>(plain.shape)) / double(plain.w.size()), loss(plain, *rounded),
              loss(plain, solved->codes), last);
  return last;
}

/// What a site of a block reads while a model runs over some text.
nbit::hessian inputs_of(const engine::model& m, const engine::token_windows& text, std::size_t block, engine::site at,
                        bool rotate, const engine::workers& pool) {
  nbit::hessian h(m.config.width);
  engine::observer watch;
  watch.input = [&](std::size_t b, engine::site s, view x) {
    if (b != block || s != at) return;
    const values v = rotate ? turned(x, pool) : copy(x);
    check(h.add({v.data(), x.rows, x.cols}, pool));
  };
  engine::hidden_states states = engine::embed(m, text.ids, text.count, text.length);
  engine::runner(m, pool).run(states, &watch);
  return h;
}

/// Every matrix of the blocks in E8P, each solved for the inputs that the ones before it leave.
engine::model in_two_bits(const engine::model& m, const engine::token_windows& text, const engine::workers& pool) {
  using F = nbit::e8p<256>;
  engine::model out = m;
  engine::hidden_states states = engine::embed(m, text.ids, text.count, text.length);
  engine::runner run(out, pool);
  nbit::hessian here;
  engine::observer watch;
  watch.input = [&](std::size_t, engine::site, view x) {
    if (here.cols() != x.cols) here = nbit::hessian(x.cols);
    const values v = turned(x, pool);
    for (std::size_t t = 0; t < x.rows; t += text.length, here.end_sequence())
      check(here.add({v.data() + t * x.cols, text.length, x.cols}, pool));
  };
  watch.complete = [&](std::size_t b, engine::site at) {
    for (const engine::role r : engine::readers(at)) {
      engine::linear& w = out.blocks[b][r];
      values dense(w.shape().rows * w.shape().cols);
      w.decode({dense.data(), w.shape().rows, w.shape().cols});
      const values v = turned({dense.data(), w.shape().rows, w.shape().cols}, pool);
      const auto solved = nbit::gptq<F>({v.data(), w.shape().rows, w.shape().cols}, here, {.passes = 2}, pool);
      if (!solved) fail(solved.error());
      auto packed = nbit::pack_codes<nbit::blocks>(solved->codes);
      if (!packed) fail(packed.error());
      w = engine::linear(*std::move(packed), "E8P").reading({w.shape().cols, seed});
    }
    here = nbit::hessian();
  };
  for (std::size_t b = 0; b < m.blocks.size(); ++b) run.run_block(b, states, &watch);
  return out;
}

}  // namespace

int main(int count, char** words) {
  const std::string folder = "examples/data/";
  const auto m = engine::load(folder + "model_bf16.safetensors");
  if (!m) fail(m.error());
  const auto calibration = engine::load_windows(folder + "calib_ids.safetensors", m->config.vocabulary);
  const auto other = engine::load_windows(folder + "dev_ids.safetensors", m->config.vocabulary);
  if (!calibration || !other) fail((calibration ? other : calibration).error());
  const auto text = calibration->first(count > 1 ? static_cast<std::size_t>(std::atoi(words[1])) : 8);
  const auto dev = other->first(8);
  nbit::thread_pool threads;
  const engine::workers pool(threads);

  const engine::linear& gate = m->blocks[3][engine::role::ffn_gate];
  layer plain, rotated;
  plain.shape = rotated.shape = gate.shape();
  plain.w.resize(gate.shape().rows * gate.shape().cols);
  gate.decode({plain.w.data(), gate.shape().rows, gate.shape().cols});
  rotated.w = turned(plain.weights(), pool);
  for (layer* l : {&plain, &rotated}) {
    l->calibration = inputs_of(*m, text, 3, engine::site::ffn_in, l == &rotated, pool);
    l->held_out = inputs_of(*m, dev, 3, engine::site::ffn_in, l == &rotated, pool);
  }
  std::printf("ffn_gate of block 3, %zu x %zu: error of its outputs on other text, as a share of them\n",
              gate.shape().rows, gate.shape().cols);
  const double uniform = compare<nbit::w2g64a>("w2g64a", plain, rotated, pool);
  compare<nbit::iq2_xs>("IQ2_XS", plain, rotated, pool);
  const double lattice = compare<nbit::e8p<256>>("E8P", plain, rotated, pool);
  compare<nbit::e8p<64>>("E8P g64", plain, rotated, pool);

  const engine::model small_model = in_two_bits(*m, text, pool);
  const engine::reference_scores reference = engine::reference(*m, dev, dev.count, pool);
  const engine::evaluation before = engine::evaluate(*m, dev, &reference, pool),
                           after = engine::evaluate(small_model, dev, &reference, pool);
  std::printf("the model, its blocks in E8P: %zu bytes for %zu; perplexity %.2f for %.2f, KL divergence %.4f\n",
              small_model.bytes(), m->bytes(), after.perplexity, before.perplexity, after.kl);
  return lattice < uniform && after.kl < 0.2 ? 0 : 1;
}
