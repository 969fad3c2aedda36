// bench/support/limits.hpp — what this machine can read and multiply at best, with every instruction set.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_SUPPORT_LIMITS_HPP
#define NBIT_BENCH_SUPPORT_LIMITS_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <bench/support/clock.hpp>
#include <nbit/arch/code_lanes.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/level_lanes.hpp>
#include <nbit/arch/past_caches.hpp>
#include <nbit/arch/simd.hpp>

namespace {
/// read(bytes): a sum over them; write(to, n): floats past the caches; peak(), int8_peak(): registers only.
template <class Arch>
struct limits;
}  // namespace

#define NBIT_STAMP_EXTENSIONS
#define NBIT_STAMP <bench/support/limits.inl>
#include <nbit/arch/stamp.inl>

namespace nbit_bench {

/// A sum over memory with the instruction set that runs.
inline subject read_limit(std::span<const std::byte> bytes) {
  return {"read bandwidth", double(bytes.size()),
          [=] { keep(nbit::arch::dispatch([&](auto tag) { return limits<decltype(tag)>::read(bytes); })); }};
}
/// Floats stored past the caches, as many as `to` holds.
inline subject write_limit(std::span<float> to) {
  return {"streaming stores", double(to.size_bytes()),
          [=] { nbit::arch::dispatch([&](auto tag) { limits<decltype(tag)>::write(to); }); }};
}
/// Multiply-adds of floats in registers.
inline subject peak_limit() {
  return {"multiply-add peak", limits<nbit::arch::scalar>::peak_operations,
          [] { keep(nbit::arch::dispatch([](auto tag) { return limits<decltype(tag)>::peak(); })); }};
}
/// Int8 dots in registers.
inline subject int8_peak_limit() {
  return {"int8 peak", limits<nbit::arch::scalar>::int8_operations,
          [] { keep(nbit::arch::dispatch([](auto tag) { return limits<decltype(tag)>::int8_peak(); })); }};
}
/// Dots of levels with bf16 numbers in registers, with an extension for them where there is one.
inline subject bf16_peak_limit() {
  return {"bf16 peak", nbit::arch::dispatch_bf16([](auto tag) { return limits<decltype(tag)>::bf16_operations; }),
          [] { keep(nbit::arch::dispatch_bf16([](auto tag) { return limits<decltype(tag)>::bf16_peak(); })); }};
}

}  // namespace nbit_bench

#endif
