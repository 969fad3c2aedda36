// bench/kernel/gemm_bench.hpp — one format of nbit_gemm_bench; units share the formats, which compile slowly.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_KERNEL_GEMM_BENCH_HPP
#define NBIT_BENCH_KERNEL_GEMM_BENCH_HPP

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <bench/support/blas_peer.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/ggml_peer.hpp>
#include <bench/support/limits.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/nbit.hpp>

namespace nbit_bench {

inline constexpr std::size_t outputs = 1024, cols = 4096;

inline std::vector<float> some_activations(std::size_t tokens) {
  std::vector<float> x(tokens * cols);
  std::uint32_t state = 7;
  for (float& v : x) v = float(int((state = state * 1664525u + 1013904223u) >> 20) - 2048) / 1024.0f;
  return x;
}

template <class F>
nbit::packed_matrix<F, nbit::row_tiles> some_tiles(std::size_t rows) {
  auto t = *nbit::packed_matrix<F, nbit::row_tiles>::make({rows, cols});
  std::uint32_t state = 1;
  for (std::size_t i = 0; i + 4 <= t.bytes.size(); i += 4) {  // any bytes with f16 and f32 numbers in range are weights
    state = state * 1664525u + 1013904223u;
    const std::uint32_t word = state & 0x3bff3bffu;
    std::memcpy(t.bytes.data() + i, &word, 4);
  }
  return t;
}

// ggml's gemm on weights it has repacked: four tokens are quantized into one interleaved block, eight rows are woven.
inline subject ggml_gemm(const ggml_peer& ggml, const char* kernel, const char* quantizer, std::size_t row_bytes,
                         std::size_t token_bytes, std::size_t tokens) {
  using quantize_t = void (*)(const float*, void*, std::int64_t);
  const auto run = ggml.repacked(kernel);
  const auto quantize = ggml.symbol<quantize_t>(quantizer);
  if (run == nullptr || quantize == nullptr) return {};
  auto w = std::make_shared<std::vector<std::uint32_t>>(outputs * row_bytes / 4 + 64, 0x2c332c33u);
  auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
  auto q = std::make_shared<std::vector<std::byte>>(tokens * token_bytes + 64);
  auto y = std::make_shared<std::vector<float>>(tokens * outputs);
  return {std::string("ggml ") + kernel, 2.0 * double(tokens) * outputs * cols, [=] {
            for (std::size_t m = 0; m < tokens; m += 4)
              quantize(x->data() + m * cols, q->data() + m * token_bytes, std::int64_t(cols));
            run(int(cols), y->data(), outputs, w->data(), q->data(), int(tokens), int(outputs));
            keep((*y)[0]);
          }};
}

// ggml's gemm for types that it does not repack: dots of rows with tokens, in tiles of sixteen by sixteen.
inline subject ggml_dots(const ggml_peer& ggml, int type, std::size_t tokens) {
  const auto* const traits = ggml.cpu(type);
  if (traits == nullptr || traits->vec_dot == nullptr) return {};
  const auto quantize = ggml.cpu(traits->dot_type)->from_float;
  const auto dot = traits->vec_dot;
  const std::size_t row = ggml.row_bytes(type, cols), token = ggml.row_bytes(traits->dot_type, cols);
  auto w = std::make_shared<std::vector<std::uint32_t>>(outputs * row / 4 + 64, 0x2c332c33u);
  auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
  auto q = std::make_shared<std::vector<std::byte>>(tokens * token + 64);
  auto y = std::make_shared<std::vector<float>>(tokens * outputs);
  return {std::string("ggml ") + ggml.base(type)->name + " dots", 2.0 * double(tokens) * outputs * cols, [=] {
            for (std::size_t m = 0; m < tokens; ++m)
              quantize(x->data() + m * cols, q->data() + m * token, std::int64_t(cols));
            const auto* const weights = reinterpret_cast<const std::byte*>(w->data());
            for (std::size_t n = 0; n < outputs; n += 16)
              for (std::size_t m0 = 0; m0 < tokens; m0 += 16)
                for (std::size_t m = m0; m < m0 + 16 && m < tokens; ++m)
                  for (std::size_t r = n; r < n + 16; ++r)
                    dot(int(cols), y->data() + m * outputs + r, 0, weights + r * row, 0, q->data() + m * token, 0, 1);
            keep((*y)[0]);
          }};
}

class gemm_bench {
 public:
  gemm_bench(std::size_t bytes, int rounds, std::string only)
      : bytes_(bytes), rounds_(rounds), only_(std::move(only)), memory_(bytes, std::byte{1}) {}
  [[nodiscard]] const ggml_peer& ggml() const { return ggml_; }

