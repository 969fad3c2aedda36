// engine/model.hpp — the weights of a llama-family decoder by their GGUF names, any of which can be replaced at run
// time.
//
// token_embd.weight, blk.N.{attn_norm,attn_q,attn_k,attn_v,attn_output,ffn_norm,ffn_gate,ffn_up,ffn_down}.weight,
// output_norm.weight, output.weight. A model without output.weight uses the embedding for it (a tied head).
// SPDX-License-Identifier: MIT
#ifndef ENGINE_MODEL_HPP
#define ENGINE_MODEL_HPP

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/result.hpp>

#include <engine/config.hpp>
#include <engine/linear.hpp>

namespace engine {

/// The seven matrices of a block, in the order they are used.
enum class role : std::uint8_t { attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down };
inline constexpr std::size_t role_count = 7;
inline constexpr std::array<std::string_view, role_count> role_names = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                                        "ffn_gate", "ffn_up", "ffn_down"};

/// "blk.3.attn_q.weight".
inline std::string tensor_name(std::size_t block, std::string_view part) {
  return "blk." + std::to_string(block) + "." + std::string(part) + ".weight";
}
inline std::string tensor_name(std::size_t block, role r) {
  return tensor_name(block, role_names[static_cast<std::size_t>(r)]);
}

/// One block: two gains and seven matrices.
struct block {
  std::vector<float> attn_norm, ffn_norm;
  std::array<linear, role_count> matrices;

  const linear& operator[](role r) const { return matrices[static_cast<std::size_t>(r)]; }
  linear& operator[](role r) { return matrices[static_cast<std::size_t>(r)]; }
};

/// A decoder: its configuration and all its weights. A copy shares the weights, so a copy with some of them replaced is
/// cheap, and the original stays as the reference.
class model {
 public:
  engine::config config;
  linear token_embd, output;  // output is empty when the head is tied
  std::vector<float> output_norm;
  std::vector<block> blocks;

  /// The matrix that gives logits.
  const linear& head() const { return output ? output : token_embd; }

  /// The matrix with this name, or nullptr (norms are not matrices).
  linear* find(std::string_view name) {
    if (name == "token_embd.weight") return &token_embd;
    if (name == "output.weight") return output ? &output : nullptr;
    std::size_t b = 0;
    if (name.substr(0, 4) != "blk.") return nullptr;
    const char* const last = name.data() + name.size();
    const auto number = std::from_chars(name.data() + 4, last, b);
    if (number.ec != std::errc{} || b >= blocks.size()) return nullptr;
    const std::string_view rest(number.ptr, static_cast<std::size_t>(last - number.ptr));
    for (std::size_t r = 0; r < role_count; ++r)
      if (rest.size() == role_names[r].size() + 8 && rest.substr(1, role_names[r].size()) == role_names[r] &&
          rest.front() == '.' && rest.substr(rest.size() - 7) == ".weight")
        return &blocks[b].matrices[r];
    return nullptr;
  }
  const linear* find(std::string_view name) const { return const_cast<model*>(this)->find(name); }

  /// Uses other weights for a matrix from now on.  Errors: missing, shape.
  nbit::result<void> replace(std::string_view name, linear with) {
    linear* const at = find(name);
    if (at == nullptr) return nbit::make_error(nbit::errc::missing, "the model has no matrix of this name").about(name);
    if (!(at->shape() == with.shape()))
      return nbit::make_error(nbit::errc::shape, "the new weights have another shape than the model's matrix")
          .about(name)
          .at(static_cast<std::int64_t>(with.shape().rows), static_cast<std::int64_t>(with.shape().cols));
    *at = std::move(with);
    return {};
  }

  /// The names of all matrices, in the order of a forward pass.
  std::vector<std::string> names() const {
    std::vector<std::string> all{"token_embd.weight"};
    for (std::size_t b = 0; b < blocks.size(); ++b)
      for (const std::string_view r : role_names) all.push_back(tensor_name(b, r));
    if (output) all.emplace_back("output.weight");
    return all;
  }

