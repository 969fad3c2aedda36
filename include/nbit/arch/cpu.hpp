// nbit/arch/cpu.hpp — the best tag that this processor and this operating system can run.
//
// Own CPUID and XGETBV: __builtin_cpu_supports is missing on some toolchains and rejects some feature names. An
// instruction set counts only when the operating system saves its registers (XCR0), or a hypervisor may kill the
// process. Ref: Intel SDM volume 1, sections 14.3 and 15.2.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_CPU_HPP
#define NBIT_ARCH_CPU_HPP

#include <atomic>
#include <cstdlib>

#include <nbit/base/config.hpp>
#include <nbit/arch/tags.hpp>

namespace nbit::arch {
inline namespace NBIT_TAG {
namespace detail {

#if NBIT_HAS_X86
struct cpuid_registers {
  unsigned a, b, c, d;
};
inline cpuid_registers cpuid(unsigned leaf, unsigned sub) noexcept {
  cpuid_registers r{};
  __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
  return r;
}
inline bool has(unsigned word, int bit) noexcept { return (word >> bit & 1u) != 0; }
#endif

/// The level of the best tag this machine runs.
inline int detect_level() noexcept {
#if NBIT_HAS_X86
  if (cpuid(0, 0).a < 7) return scalar::level;
  const cpuid_registers one = cpuid(1, 0), seven = cpuid(7, 0);
  const bool osxsave = has(one.c, 27), fma = has(one.c, 12), f16c = has(one.c, 29);
  if (!osxsave || !fma || !f16c || !has(seven.b, 5) || !has(seven.b, 8)) return scalar::level;  // AVX2, BMI2
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x6u) != 0x6u) return scalar::level;  // XMM and YMM state
  const bool avx512 = has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31);  // F DQ BW VL
  const bool vnni = has(seven.c, 11), zmm_state = (low & 0xe6u) == 0xe6u;
  return avx512 && vnni && zmm_state ? avx512_vnni::level : avx2::level;
#else
  return scalar::level;
#endif
}

/// NBIT_ARCH=scalar|avx2|avx512_vnni in the environment lowers the level; for tests only, it never raises it.
inline int narrowed_level() noexcept {
  const int best = detect_level();
#if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1
  const char* const wish = std::getenv("NBIT_ARCH");
  if (wish == nullptr) return best;
  const auto same = [wish](const char* name) {
    const char* w = wish;
    while (*w != '\0' && *w == *name) ++w, ++name;
    return *w == *name;
  };
  if (same(scalar::name)) return scalar::level;
  if (same(avx2::name)) return best < avx2::level ? best : avx2::level;
#endif
  return best;
}

inline std::atomic<int>& level_cache() noexcept {
  static std::atomic<int> cached{-1};
  return cached;
}

}  // namespace detail

/// The level of the tag that operations without an explicit tag run; resolved once.
inline int selected_level() noexcept {
  int level = detail::level_cache().load(std::memory_order_relaxed);
  if (level < 0) {
    level = detail::narrowed_level();
    detail::level_cache().store(level, std::memory_order_relaxed);
  }
  return level;
}

/// True when this machine can run kernels of that tag.
template <class Tag>
[[nodiscard]] inline bool runnable(Tag) noexcept {
  return Tag::level <= detail::detect_level();
}

/// Calls f with the best tag of this machine; one branch per matrix operation.
template <class F>
inline decltype(auto) dispatch(F&& f) {
#if NBIT_HAS_X86
  switch (selected_level()) {
    case avx512_vnni::level: return f(avx512_vnni{});
    case avx2::level: return f(avx2{});
    default: return f(scalar{});
  }
#else
  return f(scalar{});
#endif
}

/// Calls f with every tag this machine can run, the definition first.
template <class F>
inline void for_each_runnable(F&& f) {
  f(scalar{});
#if NBIT_HAS_X86
  if (runnable(avx2{})) f(avx2{});
  if (runnable(avx512_vnni{})) f(avx512_vnni{});
#endif
}

/// The name of the tag that operations without an explicit tag run.
[[nodiscard]] inline const char* selected_name() {
  return dispatch([](auto tag) { return decltype(tag)::name; });
}

}  // namespace NBIT_TAG
}  // namespace nbit::arch

#endif
