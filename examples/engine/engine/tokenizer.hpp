// engine/tokenizer.hpp — text to token ids and back: byte-level BPE, and decoding of sentencepiece vocabularies in
// GGUF.
//
// Byte-level BPE spells every byte as a printable character, cuts the text into words, and merges neighbours in the
// order of the merge list. Words are cut as GPT-2 does; outside ASCII, General Punctuation and Latin-1 signs count as
// signs and everything else as letters (exact for European text; other scripts' digits and spaces would need Unicode's
// tables).
// SPDX-License-Identifier: MIT
#ifndef ENGINE_TOKENIZER_HPP
#define ENGINE_TOKENIZER_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nbit/base/result.hpp>
#include <nbit/io/gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/utf8.hpp>

namespace engine {

/// A vocabulary and its merges.
class tokenizer {
 public:
  /// From a tokenizer.json with a byte-level BPE model.  Errors: missing, malformed, unsupported.
  static nbit::result<tokenizer> from_json(const nbit::json_value& json);
  /// From the keys tokenizer.ggml.* of a GGUF file: models "gpt2" (both directions) and "llama" (decoding alone).
  /// Errors: missing, malformed, unsupported.
  static nbit::result<tokenizer> from_gguf(const nbit::gguf::file& file);

  std::size_t size() const { return pieces_.size(); }

  /// The tokens of a text; ids that the model reserves (<s>) are never produced.
  /// Errors: unsupported for a vocabulary without merges; missing when a byte has no token.
  nbit::result<std::vector<std::int32_t>> encode(std::string_view text) const;

  /// The bytes of a token; empty for ids outside the vocabulary and for reserved ones.
  std::string decode(std::int32_t id) const;
  std::string decode(std::span<const std::int32_t> ids) const {
    std::string text;
    for (const std::int32_t id : ids) text += decode(id);
    return text;
  }

 private:
  enum class spelling { byte_level, sentencepiece };

  void add_piece(std::string_view piece, bool reserved) {
    ids_.emplace(piece, static_cast<std::int32_t>(pieces_.size()));
    pieces_.emplace_back(piece);
    reserved_.push_back(reserved);
  }
  void add_merge(std::string_view left, std::string_view right) {
    ranks_.emplace(std::string(left) + ' ' + std::string(right), ranks_.size());
  }
  // Merges the characters of one word as far as the list goes.
  std::vector<std::string> merge(std::string_view word) const;

