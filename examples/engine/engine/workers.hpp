// engine/workers.hpp — any executor behind two pointers, so that a virtual function can be handed one.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_WORKERS_HPP
#define ENGINE_WORKERS_HPP

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>

#include <nbit/parallel/executor.hpp>

namespace engine {

/// Refers to an executor (a thread pool, an adapter of OpenMP) that outlives it; by default, the calling thread.
class workers {
 public:
  workers() = default;
  template <nbit::executor E>
    requires(!std::same_as<std::remove_const_t<E>, workers>)
  workers(E& ex)
      : state_(const_cast<void*>(static_cast<const void*>(std::addressof(ex)))),
        run_([](void* state, std::size_t n, void* f, call one) {
          (*static_cast<E*>(state))(n, [f, one](std::size_t i) { one(f, i); });
        }) {}

  /// Runs f(0) ... f(n - 1) and returns when all are done.
  template <class F>
  void operator()(std::size_t n, F&& f) const {
    if (run_ == nullptr) {
      for (std::size_t i = 0; i < n; ++i) f(i);
      return;
    }
    using body = std::remove_reference_t<F>;
    void* const that = const_cast<void*>(static_cast<const void*>(std::addressof(f)));
    run_(state_, n, that, [](void* p, std::size_t i) { (*static_cast<body*>(p))(i); });
  }

 private:
  using call = void (*)(void*, std::size_t);
  void* state_ = nullptr;
  void (*run_)(void*, std::size_t, void*, call) = nullptr;
};

/// Runs f(r) for every row, in strips of 16 rows: one row is too little work for a thread to fetch.
template <class F>
void for_rows(const workers& pool, std::size_t rows, F&& f) {
  constexpr std::size_t strip = 16;
  pool((rows + strip - 1) / strip, [&](std::size_t s) {
    for (std::size_t r = s * strip; r < std::min(rows, (s + 1) * strip); ++r) f(r);
  });
}

}  // namespace engine

#endif