  /// ggml_kernel: the end of its repacked kernel's name, "q4_0_8x8_q8_0", or nullptr.
  template <class F, int Group>
  void format(const char* name, const char* ggml_kernel = nullptr) {
    if (!only_.empty() && std::string(name).find(only_) == std::string::npos) return;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    for (const std::size_t tokens : {std::size_t{8}, std::size_t{32}, std::size_t{128}, std::size_t{512}}) {
      auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
      auto act = std::make_shared<nbit::int8_activation_matrix<Group>>(
          *nbit::int8_activation_matrix<Group>::make({tokens, cols}));
      auto y = std::make_shared<std::vector<float>>(tokens * outputs);
      std::vector<subject> s = {int8_peak_limit(), {name, 2.0 * double(tokens) * outputs * cols, [=] {
                                                      nbit::quantize_activations({x->data(), tokens, cols},
                                                                                 act->view());
                                                      nbit::gemm(w->view(), act->view(), {y->data(), tokens, outputs});
                                                      keep((*y)[0]);
                                                    }}};
      if constexpr (nbit::block_format<F>) {
        constexpr bool k = F::group == 256;
        subject peer;
        if (ggml_ && ggml_kernel != nullptr)
          peer =
              ggml_gemm(ggml_, (std::string("ggml_gemm_") + ggml_kernel).c_str(),
                        k ? "ggml_quantize_mat_q8_K_4x8" : "ggml_quantize_mat_q8_0_4x8",
                        cols / std::size_t(F::group) * F::block_bytes, k ? cols / 256 * 292 : cols / 32 * 34, tokens);
        else if (ggml_)
          peer = ggml_dots(ggml_, F::ggml_type, tokens);
        if (peer.call) s.push_back(peer);
      }
      measure(s, rounds_);
      std::printf("gemm %-8s a%-4d M=%-4zu %8.1f GOP/s  %.3f of int8 peak", name, Group, tokens, s[1].rate() * 1e-9,
                  s[1].rate() / s[0].rate());
      if (s.size() > 2) std::printf("  %.2f x %s", s[1].rate() / s[2].rate(), s[2].name.c_str());
      std::printf("\n");
    }
    if (bytes_ == 0) return;
    const std::size_t rows = bytes_ / nbit::form_of<F>.tile_bytes(cols) * nbit::tile_form::rows;
    const auto big = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(rows));
    std::vector<subject> s = {read_limit(memory_)};
    for (const std::size_t tokens : {std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{8}, std::size_t{16}}) {
      auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
      auto act = std::make_shared<nbit::int8_activation_matrix<Group>>(
          *nbit::int8_activation_matrix<Group>::make({tokens, cols}));
      auto y = std::make_shared<std::vector<float>>(tokens * rows);
      s.push_back({name, double(big->bytes.size()), [=] {
                     nbit::quantize_activations({x->data(), tokens, cols}, act->view());
                     nbit::gemm(big->view(), act->view(), {y->data(), tokens, rows});
                     keep((*y)[0]);
                   }});
    }
    measure(s, rounds_);
    std::printf("gemv %-8s a%-4d share of read bandwidth:", name, Group);
    for (std::size_t i = 1; i < s.size(); ++i) std::printf("  M=%d %.3f", 1 << (i - 1), s[i].rate() / s[0].rate());
    std::printf("\n");
  }