  spelling spelling_ = spelling::byte_level;
  std::vector<std::string> pieces_;
  std::vector<bool> reserved_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::unordered_map<std::string, std::size_t> ranks_;
};

/// The character that stands for a byte: printable Latin-1 for itself, all others from U+0100 on, in order.
inline std::array<std::uint32_t, 256> byte_characters() {
  std::array<std::uint32_t, 256> of{};
  std::uint32_t next = 0x100;
  for (std::uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    of[b] = printable ? b : next++;
  }
  return of;
}

/// Cuts a text into words as GPT-2 does: contractions, [space] letters, [space] digits, [space] signs, spaces.
inline std::vector<std::string_view> words_of(std::string_view text) {
  enum class kind { space, letter, digit, sign };
  const auto length = [text](std::size_t at) { return std::max<std::size_t>(1, nbit::utf8_length(text.substr(at))); };
  const auto kind_at = [text](std::size_t at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == ' ' || (c >= '\t' && c <= '\r')) return kind::space;
    if (c >= '0' && c <= '9') return kind::digit;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return kind::letter;
    if (c < 0x80) return kind::sign;
    const auto byte = [&](std::size_t i) -> unsigned {
      return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
    };
    if (c == 0xe2 && byte(1) == 0x80)  // U+2000 to U+203F: spaces, dashes, quotes
      return byte(2) <= 0x8a || byte(2) == 0xa8 || byte(2) == 0xa9 ? kind::space : kind::sign;
    if (c == 0xc2 && byte(1) == 0xa0) return kind::space;
    if (c == 0xc2 && byte(1) != 0xaa && byte(1) != 0xb5 && byte(1) != 0xba) return kind::sign;
    return kind::letter;
  };
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    for (const std::string_view c : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
      if (text.substr(at, c.size()) == c) end = at + c.size();
    if (end == at) {
      const std::size_t first = text[at] == ' ' && at + 1 < text.size() && kind_at(at + 1) != kind::space ? at + 1 : at;
      const kind k = kind_at(first);
      std::size_t last = first;  // where the last character of the run begins
      for (end = first; end < text.size() && kind_at(end) == k; end += length(end)) last = end;
      // A run of spaces leaves its last one to the word that follows.
      if (k == kind::space && end < text.size() && last > at) end = last;
    }
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

inline std::vector<std::string> tokenizer::merge(std::string_view word) const {
  std::vector<std::string> parts;
  while (!word.empty()) {
    const std::size_t n = std::max<std::size_t>(1, nbit::utf8_length(word));
    parts.emplace_back(word.substr(0, n));
    word.remove_prefix(n);
  }
  for (;;) {
    std::size_t best = ranks_.size(), at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks_.find(parts[i] + ' ' + parts[i + 1]);
      if (found != ranks_.end() && found->second < best) best = found->second, at = i;
    }
    if (best == ranks_.size()) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

inline nbit::result<std::vector<std::int32_t>> tokenizer::encode(std::string_view text) const {
  if (ranks_.empty()) return nbit::make_error(nbit::errc::unsupported, "the vocabulary has no merges to encode with");
  const std::array<std::uint32_t, 256> characters = byte_characters();
  std::vector<std::int32_t> ids;
  for (const std::string_view word : words_of(text)) {
    std::string spelled;
    for (const char c : word) nbit::utf8_append(spelled, characters[static_cast<unsigned char>(c)]);
    for (const std::string& piece : merge(spelled)) {
      const auto found = ids_.find(piece);
      if (found == ids_.end())
        return nbit::make_error(nbit::errc::missing, "the vocabulary lacks a piece of the text").about(piece);
      ids.push_back(found->second);
    }
  }
  return ids;
}

inline std::string tokenizer::decode(std::int32_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= pieces_.size() || reserved_[static_cast<std::size_t>(id)]) return {};
  std::string_view piece = pieces_[static_cast<std::size_t>(id)];
  std::string text;
  if (spelling_ == spelling::sentencepiece) {
    // <0x0A> is a byte; U+2581 stands for a space.
    constexpr std::string_view digits = "0123456789ABCDEF";
    if (piece.size() == 6 && piece.substr(0, 3) == "<0x" && piece[5] == '>') {
      const std::size_t high = digits.find(piece[3]), low = digits.find(piece[4]);
      if (high < 16 && low < 16) return std::string(1, static_cast<char>(static_cast<unsigned char>(high * 16 + low)));
    }
    for (; !piece.empty(); piece.remove_prefix(1)) {
      if (piece.substr(0, 3) == "\xe2\x96\x81")
        text += ' ', piece.remove_prefix(2);
      else
        text += piece.front();
    }
    return text;
  }
  static const std::unordered_map<std::string, char> bytes = [] {
    std::unordered_map<std::string, char> of;
    const std::array<std::uint32_t, 256> characters = byte_characters();
    for (std::size_t b = 0; b < 256; ++b) {
      std::string spelled;
      nbit::utf8_append(spelled, characters[b]);
      of.emplace(spelled, static_cast<char>(static_cast<unsigned char>(b)));
    }
    return of;
  }();
  while (!piece.empty()) {
    const std::size_t n = std::max<std::size_t>(1, nbit::utf8_length(piece));
    const auto found = bytes.find(std::string(piece.substr(0, n)));
    if (found != bytes.end())
      text += found->second;
    else
      text += piece.substr(0, n);
    piece.remove_prefix(n);
  }
  return text;
}

inline nbit::result<tokenizer> tokenizer::from_json(const nbit::json_value& json) {
  const nbit::json_value* const m = json.find("model");
  const nbit::json_value* const vocabulary = m != nullptr ? m->find("vocab") : nullptr;
  const nbit::json_value* const merges = m != nullptr ? m->find("merges") : nullptr;
  if (vocabulary == nullptr || merges == nullptr || m->get<std::string_view>("type").value_or("") != "BPE")
    return nbit::make_error(nbit::errc::unsupported, "the tokenizer is not byte-pair encoding",
                            "model.type BPE with vocab and merges");
  tokenizer made;
  std::vector<std::string_view> pieces(vocabulary->size());
  for (std::size_t i = 0; i < vocabulary->size(); ++i) {
    const auto id = vocabulary->items()[i].get<std::uint32_t>();
    if (!id) return id.error().about(vocabulary->names()[i]);
    if (*id >= pieces.size() || pieces[*id].data() != nullptr)
      return nbit::make_error(nbit::errc::malformed, "token ids are not 0 to n - 1, each once")
          .about(vocabulary->names()[i])
          .with(*id);
    pieces[*id] = vocabulary->names()[i];
  }
  std::vector<bool> reserved(pieces.size());
  if (const nbit::json_value* const added = json.find("added_tokens"))
    for (const nbit::json_value& t : added->items())
      if (const auto id = t.get<std::uint32_t>("id"); id && *id < reserved.size())
        reserved[*id] = t.get<bool>("special").value_or(false);
  for (std::size_t i = 0; i < pieces.size(); ++i) made.add_piece(pieces[i], reserved[i]);
  for (const nbit::json_value& pair : merges->items()) {  // ["a", "b"], in older files "a b"
    const std::string_view both = pair.text();
    const std::size_t space = both.find(' ');
    if (pair.size() == 2)
      made.add_merge(pair.items()[0].text(), pair.items()[1].text());
    else if (space != std::string_view::npos)
      made.add_merge(both.substr(0, space), both.substr(space + 1));
    else
      return nbit::make_error(nbit::errc::malformed, "a merge is not a pair of pieces").at(pair.offset());
  }
  return made;
}

inline nbit::result<tokenizer> tokenizer::from_gguf(const nbit::gguf::file& file) {
  const auto kind = file.get<std::string_view>("tokenizer.ggml.model");
  if (!kind) return kind.error();
  if (*kind != "gpt2" && *kind != "llama")
    return nbit::make_error(nbit::errc::unsupported, "the engine does not know this tokenizer", "gpt2 or llama")
        .about(*kind);
  const auto pieces = file.get_array<std::string_view>("tokenizer.ggml.tokens");
  if (!pieces) return pieces.error();
  const auto types = file.get_array<std::int32_t>("tokenizer.ggml.token_type");  // 2 unknown, 3 control
  tokenizer made;
  made.spelling_ = *kind == "gpt2" ? spelling::byte_level : spelling::sentencepiece;
  for (const std::string_view piece : *pieces) {
    const std::size_t i = made.size();
    made.add_piece(piece, types && i < types->size() && ((*types)[i] == 2 || (*types)[i] == 3));
  }
  if (const auto merges = file.get_array<std::string_view>("tokenizer.ggml.merges"); merges && *kind == "gpt2")
    for (const std::string_view both : *merges)
      if (const std::size_t space = both.find(' '); space != std::string_view::npos)
        made.add_merge(both.substr(0, space), both.substr(space + 1));
  return made;
}

}  // namespace engine

#endif
