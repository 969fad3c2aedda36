// engine/sort.hpp — a model whose channels change places, the strong ones together: the same logits, better groups.
//
// Neighbours in a row share a scale, so they should meet inputs of like strength. Three orders are free, because what
// makes a channel and what reads it can both move: that of the residual stream (one for the whole model), of the
// channels between an ffn's matrices, and of the values within a head. The result is an ordinary llama for any engine.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_SORT_HPP
#define ENGINE_SORT_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/result.hpp>
#include <nbit/solver/fold.hpp>

#include <engine/evaluate.hpp>
#include <engine/forward.hpp>
#include <engine/model.hpp>
#include <engine/workers.hpp>

namespace engine {

/// The mean squares of the inputs of a block's sites.
using site_strengths = std::array<std::vector<float>, site_count>;

/// What every block of a model reads on some text.
inline std::vector<site_strengths> input_strengths(const model& m, const token_windows& text, const workers& pool = {},
                                                   const progress& told = {}) {
  std::vector<site_strengths> all(m.blocks.size());
  std::array<std::vector<double>, site_count> sums;
  observer watch;
  watch.input = [&](std::size_t, site at, nbit::matrix_view<const float> x) {
    std::vector<double>& sum = sums[static_cast<std::size_t>(at)];
    sum.resize(x.cols);
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t c = 0; c < x.cols; ++c) sum[c] += double(x(t, c)) * double(x(t, c));
  };
  watch.complete = [&](std::size_t b, site at) {
    std::vector<double>& sum = sums[static_cast<std::size_t>(at)];
    for (const double s : sum)
      all[b][static_cast<std::size_t>(at)].push_back(static_cast<float>(s / double(text.ids.size())));
    sum.clear();
  };
  hidden_states h = embed(m, text.ids, text.count, text.length);
  runner run(m, pool);
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    run.run_block(b, h, &watch);
    if (told) told(b + 1, m.blocks.size());
  }
  return all;
}

/// Where each channel of a model goes: place i takes what was at order[i].
struct channel_orders {
  using order = std::vector<std::uint32_t>;
  struct of_block {
    order between, values, outputs;  // ffn; what v makes, and what attn_output reads
  };
  order stream;
  std::vector<of_block> blocks;

  /// How the rows and the columns of a tensor move (nullptr: not at all); nothing for a tensor that no rule knows.
  /// A norm's gains are columns.
  using moves = std::array<const order*, 2>;
  std::optional<moves> of(std::string_view tensor) const {
    if (tensor == "rope_freqs.weight") return moves{};
    if (tensor == "token_embd.weight" || tensor == "output.weight" || tensor == "output_norm.weight")
      return moves{nullptr, &stream};
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      const auto is = [&](auto part) { return tensor == tensor_name(b, part); };
      for (const std::string_view norm : {"attn_norm", "ffn_norm"})
        if (is(norm)) return moves{nullptr, &stream};
      if (is(role::attn_q) || is(role::attn_k)) return moves{nullptr, &stream};
      if (is(role::attn_v)) return moves{&blocks[b].values, &stream};
      if (is(role::attn_output)) return moves{&stream, &blocks[b].outputs};
      if (is(role::ffn_gate) || is(role::ffn_up)) return moves{&blocks[b].between, &stream};
      if (is(role::ffn_down)) return moves{&stream, &blocks[b].between};
    }
    return std::nullopt;
  }
};

/// The strongest channels first.  Errors: shape, for strengths of another model.
inline nbit::result<channel_orders> strongest_first(const config& c, std::span<const site_strengths> strengths) {
  const auto at = [&](std::size_t b, site s) -> const std::vector<float>& {
    return strengths[b][static_cast<std::size_t>(s)];
  };
  for (std::size_t b = 0; b < c.layers; ++b)
    if (strengths.size() != c.layers || at(b, site::attention_in).size() != c.width ||
        at(b, site::ffn_in).size() != c.width || at(b, site::attention_out).size() != c.q_width() ||
        at(b, site::ffn_out).size() != c.ffn_width)
      return nbit::make_error(nbit::errc::shape, "the strengths are not those of this model's inputs",
                              "four sites of every block")
          .with(static_cast<std::int64_t>(strengths.size()));
  const auto by = [](const std::vector<float>& strength) {
    channel_orders::order o(strength.size());
    nbit::strongest_first(strength, o);
    return o;
  };
  channel_orders out;
  std::vector<float> shared(c.width);  // every reader of the stream counts alike, whatever the scale of its inputs
  for (std::size_t b = 0; b < c.layers; ++b)
    for (const site s : {site::attention_in, site::ffn_in}) {
      double total = 0;
      for (const float v : at(b, s)) total += double(v);
      for (std::size_t i = 0; i < c.width && total > 0; ++i)
        shared[i] += static_cast<float>(double(at(b, s)[i]) / total);
    }
  out.stream = by(shared);
  const std::size_t group = c.heads / c.kv_heads, width = c.head_width;
  for (std::size_t b = 0; b < c.layers; ++b) {
    channel_orders::of_block o{by(at(b, site::ffn_out)), {}, channel_orders::order(c.q_width())};
    for (std::size_t kv = 0; kv < c.kv_heads; ++kv) {  // heads that share values agree on their order
      std::vector<float> sum(width);
      for (std::size_t h = kv * group; h < (kv + 1) * group; ++h)
        for (std::size_t i = 0; i < width; ++i) sum[i] += at(b, site::attention_out)[h * width + i];
      const channel_orders::order within = by(sum);
      for (std::size_t i = 0; i < width; ++i) {
        o.values.push_back(static_cast<std::uint32_t>(kv * width) + within[i]);
        for (std::size_t h = kv * group; h < (kv + 1) * group; ++h)
          o.outputs[h * width + i] = static_cast<std::uint32_t>(h * width) + within[i];
      }
    }
    out.blocks.push_back(std::move(o));
  }
  return out;
}

/// The same model with its channels in these orders. Matrices become f32; a tied head stays tied.
/// Errors: those of permute_rows and permute_columns.
inline nbit::result<model> reordered(model m, const channel_orders& orders) {
  nbit::result<void> done;
  const auto move = [&](std::string_view name, nbit::matrix_view<float> v) {
    const channel_orders::moves how = orders.of(name).value_or(channel_orders::moves{});
    if (done && how[0] != nullptr) done = nbit::permute_rows(v, {}, *how[0]);
    if (done && how[1] != nullptr) done = nbit::permute_columns(v, *how[1]);
  };
  const auto gains = [&](const std::string& name, std::vector<float>& g) { move(name, {g.data(), 1, g.size()}); };
  for (const std::string& name : m.names()) {
    linear& w = *m.find(name);
    w = changed(w, [&](nbit::matrix_view<float> v) { move(name, v); });
  }
  gains("output_norm.weight", m.output_norm);
  for (std::size_t b = 0; b < m.blocks.size(); ++b)
    gains(tensor_name(b, "attn_norm"), m.blocks[b].attn_norm), gains(tensor_name(b, "ffn_norm"), m.blocks[b].ffn_norm);
  if (!done) return done.error();
  return m;
}

}  // namespace engine

#endif
