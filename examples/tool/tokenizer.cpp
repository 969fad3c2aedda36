// tool/tokenizer.cpp — keys of a GGUF file for a model that came as a Hugging Face folder.
// SPDX-License-Identifier: MIT
#include "tokenizer.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

#include "failure.hpp"

namespace tool {
namespace {

using nbit::json_kind;
using nbit::json_value;

/// llama.cpp's numbers for kinds of tokens.
enum token_kind : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5 };

[[noreturn]] void unfit(const std::string& what, const std::string& found, const std::string& allowed) {
  throw failure{bad_input, "tokenizer.json: " + what + " (found " + found + ", allowed: " + allowed + ")"};
}

std::string_view text_of(const json_value* of, std::string_view member) {
  const json_value* const v = of == nullptr || !of->is(json_kind::object) ? nullptr : of->find(member);
  return v != nullptr && v->is(json_kind::string) ? v->text() : std::string_view();
}

/// The name llama.cpp has for the way a text is cut into words before merging.
std::string_view pre_tokenizer(const json_value& tokenizer) {
  const json_value* pre = tokenizer.find("pre_tokenizer");
  if (text_of(pre, "type") == "ByteLevel" && pre->get<bool>("use_regex").value_or(true)) return "gpt-2";
  unfit("the way to cut words is not known", std::string(text_of(pre, "type")), "ByteLevel with its own pattern");
}

std::int32_t read_id(const json_value& v, std::size_t vocabulary) {
  const auto id = need(v.get<std::int64_t>(), "tokenizer.json");
  if (id < 0 || static_cast<std::size_t>(id) >= vocabulary)
    unfit("a token's number", std::to_string(id), "0 to " + std::to_string(vocabulary - 1));
  return static_cast<std::int32_t>(id);
}

/// "a b" for a merge that is written as a pair or as one string; spaces inside a piece become its byte-level letter.
std::string merge_text(const json_value& merge) {
  if (merge.is(json_kind::string)) return std::string(merge.text());
  if (!merge.is(json_kind::array) || merge.size() != 2)
    unfit("a merge", "another value", "a pair of strings, or one string");
  std::string text;
  for (const json_value& half : merge.items()) {
    if (!text.empty()) text += ' ';
    for (const char c : need(half.get<std::string_view>(), "tokenizer.json"))
      if (c == ' ')
        text += "\xc4\xa0";
      else
        text += c;
  }
  return text;
}

/// Whether the post-processor puts the begin token before every text.
bool adds_begin(const json_value& tokenizer, std::string_view begin) {
  const json_value* const post = tokenizer.find("post_processor");
  if (text_of(post, "type") != "TemplateProcessing") return false;
  const json_value* const single = post->find("single");
  if (single == nullptr || !single->is(json_kind::array) || single->size() == 0) return false;
  return text_of(single->items()[0].find("SpecialToken"), "id") == begin && !begin.empty();
}

}  // namespace

void write_model_keys(nbit::gguf::writer& to, const engine::config& c, const std::string& name) {
  const auto put = [&](const char* key, auto value) { need(to.set(key, value), key); };
  const auto size = [&](const char* key, std::size_t value) { put(key, static_cast<std::uint32_t>(value)); };
  put("general.architecture", std::string_view("llama"));
  put("general.name", std::string_view(name));
  size("llama.block_count", c.layers);
  size("llama.context_length", c.context);
  size("llama.embedding_length", c.width);
  size("llama.feed_forward_length", c.ffn_width);
  size("llama.attention.head_count", c.heads);
  size("llama.attention.head_count_kv", c.kv_heads);
  put("llama.attention.layer_norm_rms_epsilon", c.norm_epsilon);
  if (c.head_width * c.heads != c.width) {
    size("llama.attention.key_length", c.head_width);
    size("llama.attention.value_length", c.head_width);
  }
  size("llama.rope.dimension_count", c.rope_dims);
  put("llama.rope.freq_base", c.rope_base);
  size("llama.vocab_size", c.vocabulary);
}

void write_tokenizer_keys(nbit::gguf::writer& to, const json_value& tokenizer, const engine::config& c) {
  const json_value* const model = tokenizer.find("model");
  const json_value* const vocabulary = model == nullptr ? nullptr : model->find("vocab");
  const json_value* const merges = model == nullptr ? nullptr : model->find("merges");
  const std::string_view type = text_of(model, "type");
  if (type != "BPE" || model->get<bool>("byte_fallback").value_or(false))
    unfit("kind of tokenizer", type == "BPE" ? "BPE with byte fallback" : std::string(type),
          "byte-level BPE; --no-tokenizer leaves it out");
  if (vocabulary == nullptr || !vocabulary->is(json_kind::object)) unfit("vocab", "none", "an object");
  if (merges == nullptr || !merges->is(json_kind::array)) unfit("merges", "none", "an array");

  std::vector<std::string> tokens(c.vocabulary);
  std::vector<std::int32_t> kinds(c.vocabulary, unused);
  for (std::size_t i = 0; i < vocabulary->size(); ++i) {
    const auto id = static_cast<std::size_t>(read_id(vocabulary->items()[i], c.vocabulary));
    tokens[id] = vocabulary->names()[i], kinds[id] = normal;
  }
  if (const json_value* const added = tokenizer.find("added_tokens"); added != nullptr)
    for (const json_value& t : added->items()) {
      const json_value* const id = t.find("id");
      if (id == nullptr) unfit("an added token", "no id", "a number");
      const auto at = static_cast<std::size_t>(read_id(*id, c.vocabulary));
      tokens[at] = text_of(&t, "content");
      kinds[at] = t.get<bool>("special").value_or(false) ? control : user_defined;
    }
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (kinds[i] == unused) tokens[i] = "[PAD" + std::to_string(i) + "]";

  std::vector<std::string> merge_texts;
  for (const json_value& m : merges->items()) merge_texts.push_back(merge_text(m));
  const std::vector<std::string_view> token_views(tokens.begin(), tokens.end()),
      merge_views(merge_texts.begin(), merge_texts.end());
  const auto put = [&](const char* key, auto value) { need(to.set(key, value), key); };
  put("tokenizer.ggml.model", std::string_view("gpt2"));
  put("tokenizer.ggml.pre", pre_tokenizer(tokenizer));
  need(to.set_array<std::string_view>("tokenizer.ggml.tokens", token_views));
  need(to.set_array<std::int32_t>("tokenizer.ggml.token_type", kinds));
  need(to.set_array<std::string_view>("tokenizer.ggml.merges", merge_views));
  if (c.bos >= 0) put("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(c.bos));
  if (c.eos >= 0) put("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(c.eos));
  const bool bos_known = c.bos >= 0 && static_cast<std::size_t>(c.bos) < tokens.size();
  put("tokenizer.ggml.add_bos_token", bos_known && adds_begin(tokenizer, tokens[static_cast<std::size_t>(c.bos)]));
}

}  // namespace tool
