// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
// SPDX-License-Identifier: MIT
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#pragma GCC pop_options
#endif
