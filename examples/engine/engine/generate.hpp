// engine/generate.hpp — text one token at a time: a session with a cache of keys and values, and greedy choice.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_GENERATE_HPP
#define ENGINE_GENERATE_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <nbit/base/result.hpp>

#include <engine/forward.hpp>
#include <engine/model.hpp>
#include <engine/workers.hpp>

namespace engine {

/// One sequence being read or written.  Needs: the model outlives the session.
class session {
 public:
  explicit session(const model& m, std::size_t capacity, workers pool = {})
      : model_(m), run_(m, pool), cache_(m.config, capacity), logits_(1, m.config.vocabulary) {}

  /// Tokens so far.
  std::size_t position() const { return cache_.used; }

  /// Reads tokens after those so far and returns the scores for the next one; many tokens go through gemm, one through
  /// gemv.  Errors: invalid_option for no tokens or an id outside the vocabulary; overflow when the cache is full.
  nbit::result<std::span<const float>> feed(std::span<const std::int32_t> ids) {
    if (ids.empty()) return nbit::make_error(nbit::errc::invalid_option, "no tokens to read", "at least one");
    for (const std::int32_t id : ids)
      if (id < 0 || static_cast<std::size_t>(id) >= model_.config.vocabulary)
        return nbit::make_error(nbit::errc::invalid_option, "token id is outside the vocabulary").with(id);
    if (ids.size() > cache_.capacity - cache_.used)
      return nbit::make_error(nbit::errc::overflow, "the sequence is longer than the cache", "at most the capacity")
          .with(static_cast<std::int64_t>(cache_.used + ids.size()));
    hidden_states h = embed(model_, ids, 1, ids.size());
    run_.run(h, nullptr, &cache_);
    run_.logits(h.rows.view().row_range(ids.size() - 1, 1), logits_.view());
    return std::span<const float>(logits_.values);
  }

 private:
  const model& model_;
  runner run_;
  kv_cache cache_;
  floats logits_;
};

/// The prompt's most likely continuation, token by token, until `count` tokens or the model's end token.
/// Errors: those of session::feed.
inline nbit::result<std::vector<std::int32_t>> greedy(const model& m, std::span<const std::int32_t> prompt,
                                                      std::size_t count, workers pool = {},
                                                      const std::function<void(std::int32_t)>& told = {}) {
  session s(m, prompt.size() + count, pool);
  std::vector<std::int32_t> written;
  nbit::result<std::span<const float>> scores = s.feed(prompt);
  while (written.size() < count) {
    if (!scores) return scores.error();
    const auto best = std::max_element(scores->begin(), scores->end());
    const std::int32_t id = static_cast<std::int32_t>(best - scores->begin());
    if (id == m.config.eos) break;
    written.push_back(id);
    if (told) told(id);
    if (written.size() < count) scores = s.feed({&written.back(), 1});
  }
  return written;
}

}  // namespace engine

#endif
