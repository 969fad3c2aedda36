// engine/evaluate.hpp — what quantization did to a model: perplexity, KL divergence, equal first choices.
//
// Every window stands alone: positions from 0, nothing put before it; window[1:] is predicted from window[:-1].
//   perplexity  exp(mean of -ln p(next token))
//   KL          mean over predictions of sum p ln(p / q), p from the reference, in nats
//   top-1       share of predictions where both models like the same token best
// SPDX-License-Identifier: MIT
#ifndef ENGINE_EVALUATE_HPP
#define ENGINE_EVALUATE_HPP

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <nbit/base/matrix_view.hpp>

#include <engine/forward.hpp>
#include <engine/model.hpp>
#include <engine/ops.hpp>
#include <engine/workers.hpp>

namespace engine {

/// Windows of token ids of equal length: rows of a matrix.
struct token_windows {
  std::size_t count = 0, length = 0;
  std::vector<std::int32_t> ids;

  std::span<const std::int32_t> operator[](std::size_t w) const { return std::span(ids).subspan(w * length, length); }
  /// The first n windows, or all if there are fewer.
  token_windows first(std::size_t n) const {
    n = std::min(n, count);
    return {n, length, {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n * length)}};
  }
};

/// Told after every step how many windows of how many are done.
using progress = std::function<void(std::size_t done, std::size_t total)>;

/// ln p of every token for every prediction of some windows; what KL compares with.
/// Memory: windows * (length - 1) * vocabulary floats (134 MB for 64 windows of 257 and 2,048 tokens).
struct reference_scores {
  std::size_t windows = 0;
  floats log_p;
};

/// What an evaluation measured; kl and top1 over the reference's windows, perplexity over all.
struct evaluation {
  double perplexity = 0.0, kl = 0.0, top1 = 0.0;
  std::size_t predictions = 0, compared = 0;
  double seconds = 0.0;
  std::vector<float> nll;  // -ln p of every next token, windows in order
};

/// The index of the largest score, the first of equals.
inline std::size_t best_of(std::span<const float> scores) {
  return static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

/// v becomes ln softmax(v).
inline void log_softmax(std::span<float> v) {
  const float top = largest(v);
  const float total = sum_of(v.size(), [&](std::size_t i) { return exponential(v[i] - top); });
  const float shift = top + static_cast<float>(std::log(static_cast<double>(total)));
  for (float& x : v) x -= shift;
}

/// Hidden states of all predictions of a text before some block, from a model that is the same up to there: what lies
/// before a changed matrix need not be computed again.
struct midway {
  std::size_t block = 0;
  hidden_states states;
};

/// The states before the first block.
inline midway before_blocks(const model& m, const token_windows& text) {
  const std::size_t n = text.length < 2 ? 0 : text.length - 1;
  std::vector<std::int32_t> ids;
  for (std::size_t w = 0; w < text.count && n != 0; ++w) ids.insert(ids.end(), text[w].begin(), text[w].end() - 1);
  return {0, embed(m, ids, n == 0 ? 0 : text.count, n)};
}

/// Calls f(row, ln p of all tokens) for every prediction, rows in parallel; row w * (length - 1) + t.
template <class F>
void score(const model& m, const token_windows& text, const workers& pool, const progress& told, F&& f,
           const midway* from = nullptr) {
  constexpr std::size_t step = 1024;
  if (text.length < 2) return;
  const std::size_t n = text.length - 1, at_once = std::max<std::size_t>(1, step / n);
  runner run(m, pool, step);
  floats scores(std::min(at_once, text.count) * n, m.config.vocabulary);
  for (std::size_t w = 0; w < text.count; w += at_once) {
    const std::size_t windows = std::min(at_once, text.count - w);
    hidden_states h;
    if (from == nullptr) {
      h = before_blocks(
              m, {windows, text.length, {text[w].begin(), text[w].begin() + std::ptrdiff_t(windows * text.length)}})
              .states;
    } else {
      h = {windows, n, floats(windows * n, m.config.width)};
      std::copy_n(from->states.rows.values.begin() + std::ptrdiff_t(w * n * m.config.width), h.rows.values.size(),
                  h.rows.values.begin());
    }
    for (std::size_t b = from == nullptr ? 0 : from->block; b < m.blocks.size(); ++b) run.run_block(b, h);
    const nbit::matrix_view<float> out = scores.view().row_range(0, windows * n);
    run.logits(h.rows.view(), out);
    for_rows(pool, out.rows, [&](std::size_t r) {
      log_softmax(out.row(r));
      f(w * n + r, std::span<const float>(out.row(r)));
    });
    if (told) told(w + windows, text.count);
  }
}

/// Runs the reference model over the first windows of a text and keeps what it says.
inline reference_scores reference(const model& m, const token_windows& text, std::size_t windows,
                                  const workers& pool = {}, const progress& told = {}) {
  const token_windows some = text.first(windows);
  reference_scores kept{some.count, floats(some.count * (some.length - 1), m.config.vocabulary)};
  score(m, some, pool, told, [&](std::size_t row, std::span<const float> log_p) {
    std::copy(log_p.begin(), log_p.end(), kept.log_p.view().row(row).begin());
  });
  return kept;
}

/// Perplexity over all windows and, with a reference, KL and top-1 over the reference's windows.
/// Needs: ids below the vocabulary (load_windows checks), a reference of the same text and vocabulary; from: states of
/// this text.
inline evaluation evaluate(const model& m, const token_windows& text, const reference_scores* against = nullptr,
                           const workers& pool = {}, const progress& told = {}, const midway* from = nullptr) {
  const auto started = std::chrono::steady_clock::now();
  evaluation found;
  const std::size_t n = text.length < 2 ? 0 : text.length - 1;
  found.nll.resize(text.count * n);
  const std::size_t compared = against == nullptr ? 0 : std::min(against->log_p.rows, found.nll.size());
  std::vector<float> kl(compared), same(compared);
  score(
      m, text, pool, told,
      [&](std::size_t row, std::span<const float> log_q) {
        const std::size_t next = static_cast<std::size_t>(text[row / n][row % n + 1]);
        found.nll[row] = -log_q[next];
        if (row >= compared) return;
        const std::span<const float> log_p = against->log_p.view().row(row);
        kl[row] = sum_of(log_q.size(), [&](std::size_t i) { return exponential(log_p[i]) * (log_p[i] - log_q[i]); });
        same[row] = best_of(log_p) == best_of(log_q) ? 1.0f : 0.0f;
      },
      from);
  const auto mean = [](const std::vector<float>& v) {
    double sum = 0.0;
    for (const float x : v) sum += static_cast<double>(x);
    return v.empty() ? 0.0 : sum / static_cast<double>(v.size());
  };
  found.perplexity = std::exp(mean(found.nll));
  found.kl = mean(kl), found.top1 = mean(same);
  found.predictions = found.nll.size(), found.compared = compared;
  found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return found;
}

}  // namespace engine

#endif
