// nbit/arch/past_caches.inl — stores past the caches on x86; included by arch/past_caches.hpp once per target.
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 1 || NBIT_TARGET == 2

namespace nbit {
inline namespace NBIT_TAG {

/// Whole lines only: with 512 bits, vectors are put together from neighbours where `out` does not begin on a line.
template <>
struct past_caches<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
#if NBIT_TARGET == 2
  static constexpr std::size_t alignment = 4;

  NBIT_INLINE explicit past_caches(float* out)
      : to_(out), lead_(reinterpret_cast<std::uintptr_t>(out) / sizeof(float) % lane_count), first_(lead_ != 0) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    index_ = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(lane_count - lead_)));
    last_ = _mm512_setzero_ps();
    to_ -= lead_;
  }
  NBIT_INLINE void put(typename vec::type v) {
    const __m512 line = _mm512_permutex2var_ps(last_, index_, v);
    if (first_) [[unlikely]]
      _mm512_mask_storeu_ps(to_, static_cast<__mmask16>(0xffffu << lead_), line);
    else
      _mm512_stream_ps(to_, line);
    first_ = false, last_ = v, to_ += lane_count;
  }
  /// What is left of the last vector; puts end here.
  NBIT_INLINE void flush() {
    if (lead_ != 0 && !first_)
      _mm512_mask_storeu_ps(to_, static_cast<__mmask16>((1u << lead_) - 1u),
                            _mm512_permutex2var_ps(last_, index_, last_));
    first_ = lead_ != 0;
  }

 private:
  float* to_;
  std::size_t lead_;  // floats before the first one in its line
  bool first_;
  __m512i index_;
  __m512 last_;
#else
  static constexpr std::size_t alignment = 16;

  NBIT_INLINE explicit past_caches(float* out) : to_(out) {}
  NBIT_INLINE void put(typename vec::type v) {
    put8(to_, v.lo), put8(to_ + 8, v.hi);
    to_ += lane_count;
  }
  NBIT_INLINE void flush() {}

 private:
  NBIT_INLINE static void put8(float* to, __m256 v) {
    if (reinterpret_cast<std::uintptr_t>(to) % 32 == 0)
      _mm256_stream_ps(to, v);
    else
      _mm_stream_ps(to, _mm256_castps256_ps128(v)), _mm_stream_ps(to + 4, _mm256_extractf128_ps(v, 1));
  }
  float* to_;
#endif
 public:
  static void end() { _mm_sfence(); }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
