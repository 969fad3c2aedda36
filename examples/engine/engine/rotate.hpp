// engine/rotate.hpp — a model turned into another basis: the same logits from weights without outlier columns.
//
// The residual stream is rotated by R1 (the model's width), the values of each head by R2 (a head's width). Norms let a
// rotation pass once their gains lie in the matrices that read them. Everything folds into the weights, so the result
// is an ordinary llama for any engine, and costs nothing at inference. Only the inputs of ffn_down stay as they are.
// Ref: Ashkboos et al. 2024 (QuaRot).
// SPDX-License-Identifier: MIT
#ifndef ENGINE_ROTATE_HPP
#define ENGINE_ROTATE_HPP

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <nbit/base/result.hpp>
#include <nbit/solver/rotate.hpp>

#include <engine/model.hpp>
#include <engine/workers.hpp>

namespace engine {

/// The same model in a basis that a seed chooses. Matrices become f32, gains 1, and a tied head is one no more.
/// Errors: those of the rotations, for a model that model::check would refuse.
inline nbit::result<model> rotated(const model& m, std::uint64_t seed, const workers& pool = {}) {
  const nbit::rotation stream{m.config.width, seed}, head{m.config.head_width, seed + 1};
  nbit::result<void> done;
  const auto also = [&done](nbit::result<void> next) {
    if (done && !next) done = next;
  };
  model out = m;
  out.output = m.head();
  out.token_embd =
      changed(out.token_embd, [&](nbit::matrix_view<float> w) { also(nbit::rotate_rows(stream, w, pool)); });
  const auto reads_stream = [&](linear& w, const std::vector<float>& gain) {
    w = changed(w, [&](nbit::matrix_view<float> v) {
      also(nbit::fold_gain_into_columns(gain, v));
      also(nbit::rotate_rows(stream, v, pool));
    });
  };
  reads_stream(out.output, m.output_norm);
  out.output_norm.assign(m.config.width, 1.0f);
  for (block& b : out.blocks) {
    for (const role r : {role::attn_q, role::attn_k, role::attn_v}) reads_stream(b[r], b.attn_norm);
    for (const role r : {role::ffn_gate, role::ffn_up}) reads_stream(b[r], b.ffn_norm);
    b.attn_norm.assign(m.config.width, 1.0f), b.ffn_norm.assign(m.config.width, 1.0f);
    b[role::attn_v] =
        changed(b[role::attn_v], [&](nbit::matrix_view<float> v) { also(nbit::rotate_outputs(head, v)); });
    b[role::attn_output] = changed(b[role::attn_output], [&](nbit::matrix_view<float> v) {
      for (std::size_t first = 0; first < v.cols; first += head.width)
        also(nbit::rotate_rows(head, {v.data + first, v.rows, head.width, v.stride}, pool));
      also(nbit::rotate_outputs(stream, v));
    });
    b[role::ffn_down] =
        changed(b[role::ffn_down], [&](nbit::matrix_view<float> v) { also(nbit::rotate_outputs(stream, v)); });
  }
  if (!done) return done.error();
  return out;
}

}  // namespace engine

#endif
