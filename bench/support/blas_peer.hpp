// bench/support/blas_peer.hpp — OpenBLAS, opened at run time and held to one thread, as a peer to measure against.
//
// OPENBLAS_CORETYPE=SkylakeX makes it take its AVX-512 kernels on machines that it does not know.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_SUPPORT_BLAS_PEER_HPP
#define NBIT_BENCH_SUPPORT_BLAS_PEER_HPP

#include <dlfcn.h>

namespace nbit_bench {

class blas_peer {
 public:
  blas_peer() : library_(dlopen("libopenblas.so.0", RTLD_NOW)) {
    if (const auto threads = symbol<void (*)(int)>("openblas_set_num_threads")) threads(1);
  }
  /// A function of the library, or null.
  template <class F>
  [[nodiscard]] F symbol(const char* name) const {
    return library_ == nullptr ? nullptr : reinterpret_cast<F>(dlsym(library_, name));
  }

 private:
  void* library_;
};

}  // namespace nbit_bench

#endif
