// engine/forward.hpp — the forward pass, block by block: many windows at once, or one token after a cache.
//
// A block runs in four sites, each a place where one input feeds one or several matrices. An observer sees those inputs
// before the matrices read them, and may replace the matrices once all windows have passed: sequential calibration.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_FORWARD_HPP
#define ENGINE_FORWARD_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <nbit/base/matrix_view.hpp>

#include <engine/linear.hpp>
#include <engine/model.hpp>
#include <engine/ops.hpp>
#include <engine/workers.hpp>

namespace engine {

/// Matrices that read the same input.
enum class site : std::uint8_t { attention_in, attention_out, ffn_in, ffn_out };
inline constexpr std::size_t site_count = 4;

/// The matrices of a block that read the input of a site.
inline std::span<const role> readers(site s) {
  static constexpr role all[] = {role::attn_q,   role::attn_k, role::attn_v,  role::attn_output,
                                 role::ffn_gate, role::ffn_up, role::ffn_down};
  static constexpr std::size_t first[] = {0, 3, 4, 6, 7};
  const std::size_t i = static_cast<std::size_t>(s);
  return std::span<const role>(all).subspan(first[i], first[i + 1] - first[i]);
}

/// What looks at a block while it runs. Both are called on the thread that called run_block.
struct observer {
  /// The input of a site for some windows: tokens x columns, windows in order. For nbit::hessian::add.
  std::function<void(std::size_t block, site, nbit::matrix_view<const float>)> input;
  /// All windows have been seen; the readers of the site have not run yet, so they may be replaced here.
  std::function<void(std::size_t block, site)> complete;
};

/// An owned matrix of floats.
struct floats {
  std::size_t rows = 0, cols = 0;
  std::vector<float> values;

  floats() = default;
  floats(std::size_t r, std::size_t c) : rows(r), cols(c), values(r * c) {}
  nbit::matrix_view<float> view() { return {values.data(), rows, cols}; }
  nbit::matrix_view<const float> view() const { return {values.data(), rows, cols}; }
};

/// Hidden states of windows of equal length: row w * length + t is token t of window w.
struct hidden_states {
  std::size_t windows = 0, length = 0;
  floats rows;
};

/// Keys and values of the tokens so far, for one sequence. Values are kept transposed (engine::attend).
struct kv_cache {
  std::size_t capacity = 0, used = 0;
  std::vector<floats> keys, values;  // for each block: capacity x kv_width, kv_width x capacity

  kv_cache() = default;
  kv_cache(const config& c, std::size_t tokens) : capacity(tokens) {
    for (std::size_t b = 0; b < c.layers; ++b) {
      keys.emplace_back(tokens, c.kv_width());
      values.emplace_back(c.kv_width(), tokens);
    }
  }
};

/// Looks the tokens up.  Needs: ids.size() == windows * length, every id below the vocabulary.
inline hidden_states embed(const model& m, std::span<const std::int32_t> ids, std::size_t windows, std::size_t length) {
  hidden_states h{windows, length, floats(windows * length, m.config.width)};
  for (std::size_t t = 0; t < windows * length; ++t)
    m.token_embd.row(static_cast<std::size_t>(ids[t]), h.rows.view().row(t));
  return h;
}

/// Runs the blocks of a model; the model outlives it. Working memory: the widest matrix's columns for all tokens of one
/// run_block, everything else for `step_tokens` tokens (at least one window).
class runner {
 public:
  explicit runner(const model& m, workers pool = {}, std::size_t step_tokens = 1024)
      : model_(m), pool_(pool), step_(step_tokens) {}

  /// Runs block b over all windows, in place. With a cache: one window, whose tokens follow those in the cache.
  /// Needs: h has the model's width; with a cache, used + length <= capacity.
  void run_block(std::size_t b, hidden_states& h, const observer* watch = nullptr, kv_cache* cache = nullptr) {
    if (h.rows.rows == 0) return;
    // What feeds attn_output and ffn_down is kept for all windows, so that an observer can hold everything back.
    each_step(b, h, watch, site::attention_in,
              [&](nbit::matrix_view<float> x, std::size_t) { return norm(x, at(b).attn_norm); });
    kept_.resize(h.rows.rows * std::max(model_.config.q_width(), model_.config.ffn_width));
    const nbit::matrix_view<float> heads(kept_.data(), h.rows.rows, model_.config.q_width());
    each_step(b, h, watch, site::attention_out, [&](nbit::matrix_view<float> x, std::size_t row) {
      const nbit::matrix_view<float> out = heads.row_range(row, x.rows);
      attention(b, x, h.length, cache, out);
      return nbit::matrix_view<const float>(out);
    });
    add_product(at(b)[role::attn_output], heads, h.rows.view());
    each_step(b, h, watch, site::ffn_in,
              [&](nbit::matrix_view<float> x, std::size_t) { return norm(x, at(b).ffn_norm); });
    const nbit::matrix_view<float> gated(kept_.data(), h.rows.rows, model_.config.ffn_width);
    each_step(b, h, watch, site::ffn_out, [&](nbit::matrix_view<float> x, std::size_t row) {
      const nbit::matrix_view<float> out = gated.row_range(row, x.rows);
      gate(b, x, out);
      return nbit::matrix_view<const float>(out);
    });
    add_product(at(b)[role::ffn_down], gated, h.rows.view());
  }

  /// Runs all blocks and counts the tokens into the cache.
  void run(hidden_states& h, const observer* watch = nullptr, kv_cache* cache = nullptr) {
    for (std::size_t b = 0; b < model_.blocks.size(); ++b) run_block(b, h, watch, cache);
    if (cache != nullptr) cache->used += h.length;
  }