  /// What silu, a gate and a residual cost after a product.
  template <class F, int Group>
  void steps(const char* name) {
    if (!only_.empty() && std::string(name).find(only_) == std::string::npos) return;
    constexpr std::size_t tokens = 512;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    auto act = std::make_shared<nbit::int8_activation_matrix<Group>>(
        *nbit::int8_activation_matrix<Group>::make({tokens, cols}));
    nbit::quantize_activations({some_activations(tokens).data(), tokens, cols}, act->view());
    auto y = std::make_shared<std::vector<float>>(tokens * outputs), gate = std::make_shared<std::vector<float>>(*y);
    const nbit::matrix_view<float> to(y->data(), tokens, outputs), other(gate->data(), tokens, outputs);
    const auto after = nbit::then(nbit::silu{}, nbit::multiply_by{other}, nbit::add_residual{other});
    std::vector<subject> s = {{"product", 1, [=] { nbit::gemm(w->view(), act->view(), to); }},
                              {"steps", 1, [=] { nbit::apply(after, to); }}};
    measure(s, rounds_);
    std::printf("gemm %-8s a%-4d M=%-4zu silu, gate and residual take %.3f of the product's time\n", name, Group,
                tokens, s[0].rate() / s[1].rate());
  }

  /// Two threads against one by the clock on the wall, the best of all rounds: what an idle machine would do.
  template <class F, int Group>
  void threads(const char* name) {
    if (!only_.empty() && std::string(name).find(only_) == std::string::npos) return;
    nbit::thread_pool pool(2);
    constexpr std::size_t rows = 4096, tokens = 128;
    const auto w = some_tiles<F>(rows);
    auto act = *nbit::int8_activation_matrix<Group>::make({tokens, cols});
    nbit::quantize_activations({some_activations(tokens).data(), tokens, cols}, act.view());
    std::vector<float> y(tokens * rows);
    const auto best = [&](const std::vector<std::function<void()>>& calls) {
      std::vector<double> least(calls.size(), 1e30);
      for (int round = 0; round < 3 * rounds_; ++round)
        for (std::size_t i = 0; i < calls.size(); ++i) {
          timespec from{}, to{};
          clock_gettime(CLOCK_MONOTONIC, &from);
          calls[i]();
          clock_gettime(CLOCK_MONOTONIC, &to);
          least[i] = std::min(least[i], double(to.tv_sec - from.tv_sec) + 1e-9 * double(to.tv_nsec - from.tv_nsec));
        }
      return least;
    };
    const auto spin = [](std::size_t) { peak_limit().call(); };
    const auto gemm = best({[&] { nbit::serial{}(8, spin); }, [&] { pool(8, spin); },
                            [&] { nbit::gemm(w.view(), act.view(), {y.data(), tokens, rows}); },
                            [&] { nbit::gemm(w.view(), act.view(), {y.data(), tokens, rows}, pool); }});
    std::printf("gemm %-8s a%-4d M=%-4zu two threads: %.2f x one; registers alone: %.2f x\n", name, Group, tokens,
                gemm[2] / gemm[3], gemm[0] / gemm[1]);
    if (bytes_ == 0) return;
    const auto big = some_tiles<F>(bytes_ / nbit::form_of<F>.tile_bytes(cols) * nbit::tile_form::rows);
    auto one = *nbit::int8_activation_matrix<Group>::make({1, cols});
    nbit::quantize_activations({some_activations(1).data(), 1, cols}, one.view());
    std::vector<float> out(big.rows);
    const auto half = [&](std::size_t i) {
      keep(nbit::arch::dispatch([&](auto t) {
        return limits<decltype(t)>::read(std::span<const std::byte>(memory_).subspan(i * bytes_ / 64, bytes_ / 64));
      }));
    };
    const auto gemv =
        best({[&] { pool(64, half); }, [&] { nbit::gemv(big.view(), one.view(), std::span<float>(out), pool); },
              [&] { nbit::gemv(big.view(), one.view(), std::span<float>(out)); }});
    std::printf("gemv %-8s a%-4d two threads: %.2f x one, %.2f of their read bandwidth\n", name, Group,
                gemv[2] / gemv[1], gemv[0] / gemv[1] * double(big.bytes.size()) / double(bytes_));
  }

