// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
// SPDX-License-Identifier: MIT
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