  /// What the weights take, norms included (as f32).
  std::size_t bytes() const {
    std::size_t n = token_embd.bytes() + output.bytes() + output_norm.size() * sizeof(float);
    for (const block& b : blocks) {
      n += (b.attn_norm.size() + b.ffn_norm.size()) * sizeof(float);
      for (const linear& w : b.matrices) n += w.bytes();
    }
    return n;
  }

  /// Whether every weight is there and fits the configuration.  Errors: shape, naming the tensor.
  nbit::result<void> check() const;
};

/// Where row i of a q or k matrix is found when the rotary pairs move from one style to the other.
inline std::vector<std::size_t> rope_order(const config& c, std::size_t heads, rope_style to) {
  std::vector<std::size_t> order(heads * c.head_width);
  const std::size_t half = c.rope_dims / 2;
  for (std::size_t h = 0; h < heads; ++h)
    for (std::size_t i = 0; i < c.head_width; ++i) {
      std::size_t from = i;
      if (i < c.rope_dims) from = to == rope_style::interleaved ? i / 2 + i % 2 * half : i % half * 2 + i / half;
      order[h * c.head_width + i] = h * c.head_width + from;
    }
  return order;
}

/// The same model with q and k rows (and the rotary embedding) in another style: the same logits. Those rows become
/// f32. GGUF files of architecture "llama" need rope_style::interleaved, Hugging Face checkpoints half_split.
inline model with_rope(model m, rope_style to) {
  if (m.config.rope == to) return m;
  for (block& b : m.blocks) {
    b[role::attn_q] = b[role::attn_q].with_rows(rope_order(m.config, m.config.heads, to));
    b[role::attn_k] = b[role::attn_k].with_rows(rope_order(m.config, m.config.kv_heads, to));
  }
  m.config.rope = to;
  return m;
}

inline nbit::result<void> model::check() const {
  const engine::config& c = config;
  if (auto ok = c.check(); !ok) return ok;
  const auto fits = [](const std::string& name, nbit::shape found, std::size_t rows,
                       std::size_t cols) -> nbit::result<void> {
    if (found == nbit::shape{rows, cols}) return {};
    return nbit::make_error(nbit::errc::shape, "a tensor's shape does not fit the model's configuration")
        .about(name)
        .at(static_cast<std::int64_t>(found.rows), static_cast<std::int64_t>(found.cols));
  };
  if (auto ok = fits("token_embd.weight", token_embd.shape(), c.vocabulary, c.width); !ok) return ok;
  if (auto ok = fits("output_norm.weight", {1, output_norm.size()}, 1, c.width); !ok) return ok;
  if (output)
    if (auto ok = fits("output.weight", output.shape(), c.vocabulary, c.width); !ok) return ok;
  if (auto ok = fits("blocks", {blocks.size(), 1}, c.layers, 1); !ok) return ok;
  for (std::size_t n = 0; n < blocks.size(); ++n) {
    const block& b = blocks[n];
    const std::size_t rows[] = {c.q_width(), c.kv_width(), c.kv_width(), c.width, c.ffn_width, c.ffn_width, c.width};
    const std::size_t cols[] = {c.width, c.width, c.width, c.q_width(), c.width, c.width, c.ffn_width};
    for (std::size_t r = 0; r < role_count; ++r)
      if (auto ok = fits(tensor_name(n, role_names[r]), b.matrices[r].shape(), rows[r], cols[r]); !ok) return ok;
    if (auto ok = fits(tensor_name(n, "attn_norm"), {1, b.attn_norm.size()}, 1, c.width); !ok) return ok;
    if (auto ok = fits(tensor_name(n, "ffn_norm"), {1, b.ffn_norm.size()}, 1, c.width); !ok) return ok;
  }
  return {};
}

}  // namespace engine

#endif
