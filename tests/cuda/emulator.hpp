// Runs kernel bodies of nbit/cuda on the host: a thread of the host for each GPU thread of a block, blocks one after
// another, barriers where a GPU has them. ThreadSanitizer then finds a sync() that is missing.
#ifndef NBIT_TESTS_CUDA_EMULATOR_HPP
#define NBIT_TESTS_CUDA_EMULATOR_HPP

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <nbit/base/float16.hpp>
#include <nbit/cuda/context.hpp>

namespace nbit_test {

/// What the lanes of a warp show each other.
struct warp_board {
  std::barrier<> all{nbit::cuda::warp_size};
  std::uint64_t word[nbit::cuda::warp_size] = {};
  std::uint32_t a[nbit::cuda::warp_size][4] = {}, b[nbit::cuda::warp_size][2] = {};
};

struct block_board {
  explicit block_board(unsigned threads, std::size_t bytes) : all(threads), memory(bytes / 16 + 1) {
    for (unsigned i = 0; i < threads / nbit::cuda::warp_size; ++i) warps.push_back(std::make_unique<warp_board>());
  }
  struct alignas(16) line {
    std::byte bytes[16];
  };
  std::barrier<> all;
  std::vector<line> memory;
  std::vector<std::unique_ptr<warp_board>> warps;
};

/// nbit::cuda::thread_context's interface over a block_board.
class host_context {
 public:
  host_context(block_board& board, unsigned thread, unsigned block, unsigned block_y, unsigned blocks)
      : board_(board), thread_(thread), block_(block), block_y_(block_y), blocks_(blocks) {}

  unsigned thread() const { return thread_; }
  unsigned block() const { return block_; }
  unsigned block_y() const { return block_y_; }
  unsigned blocks() const { return blocks_; }
  std::byte* shared() const { return board_.memory[0].bytes; }
  void sync() { board_.all.arrive_and_wait(); }

  template <class T>
  T shuffle_xor(T v, int mask) {
    static_assert(sizeof(T) <= 8);
    warp_board& warp = mine();
    std::memcpy(&warp.word[lane()], &v, sizeof v);
    warp.all.arrive_and_wait();
    T other;
    std::memcpy(&other, &warp.word[lane() ^ static_cast<unsigned>(mask)], sizeof other);
    warp.all.arrive_and_wait();
    return other;
  }

  // A copy may arrive at any time before wait(): at once is one such time. The tests of wait() are the GPU's.
  void copy16(void* to, const void* from, bool valid) {
    if (valid)
      std::memcpy(to, from, 16);
    else
      std::memset(to, 0, 16);
  }
  void commit() {}
  template <int N>
  void wait() {}

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

  block_board& board_;
  unsigned thread_, block_, block_y_, blocks_;
  float result_[4] = {};
};

/// Runs a kernel over a grid, with a team of threads that lives for all blocks.
template <class Kernel>
void emulate(const Kernel& kernel, std::size_t blocks, std::size_t blocks_y = 1) {
  if (blocks == 0 || blocks_y == 0) return;
  block_board board(Kernel::threads, Kernel::shared_bytes);
  std::barrier<> next{static_cast<std::ptrdiff_t>(Kernel::threads)};
  std::vector<std::jthread> team;
  for (unsigned t = 0; t < Kernel::threads; ++t)
    team.emplace_back([&, t] {
      for (std::size_t j = 0; j < blocks_y; ++j)
        for (std::size_t i = 0; i < blocks; ++i) {
          host_context self(board, t, static_cast<unsigned>(i), static_cast<unsigned>(j),
                            static_cast<unsigned>(blocks));
          kernel(self);
          next.arrive_and_wait();
        }
    });
}

}  // namespace nbit_test

#endif
