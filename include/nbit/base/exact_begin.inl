// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
// SPDX-License-Identifier: MIT
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
