// bench/solver/quality_bench.cpp — how good the solvers' codes are, beside what other programs reach on the same data.
//
//   nbit_quality_bench layers [--sort 1] [LAYER...]
//       output error of real layers on tokens that calibration did not see
//   nbit_quality_bench model [--windows N] [--rotate SEED] [--online SEED] [FORMAT...]
//       KL divergence of a whole language model; rotated once, or every matrix's inputs as it reads them
//
// Data: the folder NBIT_DATA or ../shared/data (layers/, lm/). Peers' figures come from the data folder too.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include <nbit/format/e8p.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/solver/drift.hpp>
#include <nbit/solver/fold.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/rtn.hpp>

#include <engine/evaluate.hpp>
#include <engine/load.hpp>
#include <engine/rotate.hpp>
#include <engine/sort.hpp>

#include "solver/support.hpp"

namespace {

using solver_test::stored_grid;
using floats = std::vector<float>;
using view = nbit::matrix_view<const float>;

/// Processor time of all threads: other programs on the machine do not count.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "quality_bench: %s\n", why.c_str());
  std::exit(1);
}

/// A format under test: its GPTQ, as values; the peers' names for it in layers/*.json and the whole model's KL of the
/// best peer setting.
struct subject {
  const char* name;
  int bits;                // of uniform formats
  const char* layer_peer;  // the format's best peer in layers/*.json
  double peer_kl;          // of the best peer on lm/ (lm/README: gptqmodel act-order + mse, ggml with imatrix)
  double target;           // of our KL, as a share of peer_kl
  floats (*solve)(view, const nbit::hessian&, const nbit::gptq_options&, const engine::workers&);
  floats (*round)(view, std::span<const float>);
};

template <class F>
floats values_of(const nbit::coded_matrix<F>& q) {
  floats v(q.rows * q.cols);
  nbit::detail::decode_matrix(q, nbit::matrix_view<float>(v.data(), q.rows, q.cols));
  return v;
}

template <class F>
floats solve_as(view w, const nbit::hessian& h, const nbit::gptq_options& o, const engine::workers& pool) {
  const auto solved = nbit::gptq<F>(w, h, o, pool);
  if (!solved) stop(std::string(solved.error().what));
  return values_of(solved->codes);
}

template <class F>
floats round_as(view w, std::span<const float> importance) {
  const auto q = nbit::round_to_nearest<F>(w, importance);
  if (!q) stop(std::string(q.error().what));
  return values_of(*q);
}

template <class F>
constexpr subject of(const char* name, int bits, const char* peer, double kl, double target) {
  return {name, bits, peer, kl, target, &solve_as<F>, &round_as<F>};
}

constexpr const char* best_gptq = "gptqmodel7.7_desc_act_mse2.4";
constexpr subject subjects[] = {
    of<stored_grid<4, 128>>("w4g128", 4, best_gptq, 0.00433, 0.85),
    of<stored_grid<3, 128>>("w3g128", 3, best_gptq, 0.01924, 0.85),
    of<stored_grid<2, 128>>("w2g128", 2, best_gptq, 0.10879, 0.85),
    of<nbit::q2_k>("Q2_K", 0, "ggml_Q2_K_imatrix", 0.06086, 0.6),
    of<nbit::q3_k>("Q3_K", 0, "ggml_Q3_K_imatrix", 0.01710, 0.6),
    of<nbit::q4_k>("Q4_K", 0, "ggml_Q4_K_imatrix", 0.00364, 0.6),
    of<nbit::q5_k>("Q5_K", 0, "ggml_Q5_K_imatrix", 0.00092, 0.6),
    of<nbit::iq4_xs>("IQ4_XS", 0, "ggml_IQ4_XS_imatrix", 0.00430, 0.6),
    of<nbit::iq3_s>("IQ3_S", 0, "ggml_IQ3_S_imatrix", 0.01337, 0.6),
    of<nbit::q4_0>("Q4_0", 0, "ggml_Q4_0_imatrix", 0.00534, 0.6),
    of<nbit::iq2_xs>("IQ2_XS", 0, "ggml_IQ2_XS_imatrix", 0.07292, 0.6),
    of<nbit::e8p<256>>("E8P", 0, "ggml_IQ2_XS_imatrix", 0.07292, 0.6),    // 2.0625 bits, for IQ2_XS's 2.3125
    of<nbit::e8p<64>>("E8P_64", 0, "ggml_IQ2_XS_imatrix", 0.07292, 0.6),  // 2.25
};

