// nbit/parallel/executor.hpp — how work reaches threads: any callable ex(n, f) that runs f(0) ... f(n-1) and returns
// when done.
//
// Nothing in nbit creates a thread (but parallel/threads.hpp, which is opt-in). Work is cut by shape alone, never by
// the number of threads, so results do not depend on the executor.
// SPDX-License-Identifier: MIT
#ifndef NBIT_PARALLEL_EXECUTOR_HPP
#define NBIT_PARALLEL_EXECUTOR_HPP

#include <concepts>
#include <cstddef>

#include <nbit/base/config.hpp>

namespace nbit {

/// Something that runs f(i) for every i below n, in any order, on any thread, and returns after the last.
template <class E>
concept executor = requires(E& ex, void (*f)(std::size_t)) { ex(std::size_t{1}, f); };

/// Runs everything on the calling thread, in order.
struct serial {
  template <class F>
  NBIT_INLINE void operator()(std::size_t n, F&& f) const {
    for (std::size_t i = 0; i < n; ++i) f(i);
  }
};

}  // namespace nbit

#endif