  template <class F>
  void bf16(const char* name) {
    if (!only_.empty() && std::string(name).find(only_) == std::string::npos) return;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    for (const std::size_t tokens :
         {std::size_t{1}, std::size_t{8}, std::size_t{32}, std::size_t{128}, std::size_t{512}}) {
      auto x = std::make_shared<std::vector<nbit::bf16>>();
      for (const float v : some_activations(tokens)) x->push_back(nbit::bf16::from(v));
      auto y = std::make_shared<std::vector<float>>(tokens * outputs);
      std::vector<subject> s = {bf16_peak_limit(), {name, 2.0 * double(tokens) * outputs * cols, [=] {
                                                      nbit::gemm(w->view(), {x->data(), tokens, cols},
                                                                 {y->data(), tokens, outputs});
                                                      keep((*y)[0]);
                                                    }}};
      measure(s, rounds_);
      std::printf("gemm %-8s bf16  M=%-4zu %8.1f GFLOP/s  %.3f of bf16 peak\n", name, tokens, s[1].rate() * 1e-9,
                  s[1].rate() / s[0].rate());
    }
  }

  template <class F>
  void floats(const char* name) {
    if (!only_.empty() && std::string(name).find(only_) == std::string::npos) return;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    const auto dense = std::make_shared<std::vector<float>>(outputs * cols, 0.01f);
    using sgemm_t =
        void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
    const blas_peer blas;
    const auto sgemm = blas.symbol<sgemm_t>("cblas_sgemm");
    for (const std::size_t tokens : {std::size_t{8}, std::size_t{32}, std::size_t{128}, std::size_t{512}}) {
      auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
      auto y = std::make_shared<std::vector<float>>(tokens * outputs);
      std::vector<subject> s = {peak_limit(), {name, 2.0 * double(tokens) * outputs * cols, [=] {
                                                 nbit::gemm(w->view(), {x->data(), tokens, cols},
                                                            {y->data(), tokens, outputs});
                                                 keep((*y)[0]);
                                               }}};
      if (sgemm != nullptr)
        s.push_back({"OpenBLAS sgemm", s[1].work, [=] {
                       sgemm(101, 111, 112, int(tokens), int(outputs), int(cols), 1.0f, x->data(), int(cols),
                             dense->data(), int(cols), 0.0f, y->data(), int(outputs));
                       keep((*y)[0]);
                     }});
      measure(s, rounds_);
      std::printf("gemm %-8s f32   M=%-4zu %8.1f GFLOP/s  %.3f of multiply-add peak", name, tokens, s[1].rate() * 1e-9,
                  s[1].rate() / s[0].rate());
      if (s.size() > 2) std::printf("  %.2f x %s on f32 weights", s[1].rate() / s[2].rate(), s[2].name.c_str());
      std::printf("\n");
    }
    if (sgemm == nullptr) std::printf("OpenBLAS is not measured: no libopenblas.so.0\n");
  }

 private:
  std::size_t bytes_;
  int rounds_;
  std::string only_;
  std::vector<std::byte> memory_;
  ggml_peer ggml_;
};

// The units.
void gemm_planar(gemm_bench& b);
void gemm_legacy(gemm_bench& b);
void gemm_k_quants(gemm_bench& b);

}  // namespace nbit_bench

#endif