  /// Scores of every token of the vocabulary, for rows of hidden states after the last block.
  /// Shape: x n x width, out n x vocabulary.
  void logits(nbit::matrix_view<float> x, nbit::matrix_view<float> out) {
    model_.head()(norm(x, model_.output_norm), out, pool_);
  }

 private:
  const block& at(std::size_t b) const { return model_.blocks[b]; }

  // Computes the input of a site step by step (whole windows) and shows it to the observer. Inputs that only the
  // observer would see are not computed without one.
  template <class F>
  void each_step(std::size_t b, hidden_states& h, const observer* watch, site s, F&& input) {
    if (watch == nullptr && (s == site::attention_in || s == site::ffn_in)) return;
    const std::size_t windows = std::max<std::size_t>(1, step_ / std::max<std::size_t>(1, h.length));
    for (std::size_t w = 0; w < h.windows; w += windows) {
      const std::size_t n = std::min(windows, h.windows - w) * h.length;
      const nbit::matrix_view<const float> x = input(h.rows.view().row_range(w * h.length, n), w * h.length);
      if (watch != nullptr && watch->input) watch->input(b, s, x);
    }
    if (watch != nullptr && watch->complete) watch->complete(b, s);
  }

  nbit::matrix_view<const float> norm(nbit::matrix_view<float> x, const std::vector<float>& gain) {
    const nbit::matrix_view<float> out = scratch(normed_, x.rows, x.cols);
    for_rows(pool_, x.rows, [&](std::size_t r) { rms_norm(x.row(r), gain, model_.config.norm_epsilon, out.row(r)); });
    return out;
  }

  void attention(std::size_t b, nbit::matrix_view<float> x, std::size_t length, kv_cache* cache,
                 nbit::matrix_view<float> out) {
    const config& c = model_.config;
    const std::size_t windows = x.rows / length, past = cache != nullptr ? cache->used : 0;
    const nbit::matrix_view<const float> in = norm(x, at(b).attn_norm);
    const nbit::matrix_view<float> q = scratch(q_, x.rows, c.q_width()), v = scratch(v_, x.rows, c.kv_width());
    const nbit::matrix_view<float> k =
        cache != nullptr ? cache->keys[b].view().row_range(past, length) : scratch(k_, x.rows, c.kv_width());
    const nbit::matrix_view<float> turned =
        cache != nullptr ? cache->values[b].view() : scratch(turned_, windows * c.kv_width(), length);
    at(b)[role::attn_q](in, q, pool_);
    at(b)[role::attn_k](in, k, pool_);
    at(b)[role::attn_v](in, v, pool_);
    const rope_table rope(c, past, length);
    for_rows(pool_, x.rows, [&](std::size_t r) {
      const std::size_t w = r / length, t = r % length;
      for (std::size_t h = 0; h < c.heads; ++h) rope.turn(&q(r, h * c.head_width), t);
      for (std::size_t h = 0; h < c.kv_heads; ++h) rope.turn(&k(r, h * c.head_width), t);
      for (std::size_t i = 0; i < c.kv_width(); ++i) turned(w * c.kv_width() + i, past + t) = v(r, i);
    });
    // One piece: a head of a window, 64 queries. Queries see no later key, so short strips do less than half the work.
    constexpr std::size_t strip = 64;
    const std::size_t strips = (length + strip - 1) / strip;
    const workers few = length == 1 ? workers() : pool_;  // one token is done before a thread has woken up
    few(windows * c.heads * strips, [&](std::size_t i) {
      const std::size_t first = i % strips * strip, n = std::min(strip, length - first);
      const std::size_t h = i / strips % c.heads, w = i / strips / c.heads, kv = h / (c.heads / c.kv_heads);
      const std::size_t row = w * length + first, seen = past + first + n;
      const float* const keys = cache != nullptr ? cache->keys[b].values.data() : &k(w * length, 0);
      attend({&q(row, h * c.head_width), n, c.head_width, q.stride},
             {keys + kv * c.head_width, seen, c.head_width, c.kv_width()},
             {&turned(w * c.kv_width() + kv * c.head_width, 0), c.head_width, seen, turned.stride},
             {&out(row, h * c.head_width), n, c.head_width, out.stride});
    });
  }

  void gate(std::size_t b, nbit::matrix_view<float> x, nbit::matrix_view<float> out) {
    const nbit::matrix_view<const float> in = norm(x, at(b).ffn_norm);
    const nbit::matrix_view<float> up = scratch(q_, x.rows, model_.config.ffn_width);
    at(b)[role::ffn_gate](in, out, pool_);
    at(b)[role::ffn_up](in, up, pool_);
    for_rows(pool_, x.rows, [&](std::size_t r) { silu_times(out.row(r), up.row(r)); });
  }

  void add_product(const linear& w, nbit::matrix_view<const float> x, nbit::matrix_view<float> h) {
    for (std::size_t row = 0; row < x.rows; row += step_) {
      const std::size_t n = std::min(step_, x.rows - row);
      const nbit::matrix_view<float> y = scratch(q_, n, h.cols);
      w(x.row_range(row, n), y, pool_);
      for_rows(pool_, n, [&](std::size_t r) {
        const std::span<float> to = h.row(row + r);
        for (std::size_t i = 0; i < to.size(); ++i) to[i] += y(r, i);
      });
    }
  }

  static nbit::matrix_view<float> scratch(std::vector<float>& memory, std::size_t rows, std::size_t cols) {
    if (memory.size() < rows * cols) memory.resize(rows * cols);
    return {memory.data(), rows, cols};
  }

  const model& model_;
  workers pool_;
  std::size_t step_;
  std::vector<float> kept_, normed_, q_, k_, v_, turned_;
};

}  // namespace engine

#endif
