// nbit/io/safetensors_index.hpp — a model in several safetensors files and the index that says which tensor is where.
//
// model.safetensors.index.json   {"metadata": {"total_size": BYTES, ...}, "weight_map": {"tensor": "file", ...}}
// Files lie beside the index. Every name of the map must be in its file, every tensor of a file in the map, no tensor
// in two files. total_size is kept as it is and not believed: writers of the field count shared tensors differently.
// Ref: huggingface_hub's and transformers' save functions, of 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_SAFETENSORS_INDEX_HPP
#define NBIT_IO_SAFETENSORS_INDEX_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/json_reader.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/json_writer.hpp>
#include <nbit/io/mapped_file.hpp>
#include <nbit/io/safetensors_reader.hpp>
#include <nbit/io/safetensors_writer.hpp>

namespace nbit::safetensors {

inline namespace NBIT_TAG {

/// What an index says.
class shard_index {
 public:
  /// Reads the text of an index.
  /// Errors: those of json_parse; missing, malformed (a map that is no object of plain file names).
  [[nodiscard]] static result<shard_index> parse(std::string_view text) {
    result<json_value> json = json_parse(text, {.bytes = longest_header});
    if (!json) return json.error();
    shard_index made;
    made.json_ = std::move(*json);
    const json_value* const map = std::as_const(made.json_).find("weight_map");
    if (map == nullptr) return make_error(errc::missing, "the index lacks its map of tensors").about("weight_map");
    if (!map->is(json_kind::object))
      return make_error(errc::malformed, "the map of tensors is no object", "names of tensors and files")
          .about("weight_map")
          .at(map->offset());
    if (const json_value* const m = std::as_const(made.json_).find("metadata");
        m != nullptr && !m->is(json_kind::object))
      return make_error(errc::malformed, "the metadata of an index is no object", "an object")
          .about("metadata")
          .at(m->offset());
    std::vector<std::string_view> files;
    for (std::size_t i = 0; i < map->size(); ++i) {
      const json_value& v = map->items()[i];
      if (!v.is(json_kind::string) || !plain(v.text()))
        return make_error(errc::malformed, "a tensor's file is no plain file name",
                          "the name of a file beside the index")
            .about(map->names()[i])
            .at(v.offset());
      files.push_back(v.text());
    }
    nbit::detail::sort(files.data(), files.size());
    for (std::size_t i = 0; i < files.size(); ++i)
      if (i == 0 || files[i] != files[i - 1]) made.files_.emplace_back(files[i]);
    return made;
  }

  /// The files that the map names, each once, sorted.
  [[nodiscard]] std::span<const std::string> files() const noexcept { return {files_.data(), files_.size()}; }
  /// Tensors of the map.
  [[nodiscard]] std::size_t size() const noexcept { return map().size(); }
  /// The map: names() are tensors, the text of items() files.
  [[nodiscard]] const json_value& map() const noexcept { return *json_.find("weight_map"); }
  /// The whole index, with what nobody here knows.
  [[nodiscard]] const json_value& json() const noexcept { return json_; }
  /// metadata.total_size, if there is such a whole number; else 0.
  [[nodiscard]] std::uint64_t total_size() const {
    const json_value* const m = json_.find("metadata");
    const json_value* const size = m == nullptr ? nullptr : m->find("total_size");
    return size == nullptr ? 0 : size->get<std::uint64_t>().value_or(std::uint64_t{0});
  }

 private:
  /// A name that stays in the folder on every system.
  static bool plain(std::string_view name) {
    if (name.empty() || name == "." || name == "..") return false;
    for (const char c : name)
      if (c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20) return false;
    return true;
  }

  json_value json_;
  std::vector<std::string> files_;
};

/// The model in several files. Owns them; views point into them.
class shard_set {
 public:
  [[nodiscard]] const shard_index& index() const noexcept { return index_; }
  /// The files, in the order of index().files().
  [[nodiscard]] std::span<const file> shards() const noexcept { return {shards_.data(), shards_.size()}; }
  /// All tensors: those of the first file, then of the next. Offsets count from the start of their file.
  [[nodiscard]] std::span<const tensor_info> tensors() const noexcept { return {tensors_.data(), tensors_.size()}; }
  /// Bytes of all tensors.
  [[nodiscard]] std::uint64_t size() const noexcept {
    std::uint64_t n = 0;
    for (const tensor_info& t : tensors_) n += t.bytes.size();
    return n;
  }

  /// A tensor by name.  Errors: missing.  Cost: a binary search in each file.
  [[nodiscard]] result<tensor_info> tensor(std::string_view name) const {
    for (const file& f : shards_)
      if (auto t = f.tensor(name)) return t;
    return make_error(errc::missing, "no file of the model has this tensor").about(name);
  }

  /// Joins an index with its files, which are in the order of index.files().
  /// Errors: missing (a tensor that its file lacks, or that the index lacks), duplicate (a tensor in two files),
  /// malformed (another number of files, a tensor in another file than the index says).
  [[nodiscard]] static result<shard_set> join(shard_index index, std::vector<file> files) {
    if (files.size() != index.files().size())
      return make_error(errc::malformed, "an index is joined with another number of files than it names")
          .with(static_cast<std::int64_t>(files.size()));
    shard_set made;
    made.index_ = std::move(index), made.shards_ = std::move(files);
    struct place {
      std::string_view name;
      std::size_t file;
    };
    std::vector<place> places;
    for (std::size_t i = 0; i < made.shards_.size(); ++i)
      for (const tensor_info& t : made.shards_[i].tensors()) {
        made.tensors_.push_back(t);
        places.push_back({t.name, i});
      }
    nbit::detail::sort(places.data(), places.size(), [](const place& a, const place& b) { return a.name < b.name; });
    for (std::size_t i = 1; i < places.size(); ++i)
      if (places[i].name == places[i - 1].name)
        return make_error(errc::duplicate, "a tensor is in two files of the model", "each name once")
            .about(places[i].name);
    const json_value& map = made.index_.map();
    std::vector<std::size_t> order(map.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto names = map.names();
    nbit::detail::sort(order.data(), order.size(),
                       [names](std::size_t a, std::size_t b) { return names[a] < names[b]; });
    std::size_t at = 0;  // both lists rise
    const auto unlisted = [&places](std::size_t place) {
      return make_error(errc::missing, "the index lacks a tensor of its files", "every tensor in weight_map")
          .about(places[place].name);
    };
    for (const std::size_t i : order) {
      if (at < places.size() && places[at].name < names[i]) return unlisted(at);
      if (at == places.size() || places[at].name != names[i])
        return make_error(errc::missing, "a tensor of the index is in none of its files").about(names[i]);
      if (made.index_.files()[places[at].file] != map.items()[i].text())
        return make_error(errc::malformed, "a tensor is in another file than the index says", "the file of weight_map")
            .about(names[i]);
      ++at;
    }
    if (at < places.size()) return unlisted(at);
    return made;
  }

  /// Opens an index and the files beside it.  Errors: those of mapped_file::open, shard_index::parse, open and join.
  [[nodiscard]] static result<shard_set> open(const std::string& index_path) {
    const result<mapped_file> text = mapped_file::open(index_path);
    if (!text) return text.error();
    result<shard_index> index = shard_index::parse(as_text(text->bytes()));
    if (!index) return index.error();
    const std::size_t slash = index_path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : index_path.substr(0, slash + 1);
    std::vector<file> files;
    for (const std::string& name : index->files()) {
      result<file> f = safetensors::open(folder + name);
      if (!f) return f.error().subject[0] == '\0' ? f.error().about(name) : f.error();
      files.push_back(std::move(*f));
    }
    return join(std::move(*index), std::move(files));
  }

 private:
  shard_index index_;
  std::vector<file> shards_;
  std::vector<tensor_info> tensors_;
};

/// "model-00002-of-00003.safetensors" for no = 1, count = 3.
[[nodiscard]] inline std::string shard_name(std::string_view prefix, std::size_t no, std::size_t count) {
  const auto five = [](std::size_t n) {
    const std::string digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  return std::string(prefix) + "-" + five(no + 1) + "-of-" + five(count) + ".safetensors";
}

/// One writer for each file of a model whose files hold at most so many bytes of tensors, in their order. A tensor that
/// is larger has a file of its own.
[[nodiscard]] inline std::vector<writer> split(const writer& all, std::uint64_t most_bytes) {
  const std::span<const declared_tensor> tensors = all.tensors();
  std::vector<writer> parts;
  std::size_t first = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (i != first && (bytes > most_bytes || tensors[i].bytes > most_bytes - bytes)) {
      parts.push_back(all.part(first, i - first));
      first = i, bytes = 0;
    }
    bytes += tensors[i].bytes;
  }
  parts.push_back(all.part(first, tensors.size() - first));
  return parts;
}

/// The index of these files as transformers writes it: names sorted, total_size their bytes. `before` is an older index
/// whose other members and metadata are kept, or null.
[[nodiscard]] inline json_value index_json(std::span<const writer> parts, std::string_view prefix,
                                           const json_value& before = {}) {
  struct place {
    std::string_view name;
    std::size_t file;
  };
  std::vector<place> places;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < parts.size(); ++i)
    for (const declared_tensor& t : parts[i].tensors()) {
      places.push_back({t.name, i});
      total += t.bytes;
    }
  nbit::detail::sort(places.data(), places.size(), [](const place& a, const place& b) { return a.name < b.name; });
  json_value to = before.is(json_kind::object) ? before : json_value::object();
  if (to.find("metadata") == nullptr) to.set("metadata", json_value::object());
  to.find("metadata")->set("total_size", json_value::number(total));
  json_value map = json_value::object();
  for (const place& p : places) map.add(p.name, json_value::string(shard_name(prefix, p.file, parts.size())));
  to.set("weight_map", std::move(map));
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit::safetensors

#endif
