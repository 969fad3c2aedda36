// tool/walk.cpp — calibration: run the model block by block, see what its matrices read, quantize them on the way.
//
// GPTQ goes true sequentially: q, k, v, then o with the outputs of the quantized ones, then gate and up, then down. It
// aims at the outputs of the unquantized model, which runs beside the quantized one (nbit::retarget): o and down at the
// hidden states after them. The other solvers look at the unquantized model.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <nbit/solver/drift.hpp>
#include <nbit/solver/fold.hpp>

#include "calibrate.hpp"
#include "failure.hpp"
#include "job.hpp"
#include "job_parts.hpp"

namespace tool {
namespace {

using engine::role;
using engine::site;

block_statistics empty_statistics(const engine::config& c) {
  block_statistics made;
  for (std::size_t s = 0; s < engine::site_count; ++s) made[s] = nbit::hessian(site_width(c, static_cast<site>(s)));
  return made;
}

std::vector<float> decoded(const engine::linear& w) {
  std::vector<float> values(w.shape().rows * w.shape().cols);
  w.decode({values.data(), w.shape().rows, w.shape().cols});
  return values;
}

struct walker {
  const job& what;
  engine::model m;  // a copy: matrices are replaced
  const engine::workers& pool;
  const solved_sink& to;

  void add(block_statistics& into, site s, nbit::matrix_view<const float> x) {
    add_windows(into[static_cast<std::size_t>(s)], x, what.calibration->length, pool);
  }

  /// Whether an earlier run solved all matrices that read this input.
  bool known(std::size_t b, site s) const {
    const auto all = engine::readers(s);
    return std::all_of(all.begin(), all.end(), [&](role r) { return to.known(engine::tensor_name(b, r)); });
  }

  /// Quantizes the matrices that read one input. moved: how that input differs from the unquantized model's, or
  /// nullptr; residual: how what their outputs are added to does, or nullptr.
  void solve(std::size_t b, site s, const nbit::hessian& inputs, const nbit::input_drift* moved = nullptr,
             const nbit::output_drift* residual = nullptr) {
    nbit::drift_options drift;
    drift.residual = residual;
    const bool done = known(b, s);
    std::vector<float> importance(inputs.cols());
    inputs.mean_square(importance);
    for (const role r : engine::readers(s)) {
      engine::linear& w = m.blocks[b][r];
      problem p;
      std::vector<float> values;
      if (!done) {
        values = decoded(w);
        const nbit::matrix_view<float> v(values.data(), w.shape().rows, w.shape().cols);
        if (moved != nullptr)
          need(nbit::retarget(nbit::matrix_view<const float>(v), inputs, *moved, v, drift, pool), "calibration");
        p = {v, &inputs, importance};
      }
      engine::linear made = to.matrix(engine::tensor_name(b, r), p);
      if (made && what.how == method::gptq) w = std::move(made);
    }
  }

  /// Scales, clips, folds and rounds one block. From the back: down's scales go into the rows of up before up is
  /// solved.
  void awq_block(std::size_t b, const block_statistics& inputs) {
    engine::block& at = m.blocks[b];
    awq_site(b, site::ffn_out, inputs, [&](std::span<const float> s) {
      std::vector<float> up = decoded(at[role::ffn_up]);
      const nbit::shape shape = at[role::ffn_up].shape();
      need(nbit::fold_into_rows({up.data(), shape.rows, shape.cols}, {}, s));
      at[role::ffn_up] = engine::linear(std::move(up), shape);
    });
    awq_site(b, site::ffn_in, inputs,
             [&](std::span<const float> s) { need(nbit::fold_into_norm(at.ffn_norm, {}, s)); });
    // With grouped heads v has fewer outputs than o has inputs: nothing can take o's scales, so it is only clipped.
    if (m.config.kv_heads == m.config.heads) {
      awq_site(b, site::attention_out, inputs, [&](std::span<const float> s) {
        std::vector<float> v = decoded(at[role::attn_v]);
        const nbit::shape shape = at[role::attn_v].shape();
        need(nbit::fold_into_rows({v.data(), shape.rows, shape.cols}, {}, s));
        at[role::attn_v] = engine::linear(std::move(v), shape);
      });
    } else {
      awq_site(b, site::attention_out, inputs, nullptr);
    }
    awq_site(b, site::attention_in, inputs,
             [&](std::span<const float> s) { need(nbit::fold_into_norm(at.attn_norm, {}, s)); });
    to.norm(engine::tensor_name(b, "ffn_norm"), at.ffn_norm);
    to.norm(engine::tensor_name(b, "attn_norm"), at.attn_norm);
  }

