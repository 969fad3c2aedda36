// Runs kernel bodies of nbit/cuda on the host, blocks one after another, with barriers where a GPU has them
// (tests/cuda/team.hpp), and tensor-core fragments multiplied lane by lane.
#ifndef NBIT_TESTS_CUDA_EMULATOR_HPP
#define NBIT_TESTS_CUDA_EMULATOR_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <nbit/base/float16.hpp>
#include <nbit/cuda/context.hpp>

#include "cuda/team.hpp"

namespace nbit_test {

/// What the lanes of a warp show each other.
struct warp_board {
  meeting all{nbit::cuda::warp_size};
  std::uint64_t word[nbit::cuda::warp_size] = {};
  std::uint32_t a[nbit::cuda::warp_size][4] = {}, b[nbit::cuda::warp_size][2] = {};
};

struct block_board {
  explicit block_board(unsigned threads, std::size_t bytes)
      : all(static_cast<std::ptrdiff_t>(threads)), memory(bytes / 16 + 1) {
    for (unsigned i = 0; i < threads / nbit::cuda::warp_size; ++i) warps.push_back(std::make_unique<warp_board>());
    spoil();
  }
  /// What a block finds in its shared memory: nothing to rely on.
  void spoil() { std::memset(memory.data(), 0xff, memory.size() * sizeof(line)); }
  struct alignas(16) line {
    std::byte bytes[16];
  };
  meeting all;
  std::vector<line> memory;
  std::vector<std::unique_ptr<warp_board>> warps;
};

/// How many of each a thread met in a block.
struct barriers {
  unsigned syncs = 0, waits = 0, commits = 0;
};

/// What every thread of every block forgets, by its number in the order of the kernel; `late`: a wait that lets one
/// group too many be on its way.
struct forgotten {
  static constexpr unsigned none = ~0u;
  unsigned sync = none, wait = none, late = none, commit = none;
};

/// nbit::cuda::thread_context's interface over a block_board.
class host_context {
 public:
  host_context(block_board& board, unsigned thread, unsigned block, unsigned block_y, unsigned blocks,
               forgotten without)
      : board_(board), thread_(thread), block_(block), block_y_(block_y), blocks_(blocks), without_(without) {}
  host_context(const host_context&) = delete;
  host_context& operator=(const host_context&) = delete;

  unsigned thread() const { return thread_; }
  unsigned block() const { return block_; }
  unsigned block_y() const { return block_y_; }
  unsigned blocks() const { return blocks_; }
  std::byte* shared() const { return board_.memory[0].bytes; }
  void sync() {
    if (met_.syncs++ != without_.sync) board_.all.arrive_and_wait();
  }
  /// The barriers met so far.
  barriers met() const { return met_; }

  template <class T>
  T shuffle_xor(T v, int mask) {
    return shuffle(v, lane() ^ static_cast<unsigned>(mask));
  }
  template <class T>
  T shuffle(T v, unsigned from) {
    static_assert(sizeof(T) <= 8);
    warp_board& warp = mine();
    std::memcpy(&warp.word[lane()], &v, sizeof v);
    warp.all.arrive_and_wait();
    T other;
    std::memcpy(&other, &warp.word[from], sizeof other);
    warp.all.arrive_and_wait();
    return other;
  }

