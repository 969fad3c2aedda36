// nbit/io/statistics_file.hpp — calibration statistics of many layers in one safetensors file.
//
//   __metadata__  {"format": "nbit-statistics", "version": "2"}, and what the program adds (model, text, ...)
//   NAME.counts   U64 [6]   columns, tokens, sequences, blocks, tokens pending, 1 if magnitudes are known
//   NAME.sums     F64 [3]   of blocks' squared lengths, of their squared products, of tokens' squared products
//   NAME.gram     F64 or F32 [cols (cols + 1) / 2]   the lower triangle of X^T X, row after row
//                 or F32 [cols (cols + 1) / 2, 2]    the same in two floats each (gram_storage::two_f32)
//   NAME.sum_abs  F64 [cols]       NAME.max_abs  F32 [cols]
//   NAME.sampled  F64 [6 + 3 n]    by sequence, n = pairs of up to 32 sampled inputs: tokens in sequences that have
//   ended,
//                                  in the open one, sequences; the three sums, then the pairs' sums of sequence_sums
//   NAME.pending  F32 [tokens pending, cols]         the panel that is not multiplied yet
//
// Nothing is rounded: statistics that were written and read again go on with the stream as if nothing had happened, to
// the last bit. Version 1 has no NAME.sampled: how alike the tokens of its sequences are is not known. Layers before
// their first token have counts and sums alone. Other tensors are ignored.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_STATISTICS_FILE_HPP
#define NBIT_IO_STATISTICS_FILE_HPP

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/io/byte_sink.hpp>
#include <nbit/io/safetensors_reader.hpp>
#include <nbit/io/safetensors_writer.hpp>

