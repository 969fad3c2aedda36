// nbit/arch/stamp_matrices.inl — as arch/stamp.inl, for the extension that multiplies int8 matrices, if there is one.
// SPDX-License-Identifier: MIT
#if NBIT_HAS_AMX || NBIT_HAS_NEON_I8MM
#if NBIT_HAS_AMX
#define NBIT_TARGET 2
#define NBIT_TARGET_DOT 3
#else
#define NBIT_TARGET 3
#define NBIT_TARGET_DOT 2
#endif
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#endif
#undef NBIT_STAMP
