// nbit/base/contract.hpp — what happens when a caller breaks a precondition.
//
// Every public operation checks its shapes once (a few compares per matrix). When a check fails the hook is told and
// the operation returns without touching memory. The default hook is none; tests and debug builds install one.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_CONTRACT_HPP
#define NBIT_BASE_CONTRACT_HPP

#include <nbit/base/config.hpp>

namespace nbit {

/// A broken precondition: the sentence that should have held, and where it was checked.
struct contract_violation {
  const char* expected;
  const char* file;
  int line;
};

/// Called for every broken precondition; may log, count, throw or stop, as the program likes.
using contract_hook = void (*)(const contract_violation&);

#if !defined(__CUDACC_RTC__)
namespace contract_detail {
// Read and written by the compilers' atomic operations: <atomic> brings <string> and <system_error> into every unit.
inline contract_hook hook = nullptr;
}  // namespace contract_detail

/// Installs a hook (nullptr removes it) and returns the one before.
NBIT_HOST_INLINE contract_hook set_contract_hook(contract_hook hook) noexcept {
  return __atomic_exchange_n(&contract_detail::hook, hook, __ATOMIC_ACQ_REL);
}
#endif

namespace contract_detail {
NBIT_INLINE void violated(const char* expected, const char* file, int line) {
#if defined(__CUDA_ARCH__)
  (void)expected, (void)file, (void)line;  // a kernel returns without a word; the host checked before it launched
#else
  if (const contract_hook told = __atomic_load_n(&hook, __ATOMIC_ACQUIRE)) told({expected, file, line});
#endif
}
}  // namespace contract_detail

}  // namespace nbit

/// NBIT_EXPECTS(condition, "sentence"[, value]): if the condition fails, tells the hook and returns value (or nothing).
#define NBIT_EXPECTS(condition, expected, ...)                                                                         \
  do {                                                                                                                 \
    if (!(condition)) [[unlikely]] {                                                                                   \
      ::nbit::contract_detail::violated(expected, __FILE__, __LINE__);                                                 \
      return __VA_ARGS__;                                                                                              \
    }                                                                                                                  \
  } while (false)

#endif
