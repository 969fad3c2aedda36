// nbit/io/safetensors_writer.hpp — writes safetensors: declare tensors, then stream their bytes in that order.
//
// The header comes first and is padded with spaces so that the data begins at a multiple of 8. Tensors follow one
// another without padding, as the format demands: declare wide types before narrow ones where sizes are odd, else a
// reader that wants aligned numbers has to copy. Into an atomic_file the result appears complete or not at all.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_SAFETENSORS_WRITER_HPP
#define NBIT_IO_SAFETENSORS_WRITER_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/byte_sink.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/json_writer.hpp>
#include <nbit/io/safetensors_dtype.hpp>
#include <nbit/io/safetensors_reader.hpp>
#include <nbit/io/tensor_stream.hpp>
#include <nbit/io/utf8.hpp>

namespace nbit::safetensors {

inline namespace NBIT_TAG {

/// A tensor that a writer will take, with the offset counted from the start of the data.
struct declared_tensor {
  std::string name;
  safetensors::dtype type = dtype::u8;
  std::vector<std::uint64_t> shape;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

/// Collects what a safetensors file will say, then writes its header.
class writer {
 public:
  /// Sets a string of the file's metadata, such as format = pt.
  void set_metadata(std::string_view name, std::string_view text) { metadata_.set(name, json_value::string(text)); }

  /// Takes over the metadata of a file, in its order.
  void copy_metadata(const file& from) {
    if (from.metadata() != nullptr) metadata_ = *from.metadata();
  }

  /// A writer of `count` of these tensors from `first` on, with the same metadata.
  [[nodiscard]] writer part(std::size_t first, std::size_t count) const {
    writer made;
    made.metadata_ = metadata_;
    for (std::size_t i = first; i < first + count; ++i) {
      made.tensors_.push_back(tensors_[i]);
      made.tensors_.back().offset = made.size_;
      made.size_ += tensors_[i].bytes;
    }
    return made;
  }

  /// Announces the next tensor; shape is outermost dimension first.
  /// Errors: invalid_option for a name that is reserved or no UTF-8, shape, overflow. Duplicates show in begin().
  result<void> declare(std::string_view name, dtype type, std::span<const std::uint64_t> shape) {
    if (name == "__metadata__")
      return make_error(errc::invalid_option, "a tensor has a reserved name", "any other name").about(name);
    for (std::string_view rest = name; !rest.empty();) {
      const std::size_t n = utf8_length(rest);
      if (n == 0) return make_error(errc::invalid_option, "a tensor's name is not UTF-8", "UTF-8").about(name);
      rest.remove_prefix(n);
    }
    std::uint64_t elements = 1, bits = 0, end = 0;
    for (const std::uint64_t n : shape)
      if (!checked_mul(elements, n, elements)) return too_large(name);
    if (!checked_mul(elements, info(type).bits, bits) || !checked_add(size_, bits / 8, end)) return too_large(name);
    if (bits % 8 != 0)
      return make_error(errc::shape, "a tensor does not end on a whole byte", "a multiple of 8 bits")
          .about(name)
          .with(static_cast<std::int64_t>(bits));
    tensors_.push_back({std::string(name), type, {shape.begin(), shape.end()}, bits / 8, size_});
    size_ = end;
    return {};
  }

  /// All tensors declared so far.
  [[nodiscard]] std::span<const declared_tensor> tensors() const noexcept { return {tensors_.data(), tensors_.size()}; }

  /// Writes the header; the stream takes the rest.  Errors: duplicate, overflow (header), and those of the sink.
  template <byte_sink Sink>
  [[nodiscard]] result<tensor_stream<declared_tensor, Sink>> begin(Sink& to) const {
    if (const result<void> done = nbit::detail::check_names(tensors(), "a tensor is declared twice"); !done)
      return done.error();

    json_value header = json_value::object();
    if (metadata_.size() != 0) header.add("__metadata__", metadata_);
    for (const declared_tensor& t : tensors_) {
      json_value entry = json_value::object(), shape = json_value::array(), range = json_value::array();
      for (const std::uint64_t n : t.shape) shape.push(json_value::number(n));
      range.push(json_value::number(t.offset));
      range.push(json_value::number(t.offset + t.bytes));
      entry.add("dtype", json_value::string(info(t.type).name));
      entry.add("shape", std::move(shape));
      entry.add("data_offsets", std::move(range));
      header.add(t.name, std::move(entry));
    }
    std::string text = json_text(header);
    text.append((8 - text.size() % 8) % 8, ' ');
    if (text.size() > longest_header)
      return make_error(errc::overflow, "header length", "at most 100000000 bytes")
          .with(static_cast<std::int64_t>(text.size()));
    std::byte length[8];
    store_le(static_cast<std::uint64_t>(text.size()), length);
    if (result<void> done = to.write(length); !done) return done.error();
    if (result<void> done = to.write(nbit::as_bytes(text)); !done) return done.error();
    return tensor_stream<declared_tensor, Sink>(tensors_, 1, to);
  }

 private:
  static error too_large(std::string_view name) {
    return make_error(errc::overflow, "a tensor's size does not fit 64 bits").about(name);
  }

  json_value metadata_ = json_value::object();
  std::vector<declared_tensor> tensors_;
  std::uint64_t size_ = 0;
};

}  // namespace NBIT_TAG
}  // namespace nbit::safetensors

#endif
