// A block's threads, side by side on the host, and the barriers where they meet.
//
// Under sanitizers each GPU thread of a block is a thread of the host, so that ThreadSanitizer finds a sync() that is
// missing. Elsewhere it is a context of its own on one thread, which is some ten times as fast: a barrier is a switch.
#ifndef NBIT_TESTS_CUDA_TEAM_HPP
#define NBIT_TESTS_CUDA_TEAM_HPP

#include <cstddef>
#include <vector>

#if defined(__has_feature)
#define NBIT_TESTS_HAS_FEATURE(x) __has_feature(x)
#else
#define NBIT_TESTS_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || NBIT_TESTS_HAS_FEATURE(thread_sanitizer) ||       \
    NBIT_TESTS_HAS_FEATURE(address_sanitizer) || !defined(__GLIBC__)
#define NBIT_TESTS_TEAM_OF_THREADS 1
#include <barrier>
#include <thread>
#else
#define NBIT_TESTS_TEAM_OF_THREADS 0
#include <setjmp.h>
#include <ucontext.h>
#endif

#include <nbit/cuda/context.hpp>

namespace nbit_test {

#if NBIT_TESTS_TEAM_OF_THREADS

using meeting = std::barrier<>;

/// Runs f(0) ... f(n - 1) side by side; they may wait for each other in a meeting.
template <class F>
void run_team(unsigned n, F f) {
  std::vector<std::jthread> team;
  for (unsigned i = 0; i < n; ++i) team.emplace_back([&f, i] { f(i); });
}

#else

/// The contexts of a team, one of which runs. Each is entered once by setcontext; from then on switches are jumps,
/// which leave the signal mask alone and so cost no system call. A warp goes on until all its lanes wait for the whole
/// team: the first warp is as far ahead of the others as the barriers let it.
class contexts {
 public:
  template <class F>
  contexts(unsigned n, F& f) : members_(n), stacks_(n * stack_bytes) {
    contexts* const outer = running();
    running() = this;
    function_ = &f, call_ = [](void* function, unsigned i) { (*static_cast<F*>(function))(i); };
    for (unsigned i = 0; i < n; ++i) {
      getcontext(&members_[i].first);
      members_[i].first.uc_stack.ss_sp = stacks_.data() + i * stack_bytes;
      members_[i].first.uc_stack.ss_size = stack_bytes;
      members_[i].first.uc_link = nullptr;
      makecontext(&members_[i].first, &contexts::enter, 0);
    }
    for (unsigned left = n; left != 0;) {
      left = 0;
      for (unsigned first = 0; first < n; first += nbit::cuda::warp_size) {
        const unsigned end = first + nbit::cuda::warp_size < n ? first + nbit::cuda::warp_size : n;
        for (bool ready = true; ready;) {
          ready = false;
          for (now_ = first; now_ < end; ++now_) {
            if (!members_[now_].done && !members_[now_].waits) go_on();
            ready = ready || (!members_[now_].done && !members_[now_].waits);
          }
        }
        for (unsigned i = first; i < end; ++i) left += !members_[i].done;
      }
    }
    running() = outer;
  }
  /// Nobody of the team waits for it any more.
  static void all_met() {
    for (member& m : running()->members_) m.waits = false;
  }
  /// Lets the others go on: those of the warp, or of the whole team.
  static void yield(bool whole_team) {
    contexts* const team = running();
    team->members_[team->now_].waits = whole_team;
    if (_setjmp(team->members_[team->now_].here) == 0) _longjmp(team->main_, 1);
  }

 private:
  static constexpr std::size_t stack_bytes = 64 * 1024;
  struct member {
    ucontext_t first;
    jmp_buf here;
    bool entered = false, done = false, waits = false;
  };
  static contexts*& running() {
    static thread_local contexts* team = nullptr;
    return team;
  }
  [[gnu::noinline]] void go_on() {
    if (_setjmp(main_) != 0) return;
    if (members_[now_].entered) _longjmp(members_[now_].here, 1);
    members_[now_].entered = true;
    setcontext(&members_[now_].first);
  }
  static void enter() {
    contexts* const team = running();
    team->call_(team->function_, team->now_);
    team->members_[team->now_].done = true;
    _longjmp(team->main_, 1);
  }

  std::vector<member> members_;
  std::vector<char> stacks_;
  jmp_buf main_;
  unsigned now_ = 0;
  void* function_ = nullptr;
  void (*call_)(void*, unsigned) = nullptr;
};

class meeting {
 public:
  explicit meeting(std::ptrdiff_t all) : all_(all) {}
  void arrive_and_wait() {
    const unsigned long phase = phase_;
    if (++here_ == all_) {
      here_ = 0, ++phase_;
      if (all_ > nbit::cuda::warp_size) contexts::all_met();
      return;
    }
    while (phase_ == phase) contexts::yield(all_ > nbit::cuda::warp_size);
  }

 private:
  std::ptrdiff_t all_, here_ = 0;
  unsigned long phase_ = 0;
};

template <class F>
void run_team(unsigned n, F f) {
  contexts(n, f);
}

#endif

}  // namespace nbit_test

#endif
