// nbit/arch/cpu.hpp — the best tag that this processor and this operating system can run.
//
// Own CPUID and XGETBV: __builtin_cpu_supports is missing on some toolchains and rejects some feature names. An
// instruction set counts only when the operating system saves its registers (XCR0), or a hypervisor may kill the
// process. On AArch64 Linux the kernel is asked (AT_HWCAP). Elsewhere the unit's own flags decide.
// Ref: Intel SDM volume 1, sections 14.3 and 15.2; Linux Documentation/arch/arm64/elf_hwcaps.rst.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_CPU_HPP
#define NBIT_ARCH_CPU_HPP

#include <cstdlib>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/arch/tags.hpp>

#if NBIT_HAS_NEON && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace nbit::arch {
inline namespace NBIT_TAG {
namespace detail {

template <class... Tags>
struct tag_list {};

// What this unit's kernels are stamped for, levels rising.
#if NBIT_HAS_X86 && NBIT_HAS_AVX_VNNI
using stamped = tag_list<scalar, avx2, avx_vnni, avx512_vnni>;
#elif NBIT_HAS_X86
using stamped = tag_list<scalar, avx2, avx512_vnni>;
#elif NBIT_HAS_NEON_DOTPROD
using stamped = tag_list<scalar, neon, neon_dotprod>;
#elif NBIT_HAS_NEON
using stamped = tag_list<scalar, neon>;
#elif NBIT_HAS_RVV
using stamped = tag_list<scalar, rvv>;
#elif NBIT_HAS_SIMD128
using stamped = tag_list<scalar, simd128>;
#else
using stamped = tag_list<scalar>;
#endif

template <class... Tags, class... More>
tag_list<Tags..., More...> joined(tag_list<Tags...>, tag_list<More...>);
// Extensions that products with bf16 or int8 activations are stamped for, and those that run on request only.
#if NBIT_HAS_X86
using bf16_extensions = tag_list<avx512_bf16>;
#else
using bf16_extensions = tag_list<>;
#endif
#if NBIT_HAS_NEON_I8MM
using int8_extensions = tag_list<neon_i8mm>;
#else
using int8_extensions = tag_list<>;
#endif
#if NBIT_HAS_AMX
using requested = tag_list<amx_int8>;
#else
using requested = tag_list<>;
#endif
using for_bf16 = decltype(joined(stamped{}, bf16_extensions{}));
using for_int8 = decltype(joined(stamped{}, int8_extensions{}));
using known = decltype(joined(for_bf16{}, int8_extensions{}));

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

NBIT_INLINE constexpr unsigned bit_of(int level) { return 1u << level; }

template <class... Tags>
constexpr unsigned bits_of(tag_list<Tags...>) {
  return (bit_of(Tags::level) | ...);
}
inline constexpr unsigned general_levels = bits_of(stamped{});  // of tags that all operations are stamped for

/// One bit for the level of each tag this machine runs, those on request too. Not all below the best: AVX-512 is older
/// than AVX-VNNI.
inline unsigned detect_levels() noexcept {
  unsigned levels = bit_of(scalar::level);
#if NBIT_HAS_X86
  if (cpuid(0, 0).a < 7) return levels;
  const cpuid_registers one = cpuid(1, 0), seven = cpuid(7, 0);
  const bool osxsave = has(one.c, 27), fma = has(one.c, 12), f16c = has(one.c, 29);
  if (!osxsave || !fma || !f16c || !has(seven.b, 5) || !has(seven.b, 8)) return levels;  // AVX2, BMI2
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x6u) != 0x6u) return levels;  // XMM and YMM state
  levels |= bit_of(avx2::level);
  if (NBIT_HAS_AVX_VNNI && seven.a >= 1 && has(cpuid(7, 1).a, 4)) levels |= bit_of(avx_vnni::level);
  const bool avx512 = has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31);  // F DQ BW VL
  const bool vnni = has(seven.c, 11), zmm_state = (low & 0xe6u) == 0xe6u;
  if (avx512 && vnni && zmm_state) {
    levels |= bit_of(avx512_vnni::level);
    if (seven.a >= 1 && has(cpuid(7, 1).a, 5)) levels |= bit_of(avx512_bf16::level);
    const bool tiles = has(seven.d, 24) && has(seven.d, 25) && (low & 0x60000u) == 0x60000u;  // and their state
    if (NBIT_HAS_AMX && tiles) levels |= bit_of(amx_int8::level);
  }
#elif NBIT_HAS_NEON
  levels |= bit_of(neon::level);
#if NBIT_HAS_NEON_DOTPROD && defined(__linux__)
  constexpr unsigned long asimddp = 1ul << 20;
  if ((getauxval(AT_HWCAP) & asimddp) != 0) levels |= bit_of(neon_dotprod::level);
#if NBIT_HAS_NEON_I8MM
  constexpr unsigned long i8mm = 1ul << 13;
  if ((getauxval(AT_HWCAP) & asimddp) != 0 && (getauxval(AT_HWCAP2) & i8mm) != 0) levels |= bit_of(neon_i8mm::level);
