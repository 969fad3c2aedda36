// nbit/base/random.hpp — random numbers that are the same on every machine: xoshiro256** seeded by splitmix64.
//
// Rotations, sign flips and test data must be reproducible from one seed, which std::uniform_real_distribution and
// its kin do not promise. Not for secrets. Ref: Blackman and Vigna, "Scrambled linear pseudorandom number
// generators", 2021.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_RANDOM_HPP
#define NBIT_BASE_RANDOM_HPP

#include <bit>
#include <cstdint>

#include <nbit/base/config.hpp>

namespace nbit {

/// One step of splitmix64: advances the state and returns 64 well mixed bits. Any state is good, also 0.
NBIT_INLINE constexpr std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// A reproducible stream: equal seeds give equal numbers everywhere. A copy goes on from the same place.
class random_stream {
 public:
  NBIT_INLINE constexpr explicit random_stream(std::uint64_t seed)
      : s0_(0), s1_(0), s2_(0), s3_(0), signs_(0), signs_left_(0) {
    s0_ = splitmix64(seed), s1_ = splitmix64(seed), s2_ = splitmix64(seed), s3_ = splitmix64(seed);
  }

  /// 64 random bits.
  NBIT_INLINE constexpr std::uint64_t bits() {
    const std::uint64_t drawn = std::rotl(s1_ * 5u, 7) * 9u, shifted = s1_ << 17;
    s2_ ^= s0_, s3_ ^= s1_, s1_ ^= s2_, s0_ ^= s3_;
    s2_ ^= shifted;
    s3_ = std::rotl(s3_, 45);
    return drawn;
  }

  /// A float in [0, 1): a multiple of 2^-24, all equally likely.
  NBIT_INLINE constexpr float uniform() { return static_cast<float>(bits() >> 40) * 0x1p-24f; }

  /// An integer in [0, n), each as likely as the next to one part in 2^32.  Needs: n > 0.
  NBIT_INLINE constexpr std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>(((bits() >> 32) * n) >> 32);
  }

  /// +1 or -1; 64 of them are drawn from the stream at a time.
  NBIT_INLINE constexpr float sign() {
    if (signs_left_ == 0) signs_ = bits(), signs_left_ = 64;
    const bool negative = (signs_ & 1u) != 0;
    signs_ >>= 1, --signs_left_;
    return negative ? -1.0f : 1.0f;
  }

 private:
  std::uint64_t s0_, s1_, s2_, s3_, signs_;
  int signs_left_;
};

}  // namespace nbit

#endif