/// Options that a command line may change: --damping 0.05 --passes 4 ...
struct settings {
  nbit::gptq_options gptq = {};
  std::size_t windows = 128, kl_windows = 64;
  nbit::drift_options drift = {};
  bool residual = true;        // make good also what went past a layer
  bool sort = false;           // channels by strength; layers: as if what makes the inputs had been permuted
  std::uint64_t rotation = 0;  // of the whole model, before anything else; 0: none
  std::uint64_t online = 0;    // of every matrix's inputs as it reads them; 0: none
  std::vector<std::string> names;
};

settings read_settings(int count, char** words) {
  settings s;
  for (int i = 2; i < count; ++i) {
    const std::string_view word = words[i];
    const auto number = [&] { return i + 1 < count ? std::atof(words[++i]) : 0.0; };
    if (word == "--damping")
      s.gptq.damping = number();
    else if (word == "--passes")
      s.gptq.passes = static_cast<int>(number());
    else if (word == "--kicks")
      s.gptq.kicks = static_cast<int>(number());
    else if (word == "--drift")
      s.drift.strength = number();
    else if (word == "--residual")
      s.residual = number() != 0;
    else if (word == "--drift-damping")
      s.drift.damping = number();
    else if (word == "--rotate")
      s.rotation = static_cast<std::uint64_t>(number());
    else if (word == "--online")
      s.online = static_cast<std::uint64_t>(number());
    else if (word == "--sort")
      s.sort = number() != 0;
    else if (word == "--tune")
      s.gptq.tune = number() != 0;
    else if (word == "--shrink")
      s.gptq.shrink = number() != 0;
    else if (word == "--windows")
      s.windows = static_cast<std::size_t>(number());
    else if (word == "--kl-windows")
      s.kl_windows = static_cast<std::size_t>(number());
    else if (word.substr(0, 2) == "--")
      stop("unknown option " + std::string(word));
    else
      s.names.emplace_back(word);
  }
  return s;
}

bool chosen(const settings& s, const char* name) {
  return s.names.empty() || std::find(s.names.begin(), s.names.end(), name) != s.names.end();
}

