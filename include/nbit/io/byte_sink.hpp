// nbit/io/byte_sink.hpp — where a writer's bytes go: a file, memory, or anything of the caller's with a write().
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_BYTE_SINK_HPP
#define NBIT_IO_BYTE_SINK_HPP

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>

namespace nbit {

/// Takes bytes in order. After an error nothing more is written to it.
template <class Sink>
concept byte_sink = requires(Sink& to, std::span<const std::byte> bytes) {
  { to.write(bytes) } -> std::same_as<result<void>>;
};

inline namespace NBIT_TAG {

/// A sink that keeps everything in memory.
struct memory_sink {
  std::vector<std::byte> bytes;

  /// Appends; never fails.
  result<void> write(std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
