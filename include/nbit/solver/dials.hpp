// nbit/solver/dials.hpp — the numbers inside a group's parameters that its values depend on linearly: scales, minima,
// zeros.
//
// A solver that has chosen codes can ask what each of these numbers should be for those codes: with all else fixed the
// loss is a parabola in one of them. nbit::dials<F> names them for a format F; give a format of your own a member
// type `dials`, or call its scale `scale`, and solvers will refit it. Without it, parameters stay as they were fitted.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_DIALS_HPP
#define NBIT_SOLVER_DIALS_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>

namespace nbit {

struct iq1_s;
struct iq1_m;

/// The weights of a group that a dial acts on, and what numbers it takes.
struct dial {
  int first = 0, length = 0;  // length 0: to the end of the group
  bool whole = false;         // whole numbers only
};

namespace detail {
template <class T>
NBIT_INLINE constexpr T stored_float(float v) {
  if constexpr (std::is_same_v<T, float>)
    return v;
  else if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    return T::from(v > T::max ? T::max : v < -T::max ? -T::max : v);
  else
    return T::from(v);
}

template <class F>
concept has_own_dials = requires { typename F::dials; };
template <class P>
concept has_scale = requires(P p) { float(p.scale); } && !std::is_array_v<decltype(P::scale)>;
template <class P>
concept has_zero =
    requires(P p) { float(p.zero); } && !(std::is_integral_v<decltype(P::zero)> && std::is_signed_v<decltype(P::zero)>);
}  // namespace detail

/// Primary, for parameters P of a format F: nothing can be refitted. A specialisation has
///   count            how many dials
///   at(k)            what dial k acts on; they are refitted in this order
///   get(p, k)        its number
///   set(p, k, v)     stores the nearest number it can hold
template <class F, class P = typename F::params>
struct dials {
  static constexpr int count = 0;
};

/// A format that brings its own.
template <class F, class P>
  requires detail::has_own_dials<F>
struct dials<F, P> : F::dials {};

/// A member `scale`, and perhaps an unsigned or fractional `zero`: value = scale * (level - zero).
template <class F, class P>
  requires(detail::has_scale<P> && !detail::has_own_dials<F>)
struct dials<F, P> {
  static constexpr bool zero = detail::has_zero<P>;
  static constexpr int count = zero ? 2 : 1;
  NBIT_INLINE static constexpr dial at(int k) {
    if constexpr (zero) return {0, 0, k == 1 && std::is_integral_v<decltype(P::zero)>};
    return {};
  }
  NBIT_INLINE static float get(const P& p, int k) {
    if constexpr (zero)
      if (k == 1) return static_cast<float>(p.zero);
    return static_cast<float>(p.scale);
  }
  NBIT_INLINE static void set(P& p, int k, float v) {
    if constexpr (zero)
      if (k == 1) {
        if constexpr (std::is_integral_v<decltype(P::zero)>)
          p.zero = static_cast<decltype(P::zero)>(round_clamped(v, 0, (1 << F::bits) - 1));
        else
          p.zero = detail::stored_float<decltype(P::zero)>(v);
        return;
      }
    p.scale = detail::stored_float<decltype(P::scale)>(v);
  }
};

/// Parameters with one f16 step d, and perhaps a start m.
template <class F, class P>
  requires(sizeof(P) == sizeof(f16) && requires(P p) { p.d.bits; }) ||
          (sizeof(P) == 2 * sizeof(f16) && requires(P p) { p.d.bits, p.m.bits; })
struct dials<F, P> {
  static constexpr int count = sizeof(P) / sizeof(f16);
  NBIT_INLINE static constexpr dial at(int) { return {}; }
  NBIT_INLINE static float get(const P& p, int k) {
    if constexpr (count == 2)
      if (k == 1) return static_cast<float>(p.m);
    return static_cast<float>(p.d);
  }
  NBIT_INLINE static void set(P& p, int k, float v) {
    if constexpr (count == 2)
      if (k == 1) {
        p.m = detail::stored_float<f16>(v);
        return;
      }
    p.d = detail::stored_float<f16>(v);
  }
};

/// A power of two.
template <class F, class P>
  requires(sizeof(P) == 1 && requires(P p) { e8m0{p.e}; })
struct dials<F, P> {
  static constexpr int count = 1;
  NBIT_INLINE static constexpr dial at(int) { return {}; }
  NBIT_INLINE static float get(const P& p, int) { return static_cast<float>(p.e); }
  NBIT_INLINE static void set(P& p, int, float v) {
    if (v > 0.0f) p.e = e8m0::from(v);
  }
};

/// Runs of a super-block, then its own numbers.
template <class F>
struct dials<F, k_scales_and_minima> {
  static constexpr int count = 18;
  NBIT_INLINE static constexpr dial at(int k) { return k < 16 ? dial{32 * (k / 2), 32, true} : dial{}; }
  NBIT_INLINE static float get(const k_scales_and_minima& p, int k) {
    if (k >= 16) return static_cast<float>(k == 16 ? p.d : p.dmin);
    return static_cast<float>(k % 2 == 0 ? p.scale_of(k / 2) : p.minimum_of(k / 2));
  }
  NBIT_INLINE static void set(k_scales_and_minima& p, int k, float v) {
    if (k >= 16) {
      (k == 16 ? p.d : p.dmin) = detail::stored_float<f16>(v);
      return;
    }
    const int c = round_clamped(v, 0, 63), s = k / 2;
    if (s < 4) {
      std::uint8_t& at = p.packed[k % 2 == 0 ? s : s + 4];
      at = static_cast<std::uint8_t>((at & 192) | c);
    } else {
      std::uint8_t &low = p.packed[s + 4], &high = p.packed[k % 2 == 0 ? s - 4 : s];
      low = static_cast<std::uint8_t>(k % 2 == 0 ? (low & 240) | (c & 15) : (low & 15) | (c & 15) << 4);
      high = static_cast<std::uint8_t>((high & 63) | c >> 4 << 6);
    }
  }
};

template <class F>
struct dials<F, q2_k_params> {
  static constexpr int count = 34;
  NBIT_INLINE static constexpr dial at(int k) { return k < 32 ? dial{16 * (k / 2), 16, true} : dial{}; }
  NBIT_INLINE static float get(const q2_k_params& p, int k) {
    if (k >= 32) return static_cast<float>(k == 32 ? p.d : p.dmin);
    return static_cast<float>(k % 2 == 0 ? p.scales[k / 2] & 15 : p.scales[k / 2] >> 4);
  }
  NBIT_INLINE static void set(q2_k_params& p, int k, float v) {
    if (k >= 32) {
      (k == 32 ? p.d : p.dmin) = detail::stored_float<f16>(v);
      return;
    }
    const int c = round_clamped(v, 0, 15);
    std::uint8_t& at = p.scales[k / 2];
    at = static_cast<std::uint8_t>(k % 2 == 0 ? (at & 240) | c : (at & 15) | c << 4);
  }
};

template <class F>
struct dials<F, q3_k_params> {
  static constexpr int count = 17;
  NBIT_INLINE static constexpr dial at(int k) { return k < 16 ? dial{16 * k, 16, true} : dial{}; }
  NBIT_INLINE static float get(const q3_k_params& p, int k) {
    return k == 16 ? static_cast<float>(p.d) : static_cast<float>(p.scale_of(k));
  }
  NBIT_INLINE static void set(q3_k_params& p, int k, float v) {
    if (k == 16) {
      p.d = detail::stored_float<f16>(v);
      return;
    }
    const int c = round_clamped(v, -32, 31) + 32, shift = 2 * (k >> 2);
    std::uint8_t &low = p.packed[k & 7], &high = p.packed[8 + (k & 3)];
    low = static_cast<std::uint8_t>(k < 8 ? (low & 240) | (c & 15) : (low & 15) | (c & 15) << 4);
    high = static_cast<std::uint8_t>((high & ~(3 << shift)) | c >> 4 << shift);
  }
};

template <class F>
struct dials<F, q6_k_params> {
  static constexpr int count = 17;
  NBIT_INLINE static constexpr dial at(int k) { return k < 16 ? dial{16 * k, 16, true} : dial{}; }
  NBIT_INLINE static float get(const q6_k_params& p, int k) {
    return k == 16 ? static_cast<float>(p.d) : static_cast<float>(p.scales[k]);
  }
  NBIT_INLINE static void set(q6_k_params& p, int k, float v) {
    if (k == 16)
      p.d = detail::stored_float<f16>(v);
    else
      p.scales[k] = static_cast<std::int8_t>(round_clamped(v, -128, 127));
  }
};

template <class F>
struct dials<F, iq4_xs_params> {
  static constexpr int count = 9;
  NBIT_INLINE static constexpr dial at(int k) { return k < 8 ? dial{32 * k, 32, true} : dial{}; }
  NBIT_INLINE static float get(const iq4_xs_params& p, int k) {
    return k == 8 ? static_cast<float>(p.d) : static_cast<float>(p.scale_of(k));
  }
  NBIT_INLINE static void set(iq4_xs_params& p, int k, float v) {
    if (k == 8) {
      p.d = detail::stored_float<f16>(v);
      return;
    }
    const int c = round_clamped(v, -32, 31) + 32;
    std::uint8_t& low = p.low[k >> 1];
    low = static_cast<std::uint8_t>((k & 1) == 0 ? (low & 240) | (c & 15) : (low & 15) | (c & 15) << 4);
    p.high = static_cast<std::uint16_t>((p.high & ~(3 << (2 * k))) | c >> 4 << (2 * k));
  }
};

/// IQ formats: a nibble for each run.
template <class F, int Runs>
struct dials<F, iq_params<Runs>> {
  static constexpr int count = Runs + 1, run = 256 / Runs;
  NBIT_INLINE static constexpr dial at(int k) { return k < Runs ? dial{run * k, run, true} : dial{}; }
  NBIT_INLINE static float get(const iq_params<Runs>& p, int k) {
    return k == Runs ? static_cast<float>(p.d) : static_cast<float>(p.nibble(k));
  }
  NBIT_INLINE static void set(iq_params<Runs>& p, int k, float v) {
    if (k == Runs) {
      p.d = detail::stored_float<f16>(v);
      return;
    }
    const int c = round_clamped(v, 0, 15);
    std::uint8_t& at = p.packed[k >> 1];
    at = static_cast<std::uint8_t>((k & 1) == 0 ? (at & 240) | c : (at & 15) | c << 4);
  }
};

template <class F>
struct dials<F, nvfp4_params> {
  static constexpr int count = 4;
  NBIT_INLINE static constexpr dial at(int k) { return {16 * k, 16, false}; }
  NBIT_INLINE static float get(const nvfp4_params& p, int k) { return p.step(k); }
  NBIT_INLINE static void set(nvfp4_params& p, int k, float v) { p.scale[k] = ggml_block::ue4m3_code(2.0f * v); }
};

/// IQ1 formats have shifts beside their scales, which are no numbers to be refitted: only the block's step.
template <class P>
struct step_dial {
  static constexpr int count = 1;
  NBIT_INLINE static constexpr dial at(int) { return {}; }
  NBIT_INLINE static float get(const P& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static void set(P& p, int, float v) { p.d = detail::stored_float<f16>(v); }
};
template <int Runs>
struct dials<iq1_s, iq_params<Runs>> : step_dial<iq_params<Runs>> {};
template <class P>
struct dials<iq1_m, P> : step_dial<P> {};

}  // namespace nbit

#endif