#endif
#elif NBIT_HAS_NEON_DOTPROD && defined(__ARM_FEATURE_DOTPROD)
  levels |= bit_of(neon_dotprod::level);
#if NBIT_HAS_NEON_I8MM && defined(__ARM_FEATURE_MATMUL_INT8)
  levels |= bit_of(neon_i8mm::level);
#endif
#endif
#elif NBIT_HAS_RVV
  levels |= bit_of(rvv::level);
#elif NBIT_HAS_SIMD128
  levels |= bit_of(simd128::level);
#endif
  return levels;
}

/// The best level among those.
inline int best_level(unsigned levels) noexcept {
  int best = 0;
  for (int level = 0; levels >> level != 0; ++level)
    if ((levels >> level & 1u) != 0) best = level;
  return best;
}

/// Whether two names are equal.
inline bool same_name(const char* a, const char* b) noexcept {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

/// The best of the levels that the environment variable NBIT_ARCH allows: the tag it names and those below. For tests
/// only; it never raises the choice.
template <class... Tags>
inline int narrowed_level(unsigned levels, tag_list<Tags...> choice) noexcept {
  levels &= bits_of(choice);
#if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(__CUDACC_RTC__)
  if (const char* const wish = std::getenv("NBIT_ARCH"); wish != nullptr) {
    const auto narrow = [&](const char* name, int level) {
      if (same_name(wish, name)) levels &= (2u << level) - 1u;
    };
    (narrow(Tags::name, Tags::level), ...);
  }
#endif
  return best_level(levels);
}

/// -1 until it is known; read and written atomically.
inline int* level_cache() noexcept {
  static int cached = -1;
  return &cached;
}

/// Calls f with the tag of that level; the last tag if no other has it.
template <class F, class First, class... More>
inline decltype(auto) call_with(int level, F&& f, tag_list<First, More...>) {
  if constexpr (sizeof...(More) == 0) {
    return f(First{});
  } else {
    if (level == First::level) return f(First{});
    return call_with(level, f, tag_list<More...>{});
  }
}

}  // namespace detail

/// The level of the tag that operations without an explicit tag run; resolved once.
inline int selected_level() noexcept {
#if defined(__CUDACC_RTC__)
  return scalar::level;
#else
  int level = __atomic_load_n(detail::level_cache(), __ATOMIC_RELAXED);
  if (level < 0) {
    level = detail::narrowed_level(detail::detect_levels(), detail::known{});
    __atomic_store_n(detail::level_cache(), level, __ATOMIC_RELAXED);
  }
  return level;
#endif
}

namespace detail {
template <class Tag, class... Tags>
NBIT_INLINE constexpr bool is_stamped(tag_list<Tags...>) {
  return (std::is_same_v<Tag, Tags> || ...);
}
template <class F, class... Tags>
inline void call_with_runnable(F&& f, tag_list<Tags...>) {
  const unsigned levels = detect_levels();
  const auto visit = [&](auto tag) {
    if ((levels & bit_of(decltype(tag)::level)) != 0) f(tag);
  };
  (visit(Tags{}), ...);
}
}  // namespace detail

/// True when this unit has kernels of that tag and this machine can run them.
template <class Tag>
[[nodiscard]] inline bool runnable(Tag) noexcept {
  constexpr bool stamped = detail::is_stamped<Tag>(detail::known{}) || detail::is_stamped<Tag>(detail::requested{});
  return stamped && (detail::detect_levels() & detail::bit_of(Tag::level)) != 0;
}

/// Calls f with the best tag of this machine; one branch or two per matrix operation.
template <class F>
inline decltype(auto) dispatch(F&& f) {
  return detail::call_with(selected_level(), static_cast<F&&>(f), detail::stamped{});
}

/// The same for products with bf16 or int8 activations, which are stamped for extensions, too.
template <class F>
inline decltype(auto) dispatch_bf16(F&& f) {
  return detail::call_with(selected_level(), static_cast<F&&>(f), detail::for_bf16{});
}
template <class F>
inline decltype(auto) dispatch_int8(F&& f) {
  return detail::call_with(selected_level(), static_cast<F&&>(f), detail::for_int8{});
}

/// Calls f with every tag this machine can run, the definition first.
template <class F>
inline void for_each_runnable(F&& f) {
  detail::call_with_runnable(f, detail::stamped{});
}

/// The same with extensions for bf16 or int8 activations.
template <class F>
inline void for_each_runnable_bf16(F&& f) {
  detail::call_with_runnable(f, detail::for_bf16{});
}
template <class F>
inline void for_each_runnable_int8(F&& f) {
  detail::call_with_runnable(f, detail::for_int8{});
}

/// The name of the tag that operations without an explicit tag run.
[[nodiscard]] inline const char* selected_name() {
  return dispatch([](auto tag) { return decltype(tag)::name; });
}

}  // namespace NBIT_TAG
}  // namespace nbit::arch

#endif