  void awq_site(std::size_t b, site s, const block_statistics& inputs,
                const std::function<void(std::span<const float>)>& fold) {
    const nbit::hessian& h = inputs[static_cast<std::size_t>(s)];
    const auto readers = engine::readers(s);
    const std::string scales_name = engine::tensor_name(b, readers[0]) + ".scales";
    if (known(b, s) && to.known(scales_name)) {
      const auto kept = what.state->at(scales_name);
      std::vector<float> scales(kept.size() / sizeof(float));
      for (std::size_t c = 0; c < scales.size(); ++c) scales[c] = nbit::load_f32(kept.data() + c * sizeof(float));
      if (fold) fold(scales);
      for (const role r : readers) to.matrix(engine::tensor_name(b, r), {});
      return;
    }
    std::vector<std::vector<float>> held;
    std::vector<nbit::matrix_view<const float>> views;
    awq_search search = nullptr;
    bool one_format = true;
    for (const role r : readers) {
      const engine::linear& w = m.blocks[b][r];
      held.push_back(decoded(w));
      views.emplace_back(held.back().data(), w.shape().rows, w.shape().cols);
      const awq_search mine = to.awq(engine::tensor_name(b, r));
      one_format = one_format && mine != nullptr && (search == nullptr || search == mine);
      search = mine;
    }
    // Matrices that are not all stored in one format keep their weights; they are rounded as they are.
    if (!one_format) return solve(b, s, h);
    nbit::awq_options o;
    if (!fold) o.steps = 0;
    const nbit::awq_result found = need(search(views, h, o, pool), engine::tensor_name(b, readers[0]));
    if (fold) fold({found.scales.data(), found.scales.size()});
    if (what.state != nullptr) what.state->keep(scales_name, as_bytes_of({found.scales.begin(), found.scales.end()}));
    std::vector<float> importance(h.cols());
    h.mean_square(importance);
    for (std::size_t c = 0; c < importance.size(); ++c) importance[c] /= found.scales[c] * found.scales[c];
    std::size_t row = 0;
    for (const role r : readers) {
      const std::size_t rows = m.blocks[b][r].shape().rows;
      to.matrix(engine::tensor_name(b, r), {found.view().row_range(row, rows), &h, importance});
      row += rows;
    }
  }
};

}  // namespace

std::vector<block_statistics> collect(const engine::model& m, const engine::token_windows& text,
                                      const engine::workers& pool, const engine::progress& told) {
  std::vector<block_statistics> all;
  engine::hidden_states h = engine::embed(m, text.ids, text.count, text.length);
  engine::runner run(m, pool);
  engine::observer watch;
  watch.input = [&](std::size_t b, site s, nbit::matrix_view<const float> x) {
    add_windows(all[b][static_cast<std::size_t>(s)], x, text.length, pool);
  };
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    all.push_back(empty_statistics(m.config));
    run.run_block(b, h, &watch);
    if (told) told(b + 1, m.blocks.size());
  }
  return all;
}

void solve_blocks_of(const job& what, const engine::model& m, const engine::workers& pool, const engine::progress& told,
                     const solved_sink& to) {
  walker w{what, m, pool, to};
  const bool sequential = what.how == method::gptq && what.calibration != nullptr;
  const std::size_t steps = m.blocks.size() * engine::site_count;
  block_statistics here;
  engine::observer watch, watch_before;
  nbit::input_drift moved;
  nbit::output_drift residual;
  engine::hidden_states h, h_before;
  // Of the unquantized model: inputs of this block's sites, and the hidden states that their outputs are added to.
  std::array<std::vector<float>, engine::site_count> before, added_to;
  const auto adds = [](site s) { return s == site::attention_out || s == site::ffn_out; };
  watch_before.input = [&](std::size_t b, site s, nbit::matrix_view<const float> x) {
    if (w.known(b, s)) return;
    if (std::vector<float>& rows = added_to[static_cast<std::size_t>(s)]; adds(s) && rows.empty())
      rows = h_before.rows.values;
    std::vector<float>& to_end = before[static_cast<std::size_t>(s)];
    for (std::size_t t = 0; t < x.rows; ++t) to_end.insert(to_end.end(), x.row(t).begin(), x.row(t).end());
  };
  watch.input = [&](std::size_t b, site s, nbit::matrix_view<const float> x) {
    if (w.known(b, s)) return;
    if (sequential) {
      if (moved.cols() != x.cols || here[static_cast<std::size_t>(s)].tokens() == 0) moved = nbit::input_drift(x.cols);
      const std::size_t first = moved.tokens(), width = h.rows.cols;
      const float* const was = before[static_cast<std::size_t>(s)].data() + first * x.cols;
      need(moved.add({was, x.rows, x.cols}, x, pool), "calibration");
      if (adds(s)) {
        if (first == 0) residual = nbit::output_drift(width, x.cols);
        const float* const onto = added_to[static_cast<std::size_t>(s)].data() + first * width;
        need(residual.add({onto, x.rows, width}, h.rows.view().row_range(first, x.rows), x, pool), "calibration");
      }
    }
    w.add(here, s, x);
  };
  if (sequential)
    watch.complete = [&](std::size_t b, site s) {
      // With few tokens the regression on the residual fits their noise.
      const bool enough = adds(s) && residual.tokens() >= 8 * residual.inputs();
      w.solve(b, s, here[static_cast<std::size_t>(s)], &moved, enough ? &residual : nullptr);
      here[static_cast<std::size_t>(s)] = nbit::hessian(site_width(w.m.config, s));
      before[static_cast<std::size_t>(s)] = {}, added_to[static_cast<std::size_t>(s)] = {};
      if (told) told(b * engine::site_count + static_cast<std::size_t>(s) + 1, steps);
    };
  // What is solved must not feed later blocks unless the solver is sequential: the runner sees the unchanged model
  // then.
  engine::runner run(sequential ? w.m : m, pool);
  const bool known = what.statistics != nullptr && !sequential;
  if (!known) h = engine::embed(m, what.calibration->ids, what.calibration->count, what.calibration->length);
  engine::runner run_before(m, pool);
  if (sequential) h_before = h;
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    here = known ? block_statistics() : empty_statistics(m.config);
    if (sequential) run_before.run_block(b, h_before, &watch_before);
    if (!known) run.run_block(b, h, &watch);
    const block_statistics& inputs = known ? (*what.statistics)[b] : here;
    if (what.how == method::awq)
      w.awq_block(b, inputs);
    else if (!sequential)
      for (std::size_t s = 0; s < engine::site_count; ++s) w.solve(b, static_cast<site>(s), inputs[s]);
    if (told) told((b + 1) * engine::site_count, steps);
  }
}

}  // namespace tool