  // A copy may arrive at any time from its start to the wait() for it. Here the place is spoilt at the start (every
  // 16-bit float becomes NaN) and the bytes arrive in wait(), so that whoever reads or keeps using it too early is
  // seen.
  void copy16(void* to, const void* from, bool valid) {
    if ((reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % 16 != 0) {
      std::fprintf(stderr, "emulator: a copy of 16 bytes is misaligned, from %p to %p\n", from, to);
      std::abort();
    }
    std::memset(to, 0xff, 16);
    late_.push_back({to, valid ? from : nullptr, groups_});
  }
  void commit() {
    if (met_.commits++ != without_.commit) ++groups_;
  }
  template <int N>
  void wait() {
    const unsigned number = met_.waits++, behind = N + unsigned{number == without_.late};
    if (number == without_.wait) return;
    std::size_t kept = 0;
    for (const late_copy& c : late_) {
      if (c.group + behind >= groups_)
        late_[kept++] = c;
      else if (c.from != nullptr)
        std::memcpy(c.to, c.from, 16);
      else
        std::memset(c.to, 0, 16);
    }
    late_.resize(kept);
  }

  template <class T>
  void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], T) {
    show(a, b);
    for (unsigned e = 0; e < 4; ++e) {
      const unsigned row = lane() / 4 + 8 * (e / 2), col = 2 * (lane() % 4) + e % 2;
      float sum = d[e];
      for (unsigned k = 0; k < 16; ++k) {
        // column k of A's row: register 2 (k / 8) + row / 8 of lane 4 (row % 8) + k % 8 / 2, half k % 2
        const std::uint32_t wa = mine().a[4 * (row % 8) + k % 8 / 2][2 * (k / 8) + row / 8];
        const std::uint32_t wb = mine().b[4 * col + k % 8 / 2][k / 8];
        sum += half<T>(wa, k % 2) * half<T>(wb, k % 2);
      }
      result_[e] = sum;
    }
    mine().all.arrive_and_wait();
    for (unsigned e = 0; e < 4; ++e) d[e] = result_[e];
  }
  void multiply(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    show(a, b);
    for (unsigned e = 0; e < 4; ++e) {
      const unsigned row = lane() / 4 + 8 * (e / 2), col = 2 * (lane() % 4) + e % 2;
      for (unsigned k = 0; k < 32; ++k) {
        const std::uint32_t wa = mine().a[4 * (row % 8) + k % 16 / 4][2 * (k / 16) + row / 8];
        const std::uint32_t wb = mine().b[4 * col + k % 16 / 4][k / 16];
        d[e] += static_cast<std::int8_t>(wa >> (8 * (k % 4))) * static_cast<std::int8_t>(wb >> (8 * (k % 4)));
      }
    }
    mine().all.arrive_and_wait();
  }

 private:
  unsigned lane() const { return thread_ % nbit::cuda::warp_size; }
  warp_board& mine() { return *board_.warps[thread_ / nbit::cuda::warp_size]; }
  void show(const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    std::memcpy(mine().a[lane()], a, sizeof a);
    std::memcpy(mine().b[lane()], b, sizeof b);
    mine().all.arrive_and_wait();
  }
  template <class T>
  static float half(std::uint32_t word, unsigned which) {
    return static_cast<float>(T::from_bits(static_cast<std::uint16_t>(word >> (16 * which))));
  }

  struct late_copy {
    void* to;
    const void* from;  // nullptr: zeros
    unsigned group;
  };

  block_board& board_;
  unsigned thread_, block_, block_y_, blocks_;
  forgotten without_;
  barriers met_;
  unsigned groups_ = 0;
  std::vector<late_copy> late_;
  float result_[4] = {};
};

/// Runs a kernel over a grid, with a team that lives for all blocks; the barriers that a thread of it met.
template <class Kernel>
barriers emulate(const Kernel& kernel, std::size_t blocks, std::size_t blocks_y = 1, forgotten without = {}) {
  barriers met;
  if (blocks == 0 || blocks_y == 0) return met;
  block_board board(Kernel::threads, Kernel::shared_bytes);
  meeting next(static_cast<std::ptrdiff_t>(Kernel::threads));
  run_team(Kernel::threads, [&](unsigned t) {
    for (std::size_t j = 0; j < blocks_y; ++j)
      for (std::size_t i = 0; i < blocks; ++i) {
        host_context self(board, t, static_cast<unsigned>(i), static_cast<unsigned>(j), static_cast<unsigned>(blocks),
                          without);
        kernel(self);
        next.arrive_and_wait();
        if (t == 0) met = self.met(), board.spoil();
        next.arrive_and_wait();
      }
  });
  return met;
}

}  // namespace nbit_test

#endif
