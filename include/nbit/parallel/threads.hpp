// nbit/parallel/threads.hpp — a small thread pool that models executor; opt-in, nbit.hpp does not include it.
// SPDX-License-Identifier: MIT
#ifndef NBIT_PARALLEL_THREADS_HPP
#define NBIT_PARALLEL_THREADS_HPP

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>

#include <nbit/base/config.hpp>

namespace nbit {

/// Runs pieces of work on `threads` threads, the calling one included. Pieces are taken from a shared counter, so which
/// thread runs a piece varies, but nbit's results do not depend on that. One call at a time; do not nest calls.
class thread_pool {
 public:
  /// threads = 0: one for each hardware thread.
  explicit thread_pool(unsigned threads = 0) {
    const unsigned available = std::thread::hardware_concurrency();
    const unsigned total = threads != 0 ? threads : available != 0 ? available : 1;
    count_ = total - 1;
    workers_ = std::make_unique<std::thread[]>(count_);
    for (unsigned i = 0; i < count_; ++i) workers_[i] = std::thread([this] { work(); });
  }
  ~thread_pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (unsigned i = 0; i < count_; ++i) workers_[i].join();
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  [[nodiscard]] unsigned size() const { return count_ + 1; }

  /// Runs f(0) ... f(n - 1) and returns after the last.
  template <class F>
  void operator()(std::size_t n, F&& f) {
    if (n == 0) return;
    if (n == 1 || count_ == 0) {
      for (std::size_t i = 0; i < n; ++i) f(i);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      call_ = [](const void* target, std::size_t i) {
        (*static_cast<std::remove_reference_t<F>*>(const_cast<void*>(target)))(i);
      };
      target_ = static_cast<const void*>(std::addressof(f));
      size_ = n;
      next_.store(0, std::memory_order_relaxed);
      busy_ = count_;
      ++round_;
    }
    wake_.notify_all();
    take();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void take() {
    for (std::size_t i = next_.fetch_add(1, std::memory_order_relaxed); i < size_;
         i = next_.fetch_add(1, std::memory_order_relaxed))
      call_(target_, i);
  }
  void work() {
    std::uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || round_ != seen; });
        if (stopping_) return;
        seen = round_;
      }
      take();
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::unique_ptr<std::thread[]> workers_;
  unsigned count_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  void (*call_)(const void*, std::size_t) = nullptr;
  const void* target_ = nullptr;
  std::size_t size_ = 0;
  std::atomic<std::size_t> next_{0};
  unsigned busy_ = 0;
  std::uint64_t round_ = 0;
  bool stopping_ = false;
};

}  // namespace nbit

#endif