/// Sorts a layer's inputs by their mean squares; the tokens are read again, since statistics cannot be permuted.
void sort_inputs(solver_test::layer& l, const char* name) {
  const auto file = nbit_test::st_file::load(*nbit_test::data_path("layers/" + std::string(name) + ".safetensors"));
  if (!file) stop(std::string("no data for layer ") + name);
  floats strength(l.cols);
  l.calib.mean_square(strength);
  std::vector<std::uint32_t> order(l.cols);
  nbit::strongest_first(strength, order);
  if (!nbit::permute_columns({l.weight.data(), l.rows, l.cols}, order)) stop("no memory");
  const auto statistics = [&](const char* which) {
    const auto bits = (*file)[which].as<std::uint16_t>();
    floats x(bits.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = float(nbit::f16::from_bits(bits[i / l.cols * l.cols + order[i % l.cols]]));
    return solver_test::statistics(x, l.cols);
  };
  l.calib = statistics("calib"), l.eval = statistics("eval");
}

void layers(const settings& s, const engine::workers& pool) {
  std::printf("relative output error on unseen tokens; / RTN: of the same format (ggml: with importance matrix)\n");
  std::printf("%-17s %-7s %9s %9s %6s %9s %6s %9s %6s %7s\n", "layer", "format", "RTN", "nbit", "/ RTN", "peer best",
              "ratio", "peer dflt", "ratio", "cpu s");
  for (const char* const name : {"bert_l2_query", "bert_l3_ffn_up", "bert_l4_ffn_down", "lm_l3_q", "lm_l4_down"}) {
    if (!s.names.empty() && !chosen(s, name)) continue;
    auto l = solver_test::load_layer(name);
    if (!l) stop(std::string("no data for layer ") + name);
    if (s.sort) sort_inputs(*l, name);
    floats importance(l->cols);
    l->calib.mean_square(importance);
    for (const subject& f : subjects) {
      if (l->cols % 256 != 0 && f.bits == 0 && std::strcmp(f.name, "Q4_0") != 0) continue;
      const double begun = processor_seconds();
      const floats mine = f.solve(l->w(), l->calib, s.gptq, pool);
      const double took = processor_seconds() - begun;
      const floats rounded = f.round(l->w(), f.bits != 0 ? std::span<const float>() : importance);
      const double ours = l->on_eval(view(mine.data(), l->rows, l->cols)),
                   rtn = l->on_eval(view(rounded.data(), l->rows, l->cols));
      const double best = l->peer(f.layer_peer, "eval", f.bits, f.bits != 0 ? 128 : 0);
      const double usual = f.bits != 0 ? l->peer("gptqmodel7.7_GAR(default)", "eval", f.bits, 128) : std::nan("");
      std::printf("%-17s %-7s %9.6f %9.6f %6.3f %9.6f %6.3f %9.6f %6.3f %7.3f\n", name, f.name, rtn, ours, ours / rtn,
                  best, ours / best, usual, ours / usual, took);
      std::fflush(stdout);
    }
  }
}

/// Quantizes all matrices of the blocks one after another, each for the inputs that the ones before leave it. With a
/// drift strength, towards the outputs that the unquantized model has.
engine::model quantized(const subject& f, const engine::model& m, const engine::token_windows& text, const settings& s,
                        const engine::workers& pool) {
  engine::model out = m;
  engine::hidden_states now = engine::embed(m, text.ids, text.count, text.length), before;
  before.windows = now.windows, before.length = now.length, before.rows = now.rows;
  engine::runner run(out, pool), run_before(m, pool);
  nbit::hessian here;
  nbit::input_drift moved;
  nbit::output_drift residual;
  floats seen[engine::site_count], before_rows[engine::site_count];  // inputs, and residuals where they are added to
  engine::observer watch, keep;
  // What o and down add to: the block's input, and what the attention made of it.
  const auto adds = [](engine::site at) { return at == engine::site::attention_out || at == engine::site::ffn_out; };
  floats turned;
  const auto as_read = [&](view x) {  // what the matrices see of their inputs
    if (s.online == 0) return x;
    turned.resize(x.rows * x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) std::copy(x.row(t).begin(), x.row(t).end(), turned.data() + t * x.cols);
    const nbit::matrix_view<float> y(turned.data(), x.rows, x.cols);
    if (!nbit::rotate_rows({x.cols, s.online}, y, pool)) stop("rotation failed");
    return view(y);
  };
  keep.input = [&](std::size_t, engine::site at, view given) {
    const view x = as_read(given);
    floats& rows = before_rows[static_cast<std::size_t>(at)];
    if (adds(at) && rows.empty()) rows = before.rows.values;
    for (std::size_t t = 0; t < x.rows; ++t) {
      floats& to = seen[static_cast<std::size_t>(at)];
      to.insert(to.end(), x.row(t).begin(), x.row(t).end());
    }
  };
  watch.input = [&](std::size_t, engine::site at, view given) {
    const view x = as_read(given);
    if (here.cols() != x.cols) here = nbit::hessian(x.cols), moved = nbit::input_drift(x.cols);
    const std::size_t first = here.tokens();
    for (std::size_t t = 0; t < x.rows; t += text.length, here.end_sequence())
      if (!here.add(x.row_range(t, text.length), pool)) stop("calibration failed");
    if (s.drift.strength > 0 &&
        !moved.add({seen[static_cast<std::size_t>(at)].data() + first * x.cols, x.rows, x.cols}, x, pool))
      stop("calibration failed");
    if (s.residual && s.drift.strength > 0 && adds(at)) {
      const std::size_t width = now.rows.cols;
      if (first == 0) residual = nbit::output_drift(width, x.cols);
      const floats& was = before_rows[static_cast<std::size_t>(at)];
      if (!residual.add({was.data() + first * width, x.rows, width}, now.rows.view().row_range(first, x.rows), x, pool))
        stop("calibration failed");
    }
  };
  watch.complete = [&](std::size_t b, engine::site at) {
    for (const engine::role r : engine::readers(at)) {
      engine::linear& w = out.blocks[b][r];
      const nbit::shape shape = w.shape();
      floats values(shape.rows * shape.cols);
      const nbit::matrix_view<float> v(values.data(), shape.rows, shape.cols);
      w.decode(v);
      const nbit::rotation online{shape.cols, s.online};
      if (s.online != 0 && !nbit::rotate_rows(online, v, pool)) stop("rotation failed");
      nbit::drift_options drift = s.drift;
      if (s.residual && adds(at)) drift.residual = &residual;
      if (s.drift.strength > 0 && !nbit::retarget(view(v), here, moved, v, drift, pool)) stop("retarget failed");
      floats solved = f.solve(v, here, s.gptq, pool);
      if (s.online != 0 && !nbit::rotate_rows_back(online, {solved.data(), shape.rows, shape.cols}, pool))
        stop("rotation failed");
      w = engine::linear(std::move(solved), shape);
    }
    here = nbit::hessian();
  };
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    for (floats& v : seen) v.clear();
    for (floats& v : before_rows) v.clear();
    if (s.drift.strength > 0) run_before.run_block(b, before, &keep);
    run.run_block(b, now, &watch);
  }
  return out;
}

