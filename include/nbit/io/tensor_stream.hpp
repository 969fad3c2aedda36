// nbit/io/tensor_stream.hpp — takes the declared tensors' bytes in order, each exactly once, and pads them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_TENSOR_STREAM_HPP
#define NBIT_IO_TENSOR_STREAM_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>
#include <nbit/io/byte_sink.hpp>

namespace nbit {

inline namespace NBIT_TAG {
namespace detail {
/// Errors: duplicate, in these words, when two tensors have one name.
template <class Tensor>
result<void> check_names(std::span<const Tensor> tensors, const char* twice) {
  std::vector<std::string_view> names;
  for (const Tensor& t : tensors) names.push_back(t.name);
  detail::sort(names.data(), names.size());
  for (std::size_t i = 1; i < names.size(); ++i)
    if (names[i] == names[i - 1]) return make_error(errc::duplicate, twice, "each name once").about(names[i]);
  return {};
}
}  // namespace detail

/// Takes the bytes of declared tensors in order and pads each with zeros to the alignment. A Declared has name and
/// bytes. Made by a writer's begin(); the writer, unchanged, and the sink outlive it.
template <class Declared, byte_sink Sink>
class tensor_stream {
 public:
  tensor_stream(std::span<const Declared> tensors, std::uint64_t alignment, Sink& to) noexcept
      : tensors_(tensors), alignment_(alignment), to_(&to) {}

  /// The tensor whose bytes come next, or nullptr when all are there.
  [[nodiscard]] const Declared* next() const noexcept { return at_ < tensors_.size() ? &tensors_[at_] : nullptr; }

  /// Writes the next tensor whole.  Errors: invalid_option when another tensor is next, shape, and those of the sink.
  result<void> write(std::string_view name, std::span<const std::byte> bytes) {
    if (next() == nullptr || done_ != 0 || next()->name != name)
      return make_error(errc::invalid_option, "this tensor is not the next one of the file",
                        "tensors in the order declared")
          .about(name);
    if (bytes.size() != next()->bytes)
      return make_error(errc::shape, "a tensor's bytes are more or fewer than its declared shape and type take")
          .about(name)
          .with(static_cast<std::int64_t>(bytes.size()));
    return pour(bytes);
  }

  /// Writes a piece of the next tensor, or of several; pieces may end anywhere.
  /// Errors: shape when the file has all its bytes already, and those of the sink.
  result<void> append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      if (next() == nullptr)
        return make_error(errc::shape, "more bytes than the declared tensors take")
            .with(static_cast<std::int64_t>(bytes.size()));
      const std::uint64_t room = next()->bytes - done_;
      const std::size_t n = bytes.size() < room ? bytes.size() : static_cast<std::size_t>(room);
      if (result<void> done = pour(bytes.first(n)); !done) return done;
      bytes = bytes.subspan(n);
    }
    return {};
  }

  /// Says that all is written.  Errors: missing, naming the first tensor whose bytes did not come.
  result<void> finish() {
    while (next() != nullptr && next()->bytes == 0)
      if (result<void> done = pour({}); !done) return done;
    if (next() != nullptr) return make_error(errc::missing, "a declared tensor was not written").about(next()->name);
    return {};
  }

 private:
  result<void> pour(std::span<const std::byte> bytes) {
    if (result<void> done = to_->write(bytes); !done) return done;
    done_ += bytes.size();
    if (done_ != next()->bytes) return {};
    static constexpr std::byte zeros[4096] = {};
    for (std::uint64_t left = (alignment_ - done_ % alignment_) % alignment_; left != 0;) {
      const std::uint64_t n = left < sizeof(zeros) ? left : sizeof(zeros);
      if (result<void> done = to_->write({zeros, static_cast<std::size_t>(n)}); !done) return done;
      left -= n;
    }
    done_ = 0;
    ++at_;
    return {};
  }

  std::span<const Declared> tensors_;
  std::uint64_t alignment_;
  Sink* to_;
  std::size_t at_ = 0;
  std::uint64_t done_ = 0;  // bytes of the next tensor already written
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
