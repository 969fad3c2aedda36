// nbit/io/imatrix_gguf.hpp — llama.cpp's importance matrix as a GGUF file, and either kind by its first bytes.
//
// Keys      general.type = "imatrix", imatrix.datasets (strings), imatrix.chunk_count, imatrix.chunk_size (u32)
// Tensors   NAME.in_sum2 F32 [columns, matrices]: sums of squares      NAME.counts F32 [1, matrices]
// Others (newer writers add NAME.in_sum) are left alone when reading.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_IMATRIX_GGUF_HPP
#define NBIT_IO_IMATRIX_GGUF_HPP

#include <array>
#include <bit>  // endian
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
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_byte_order.hpp>
#include <nbit/io/gguf_file.hpp>
#include <nbit/io/gguf_reader.hpp>
#include <nbit/io/gguf_writer.hpp>
#include <nbit/io/imatrix.hpp>
#include <nbit/io/imatrix_dat.hpp>

namespace nbit {

inline namespace NBIT_TAG {
namespace detail {

inline result<std::vector<float>> imatrix_floats(const gguf::tensor_info& t) {
  if (t.type.type != ggml_type::f32)
    return make_error(errc::malformed, "a tensor of an importance matrix has another type", "F32")
        .about(t.name)
        .at(t.offset)
        .with(static_cast<std::int64_t>(t.type.type));
  std::vector<std::byte> raw(t.bytes.begin(), t.bytes.end());
  if (t.order != std::endian::little) gguf::swap_byte_order(t.type.type, raw);
  std::vector<float> values(raw.size() / 4);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = load_le<float>(raw.data() + 4 * i);
  return values;
}

}  // namespace detail

/// Reads the importance matrix that a GGUF file holds.
/// Errors: missing (no sums at all, or sums without counts), malformed, shape, not_finite; the tensor is the subject.
[[nodiscard]] inline result<imatrix> read_imatrix_gguf(const gguf::file& from) {
  constexpr std::string_view sums = ".in_sum2", counts = ".counts";
  imatrix made;
  made.chunk_count = from.get<std::uint32_t>("imatrix.chunk_count").value_or(0u);
  made.chunk_size = from.get<std::uint32_t>("imatrix.chunk_size").value_or(0u);
  if (const auto names = from.get_array<std::string_view>("imatrix.datasets"))
    for (const std::string_view name : *names) made.datasets.emplace_back(name);
  for (const gguf::tensor_info& t : from.tensors()) {
    if (t.name.size() > counts.size() && t.name.substr(t.name.size() - counts.size()) == counts) {
      const std::string other = std::string(t.name.substr(0, t.name.size() - counts.size())).append(sums);
      if (!from.tensor(other)) return make_error(errc::missing, "counts without sums").about(t.name).at(t.offset);
    }
    if (t.name.size() <= sums.size() || t.name.substr(t.name.size() - sums.size()) != sums) continue;
    imatrix_entry e;
    e.name = t.name.substr(0, t.name.size() - sums.size());
    const auto count = from.tensor(std::string(e.name).append(counts));
    if (!count) return make_error(errc::missing, "sums without counts").about(t.name).at(t.offset);
    auto values = detail::imatrix_floats(t);
    if (!values) return values.error();
    auto numbers = detail::imatrix_floats(*count);
    if (!numbers) return numbers.error();
    e.sums = std::move(*values), e.counts = std::move(*numbers);
    if (auto ok = detail::check_imatrix_entry(e); !ok) return ok.error();
    if (t.cols() != e.cols())
      return make_error(errc::shape, "sums and counts of an importance matrix have other numbers of matrices",
                        "a row of sums for each count")
          .about(e.name)
          .at(t.offset)
          .with(static_cast<std::int64_t>(t.rows()));
    made.entries.push_back(std::move(e));
  }
  if (made.entries.empty())
    return make_error(errc::missing, "the file holds no importance matrix", "tensors NAME.in_sum2 and NAME.counts");
  return made;
}

/// Reads either kind of file.  Errors: those of gguf::parse, read_imatrix_gguf and read_imatrix_dat.
[[nodiscard]] inline result<imatrix> read_imatrix(std::span<const std::byte> bytes) {
  if (bytes.size() < 4 || as_text(bytes.first(4)) != "GGUF") return read_imatrix_dat(bytes);
  const result<gguf::file> file = gguf::parse(bytes);
  if (!file) return file.error();
  return read_imatrix_gguf(*file);
}

/// Writes the GGUF kind. Entries of a .dat file become sums of as many inputs as it has calls times chunk_size.
/// Errors: those of gguf::writer (names above 63 bytes with their endings) and of the sink.
template <byte_sink Sink>
result<void> write_imatrix_gguf(const imatrix& from, Sink& to) {
  gguf::writer w;
  std::vector<std::string_view> datasets(from.datasets.begin(), from.datasets.end());
  for (const result<void>& done :
       {w.set("general.type", std::string_view("imatrix")), w.set_array<std::string_view>("imatrix.datasets", datasets),
        w.set("imatrix.chunk_count", from.chunk_count), w.set("imatrix.chunk_size", from.chunk_size)})
    if (!done) return done;
  for (const imatrix_entry& e : from.entries) {
    if (auto ok = detail::check_imatrix_entry(e); !ok) return ok;
    const std::array<std::uint64_t, 2> sums{e.cols(), e.matrices()}, counts{1, e.matrices()};
    const std::size_t dims = e.matrices() == 1 ? 1 : 2;  // trailing ones are not written
    for (const auto& [end, ne] : {std::pair{".in_sum2", sums}, std::pair{".counts", counts}})
      if (auto done = w.declare(std::string(e.name).append(end), std::span(ne).first(dims), ggml_type::f32); !done)
        return done;
  }
  auto stream = w.begin(to);
  if (!stream) return stream.error();
  const float chunk = from.legacy && from.chunk_size != 0 ? static_cast<float>(from.chunk_size) : 1.0f;
  std::vector<std::byte> raw;
  for (const imatrix_entry& e : from.entries)
    for (const std::vector<float>* values : {&e.sums, &e.counts}) {
      raw.resize(values->size() * 4);
      for (std::size_t i = 0; i < values->size(); ++i) store_le((*values)[i] * chunk, raw.data() + 4 * i);
      if (auto done = stream->append(raw); !done) return done;
    }
  return stream->finish();
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