engine::token_windows windows_of(const std::string& path, std::size_t count) {
  const auto file = nbit_test::st_file::load(path);
  if (!file) stop("cannot read " + path);
  const auto& t = (*file)["ids"];
  engine::token_windows all{t.shape[0], t.shape[1], t.as<std::int32_t>()};
  return all.first(count);
}

void model(const settings& s, const engine::workers& pool) {
  const auto folder = nbit_test::data_path("lm/model.safetensors");
  if (!folder) stop("no data for the model: lm/model.safetensors");
  const std::string base = folder->parent_path().string();
  const auto m = engine::load(base + "/model.safetensors");
  if (!m) stop(std::string(m.error().what));
  const engine::token_windows text = windows_of(base + "/calib_ids.safetensors", s.windows);
  const engine::token_windows dev = windows_of(base + "/dev_ids.safetensors", s.kl_windows);
  const engine::reference_scores reference = engine::reference(*m, dev, dev.count, pool);
  nbit::result<engine::model> start = *m;
  if (s.rotation != 0) start = engine::rotated(*m, s.rotation, pool);
  if (s.sort)
    start = engine::reordered(*m, *engine::strongest_first(m->config, engine::input_strengths(*m, text, pool)));
  if (!start) stop(std::string(start.error().what));
  std::printf(
      "KL divergence from f32 on text that calibration did not see; peer: the best program's file of equal size\n");
  std::printf("%-7s %9s %9s %6s %7s %9s %6s %8s\n", "format", "nbit KL", "peer KL", "ratio", "target", "ppl", "top-1",
              "cpu s");
  for (const subject& f : subjects) {
    if (!chosen(s, f.name)) continue;
    const double begun = processor_seconds();
    const engine::model q = quantized(f, *start, text, s, pool);
    const double took = processor_seconds() - begun;
    const engine::evaluation found = engine::evaluate(q, dev, &reference, pool);
    std::printf("%-7s %9.5f %9.5f %6.3f %7.2f %9.4f %6.4f %8.1f\n", f.name, found.kl, f.peer_kl, found.kl / f.peer_kl,
                f.target, found.perplexity, found.top1, took);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int count, char** words) {
  const std::string_view what = count > 1 ? words[1] : "";
  const settings s = read_settings(count, words);
  nbit::thread_pool threads;
  const engine::workers pool(threads);
  if (what == "layers")
    layers(s, pool);
  else if (what == "model")
    model(s, pool);
  else
    std::fprintf(
        stderr,
        "usage: quality_bench layers|model [--damping X] [--passes N] [--windows N] [--rotate SEED] [--online SEED] [NAME...]\n");
  return what == "layers" || what == "model" ? 0 : 1;
}