namespace nbit {

/// Statistics of one layer's inputs under the name of the layer.
struct named_statistics {
  std::string_view name;
  const hessian* statistics = nullptr;
};

inline namespace NBIT_TAG {
namespace detail {

inline constexpr const char* statistics_parts[] = {".counts",  ".sums",    ".gram",   ".sum_abs",
                                                   ".max_abs", ".pending", ".sampled"};

/// Numbers from the bytes of a tensor, which may lie at any address.
template <class T>
inline std::vector<T> numbers_of(const safetensors::tensor_info& t) {
  std::vector<T> out(t.bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::array<std::byte, sizeof(T)> raw{};
    for (std::size_t b = 0; b < sizeof(T); ++b)
      raw[std::endian::native == std::endian::little ? b : sizeof(T) - 1 - b] = t.bytes[i * sizeof(T) + b];
    out[i] = std::bit_cast<T>(raw);
  }
  return out;
}

/// Little-endian bytes of numbers.
template <class T>
inline std::vector<std::byte> bytes_of(std::span<const T> numbers) {
  std::vector<std::byte> out(numbers.size_bytes());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto raw = std::bit_cast<std::array<std::byte, sizeof(T)>>(numbers[i]);
    for (std::size_t b = 0; b < sizeof(T); ++b)
      out[i * sizeof(T) + b] = raw[std::endian::native == std::endian::little ? b : sizeof(T) - 1 - b];
  }
  return out;
}

inline error bad_statistics(const safetensors::tensor_info& t, const char* what, const char* allowed) {
  return make_error(errc::malformed, what, allowed).about(t.name).at(t.offset);
}

inline result<safetensors::tensor_info> statistics_part(const safetensors::file& from, const std::string& name,
                                                        std::string_view part, safetensors::dtype type,
                                                        std::uint64_t elements) {
  auto t = from.tensor(name + std::string(part));
  if (!t) return t.error();
  if (t->type != type) return bad_statistics(*t, "statistics have another type", "see nbit/io/statistics_file.hpp");
  if (t->elements() != elements)
    return bad_statistics(*t, "statistics have another number of elements", "as many as the layer's columns ask for")
        .with(static_cast<std::int64_t>(t->elements()));
  return t;
}

template <class T>
inline result<void> finite_numbers(const safetensors::tensor_info& t, std::span<const T> v, bool negative) {
  for (std::size_t i = 0; i < v.size(); ++i)
    if (!(v[i] - v[i] == T(0)) || (!negative && v[i] < T(0)))
      return bad_statistics(t, "a sum is negative, infinite or no number", "finite numbers")
          .with(static_cast<std::int64_t>(i));
  return {};
}

/// What a sum is stored as, and how many of them.
template <class Sum>
using number_in_file = std::conditional_t<std::is_same_v<Sum, double>, double, float>;
template <class Sum>
inline constexpr std::size_t numbers_in = sizeof(Sum) / sizeof(number_in_file<Sum>);

template <class Sum>
inline result<void> read_triangle(const safetensors::tensor_info& t, std::size_t cols, Sum* to) {
  using number = number_in_file<Sum>;
  const std::vector<number> sums = numbers_of<number>(t);
  if (auto fine = finite_numbers<number>(t, sums, true); !fine) return fine;
  const number* from = sums.data();
  for (std::size_t r = 0; r < cols; ++r) {
    std::memcpy(static_cast<void*>(to + gram_triangle::at(r, 0)), from, (r + 1) * sizeof(Sum));
    from += (r + 1) * numbers_in<Sum>;
    if (from[-static_cast<std::ptrdiff_t>(numbers_in<Sum>)] < number(0))
      return bad_statistics(t, "a mean square is negative", "0 or more");
  }
  return {};
}

/// Reads NAME.sampled into sums that are allocated.
inline result<void> read_sampled(const safetensors::tensor_info& t, std::uint64_t tokens, sequence_sums& to) {
  const std::vector<double> v = numbers_of<double>(t);
  if (auto fine = finite_numbers<double>(t, v, true); !fine) return fine;
  for (std::size_t k = 0; k < 6; ++k)
    if (v[k] < 0 || (k < 3 && v[k] > static_cast<double>(tokens)))
      return bad_statistics(t, "counts of sequences contradict one another", "0 up to the tokens");
  to.tokens = static_cast<std::uint64_t>(v[0]), to.open_tokens = static_cast<std::uint64_t>(v[1]);
  to.count = static_cast<std::uint64_t>(v[2]);
  to.lengths_square = v[3], to.square = v[4], to.token_square = v[5];
  for (std::size_t k = 6; k < v.size(); ++k) to.sums[k - 6] = v[k];
  return {};
}

}  // namespace detail

/// Writes statistics; metadata are pairs of a name and a text.
/// Errors: duplicate, invalid_option (a name that is no UTF-8), out_of_memory, and those of the sink.
template <byte_sink Sink>
[[nodiscard]] result<void> write_statistics(std::span<const named_statistics> layers, Sink& to,
                                            std::span<const std::pair<std::string, std::string>> metadata = {}) {
  using safetensors::dtype;
  safetensors::writer file;
  file.set_metadata("format", "nbit-statistics");
  file.set_metadata("version", "2");
  for (const auto& [name, text] : metadata) file.set_metadata(name, text);
  for (const named_statistics& layer : layers) {
    const detail::gram_sums& g = detail::gram_access::of(*layer.statistics);
    const std::string name(layer.name);
    const auto declare = [&](int part, dtype type, std::initializer_list<std::uint64_t> shape) {
      return file.declare(name + detail::statistics_parts[part], type, std::span(shape.begin(), shape.size()));
    };
    const std::uint64_t cols = g.cols;
    if (auto done = declare(0, dtype::u64, {6}); !done) return done;
    if (auto done = declare(1, dtype::f64, {3}); !done) return done;
    if (g.empty()) continue;
    const dtype sums = g.storage == gram_storage::f64 ? dtype::f64 : dtype::f32;
    if (auto done = g.storage == gram_storage::two_f32 ? declare(2, sums, {cols * (cols + 1) / 2, 2})
                                                       : declare(2, sums, {cols * (cols + 1) / 2});
        !done)
      return done;
    if (auto done = declare(3, dtype::f64, {cols}); !done) return done;
    if (auto done = declare(4, dtype::f32, {cols}); !done) return done;
    if (auto done = declare(5, dtype::f32, {g.pending, cols}); !done) return done;
    if (auto done = declare(6, dtype::f64, {6 + g.by_sequence.sums.size()}); !done) return done;
  }
  auto stream = file.begin(to);
  if (!stream) return stream.error();
  for (const named_statistics& layer : layers) {
    const detail::gram_sums& g = detail::gram_access::of(*layer.statistics);
    const auto put = [&](auto numbers) { return stream->append(detail::bytes_of(numbers)); };
    const std::uint64_t counts[6] = {g.cols, g.tokens, g.sequences, g.blocks, g.pending, g.magnitudes ? 1u : 0u};
    const double sums[3] = {g.block_tokens_square, g.block_square, g.token_square};
    if (auto done = put(std::span<const std::uint64_t>(counts)); !done) return done;
    if (auto done = put(std::span<const double>(sums)); !done) return done;
    if (g.empty()) continue;
    for (std::size_t r = 0; r < g.cols; ++r)
      if (auto done =
              detail::with_sums(g,
                                [&](const auto* s) {
                                  using sum = std::remove_cvref_t<decltype(*s)>;
                                  std::vector<detail::number_in_file<sum>> row((r + 1) * detail::numbers_in<sum>);
                                  std::memcpy(row.data(), s + gram_triangle::at(r, 0), (r + 1) * sizeof(sum));
                                  return put(std::span<const detail::number_in_file<sum>>(row));
                                });
          !done)
        return done;
    if (auto done = put(g.sum_abs.span().first(g.cols)); !done) return done;
    if (auto done = put(g.max_abs.span().first(g.cols)); !done) return done;
    std::vector<float> token(g.cols);
    for (std::size_t t = 0; t < g.pending; ++t) {
      for (std::size_t c = 0; c < g.cols; ++c) token[c] = g.panel[gram_panel::at(t, c)];
      if (auto done = put(std::span<const float>(token)); !done) return done;
    }
    const detail::sequence_sums& q = g.by_sequence;
    const double sampled[6] = {static_cast<double>(q.tokens),
                               static_cast<double>(q.open_tokens),
                               static_cast<double>(q.count),
                               q.lengths_square,
                               q.square,
                               q.token_square};
    if (auto done = put(std::span<const double>(sampled)); !done) return done;
    if (auto done = put(q.sums.span()); !done) return done;
  }
  return stream->finish();
}

/// The layers of a file of statistics, in its order.  Errors: malformed when the file is of another format or version.
[[nodiscard]] inline result<std::vector<std::string>> statistics_names(const safetensors::file& from) {
  const json_value* const facts = from.metadata();
  const json_value* const format = facts != nullptr ? facts->find("format") : nullptr;
  const json_value* const version = facts != nullptr ? facts->find("version") : nullptr;
  if (format == nullptr || !format->is(json_kind::string) || format->text() != "nbit-statistics")
    return make_error(errc::malformed, "the file does not hold statistics", "metadata format = nbit-statistics");
  if (version == nullptr || !version->is(json_kind::string) || (version->text() != "1" && version->text() != "2"))
    return make_error(errc::unsupported, "the statistics have another version", "1 or 2");
  std::vector<std::string> names;
  for (const safetensors::tensor_info& t : from.tensors())
    if (t.name.ends_with(".counts")) names.emplace_back(t.name.substr(0, t.name.size() - 7));
  return names;
}

/// The statistics of one layer.
/// Errors: missing, malformed (a type, a size or a number that statistics cannot have; with its offset), out_of_memory.
[[nodiscard]] inline result<hessian> read_statistics(const safetensors::file& from, const std::string& name) {
  using safetensors::dtype;
  const auto counts_part = detail::statistics_part(from, name, ".counts", dtype::u64, 6);
  if (!counts_part) return counts_part.error();
  const auto sums_part = detail::statistics_part(from, name, ".sums", dtype::f64, 3);
  if (!sums_part) return sums_part.error();
  const std::vector<std::uint64_t> counts = detail::numbers_of<std::uint64_t>(*counts_part);
  const std::vector<double> sums = detail::numbers_of<double>(*sums_part);
  const std::uint64_t cols = counts[0], pending = counts[4];
  if (cols > (std::uint64_t{1} << 28) || pending >= gram_panel::tokens || pending > counts[1] || counts[5] > 1 ||
      counts[1] > (std::uint64_t{1} << 53))
    return detail::bad_statistics(*counts_part, "counts of statistics contradict one another",
                                  "up to 2^28 columns, up to 511 tokens pending, 0 or 1 for magnitudes");
  if (auto fine = detail::finite_numbers<double>(*sums_part, std::span<const double>(sums).first(2), false); !fine)
    return fine.error();
  if (!(sums[2] - sums[2] == 0.0)) return detail::bad_statistics(*sums_part, "a sum is no number", "finite numbers");
  const auto gram_part = from.tensor(name + ".gram");
  if (!gram_part && counts[1] == 0) {
    hessian none(static_cast<std::size_t>(cols));
    detail::gram_access::of(none).sequences = counts[2];
    return none;
  }
  if (!gram_part) return gram_part.error();
  const bool wide = gram_part->type == dtype::f64, two = !wide && gram_part->elements() == cols * (cols + 1);
  // Sizes are compared before anything is taken from memory: the file holds as much as will be allocated.
  const auto triangle =
      detail::statistics_part(from, name, ".gram", wide ? dtype::f64 : dtype::f32, cols * (cols + 1) / (two ? 1 : 2));
  if (!triangle) return triangle.error();
  const auto abs_part = detail::statistics_part(from, name, ".sum_abs", dtype::f64, cols);
  if (!abs_part) return abs_part.error();
  const auto max_part = detail::statistics_part(from, name, ".max_abs", dtype::f32, cols);
  if (!max_part) return max_part.error();
  const auto pending_part = detail::statistics_part(from, name, ".pending", dtype::f32, pending * cols);
  if (!pending_part) return pending_part.error();

  auto made = hessian::make(static_cast<std::size_t>(cols), wide  ? gram_storage::f64
                                                            : two ? gram_storage::two_f32
                                                                  : gram_storage::f32);
  if (!made) return made.error();
  detail::gram_sums& g = detail::gram_access::of(*made);
  if (auto done = detail::with_sums(g, [&](auto* to) { return detail::read_triangle(*triangle, g.cols, to); }); !done)
    return done.error();
  const std::vector<double> sum_abs = detail::numbers_of<double>(*abs_part);
  const std::vector<float> max_abs = detail::numbers_of<float>(*max_part);
  const std::vector<float> panel = detail::numbers_of<float>(*pending_part);
  if (auto fine = detail::finite_numbers<double>(*abs_part, sum_abs, false); !fine) return fine.error();
  if (auto fine = detail::finite_numbers<float>(*max_part, max_abs, false); !fine) return fine.error();
  for (const float v : panel)
    if (!(abs(v) <= 1e18f))
      return detail::bad_statistics(*pending_part, "an activation is NaN, infinite or too large", "|x| <= 1e18");
  if (from.tensor(name + ".sampled")) {  // version 1 has none
    const auto sampled = detail::statistics_part(from, name, ".sampled", dtype::f64, 6 + g.by_sequence.sums.size());
    if (!sampled) return sampled.error();
    if (auto done = detail::read_sampled(*sampled, counts[1], g.by_sequence); !done) return done.error();
  }
  for (std::size_t c = 0; c < g.cols; ++c) g.sum_abs[c] = sum_abs[c], g.max_abs[c] = max_abs[c];
  for (std::size_t t = 0; t < pending; ++t)
    for (std::size_t c = 0; c < g.cols; ++c) g.panel[gram_panel::at(t, c)] = panel[t * g.cols + c];
  g.pending = static_cast<std::size_t>(pending), g.tokens = counts[1], g.sequences = counts[2], g.blocks = counts[3];
  g.magnitudes = counts[5] == 1;
  g.block_tokens_square = sums[0], g.block_square = sums[1], g.token_square = sums[2];
  return made;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
