// bench/kernel/gemm_bench.cpp — row tiles: gemv from memory, gemm with int8, bf16 and f32 activations, beside the
// machine's limits and peers, taken in turn, one thread.
//
//   nbit_gemm_bench [MiB of weights for gemv = 512, 0: none] [rounds = 7] [part of a format's name = all]
//
// gemm: 1024 x 4096 weights; figures are shares of the int8, bf16 or f32 multiply-add peak of the instruction set that
// runs (NBIT_ARCH narrows it). Both sides quantize f32 activations inside the measured time. ggml: its repacked gemm
// kernels of the same type (bench/support/ggml_peer.hpp). OpenBLAS: cblas_sgemm by dlopen; OPENBLAS_CORETYPE=SkylakeX
// makes it take its AVX-512 kernels on machines it does not know. onnxruntime and OpenVINO: bench/kernel/gemm_peers.py.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <time.h>

#include <bench/support/ggml_peer.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/nbit.hpp>

namespace {

template <class Arch>
struct limits;

}  // namespace

#define NBIT_STAMP_EXTENSIONS
#define NBIT_STAMP <bench/kernel/limits.inl>
#include <nbit/arch/stamp.inl>

namespace {

constexpr std::size_t outputs = 1024, cols = 4096;

float sink;
void keep(float v) { *const_cast<volatile float*>(&sink) = v; }

// CPU time of the thread: a busy machine disturbs it less than the clock on the wall
double seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

struct subject {
  std::string name;
  double work = 0;
  std::function<void()> call;
  std::vector<double> took;
  [[nodiscard]] double rate() const { return work / took[took.size() / 2]; }
};

void measure(std::vector<subject>& subjects, int rounds) {
  for (int round = -1; round < rounds; ++round)
    for (subject& s : subjects) {
      const double start = seconds();
      s.call();
      if (round >= 0) s.took.push_back(seconds() - start);
    }
  for (subject& s : subjects) std::sort(s.took.begin(), s.took.end());
}

std::vector<float> some_activations(std::size_t tokens) {
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

nbit_bench::ggml_peer ggml;

// ggml's gemm on weights it has repacked: four tokens are quantized into one interleaved block, eight rows are woven.
subject ggml_gemm(const char* kernel, const char* quantizer, std::size_t row_bytes, std::size_t token_bytes,
                  std::size_t tokens) {
  using quantize_t = void (*)(const float*, void*, std::int64_t);
  const auto run = ggml.repacked(kernel);
  const auto quantize = ggml.symbol<quantize_t>(quantizer);
  if (run == nullptr || quantize == nullptr) return {};
  auto w = std::make_shared<std::vector<std::uint32_t>>(outputs * row_bytes / 4 + 64, 0x2c332c33u);
  auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
  auto q = std::make_shared<std::vector<std::byte>>(tokens * token_bytes + 64);
  auto y = std::make_shared<std::vector<float>>(tokens * outputs);
  return {std::string("ggml ") + kernel,
          2.0 * double(tokens) * outputs * cols,
          [=] {
            for (std::size_t m = 0; m < tokens; m += 4)
              quantize(x->data() + m * cols, q->data() + m * token_bytes, std::int64_t(cols));
            run(int(cols), y->data(), outputs, w->data(), q->data(), int(tokens), int(outputs));
            keep((*y)[0]);
          },
          {}};
}

// ggml's gemm for types that it does not repack: dots of rows with tokens, in tiles of sixteen by sixteen.
subject ggml_dots(int type, std::size_t tokens) {
  const auto* const traits = ggml.cpu(type);
  if (traits == nullptr || traits->vec_dot == nullptr) return {};
  const auto quantize = ggml.cpu(traits->dot_type)->from_float;
  const auto dot = traits->vec_dot;
  const std::size_t row = ggml.row_bytes(type, cols), token = ggml.row_bytes(traits->dot_type, cols);
  auto w = std::make_shared<std::vector<std::uint32_t>>(outputs * row / 4 + 64, 0x2c332c33u);
  auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
  auto q = std::make_shared<std::vector<std::byte>>(tokens * token + 64);
  auto y = std::make_shared<std::vector<float>>(tokens * outputs);
  return {std::string("ggml ") + ggml.base(type)->name + " dots",
          2.0 * double(tokens) * outputs * cols,
          [=] {
            for (std::size_t m = 0; m < tokens; ++m)
              quantize(x->data() + m * cols, q->data() + m * token, std::int64_t(cols));
            const auto* const weights = reinterpret_cast<const std::byte*>(w->data());
            for (std::size_t n = 0; n < outputs; n += 16)
              for (std::size_t m0 = 0; m0 < tokens; m0 += 16)
                for (std::size_t m = m0; m < m0 + 16 && m < tokens; ++m)
                  for (std::size_t r = n; r < n + 16; ++r)
                    dot(int(cols), y->data() + m * outputs + r, 0, weights + r * row, 0, q->data() + m * token, 0, 1);
            keep((*y)[0]);
          },
          {}};
}

struct bench {
  std::size_t bytes;
  int rounds;
  std::string only;
  nbit::buffer<std::byte> memory;

  subject read() {
    return {"read bandwidth",
            double(bytes),
            [this] { keep(nbit::arch::dispatch([&](auto t) { return limits<decltype(t)>::read(memory.span()); })); },
            {}};
  }
  static subject peak() {
    return {"multiply-add peak",
            limits<nbit::arch::scalar>::peak_operations,
            [] { keep(nbit::arch::dispatch([](auto t) { return limits<decltype(t)>::peak(); })); },
            {}};
  }
  static subject int8_peak() {
    return {"int8 peak",
            limits<nbit::arch::scalar>::int8_operations,
            [] { keep(nbit::arch::dispatch([](auto t) { return limits<decltype(t)>::int8_peak(); })); },
            {}};
  }

  /// ggml_kernel: the end of its repacked kernel's name, "q4_0_8x8_q8_0", or nullptr.
  template <class F, int Group>
  void format(const char* name, const char* ggml_kernel = nullptr) {
    if (!only.empty() && std::string(name).find(only) == std::string::npos) return;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    for (const std::size_t tokens : {std::size_t{8}, std::size_t{32}, std::size_t{128}, std::size_t{512}}) {
      auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
      auto act = std::make_shared<nbit::int8_activation_matrix<Group>>(
          *nbit::int8_activation_matrix<Group>::make({tokens, cols}));
      auto y = std::make_shared<std::vector<float>>(tokens * outputs);
      std::vector<subject> s = {int8_peak(),
                                {name,
                                 2.0 * double(tokens) * outputs * cols,
                                 [=] {
                                   nbit::quantize_activations({x->data(), tokens, cols}, act->view());
                                   nbit::gemm(w->view(), act->view(), {y->data(), tokens, outputs});
                                   keep((*y)[0]);
                                 },
                                 {}}};
      if constexpr (nbit::block_format<F>) {
        constexpr bool k = F::group == 256;
        subject peer;
        if (ggml && ggml_kernel != nullptr)
          peer =
              ggml_gemm((std::string("ggml_gemm_") + ggml_kernel).c_str(),
                        k ? "ggml_quantize_mat_q8_K_4x8" : "ggml_quantize_mat_q8_0_4x8",
                        cols / std::size_t(F::group) * F::block_bytes, k ? cols / 256 * 292 : cols / 32 * 34, tokens);
        else if (ggml)
          peer = ggml_dots(F::ggml_type, tokens);
        if (peer.call) s.push_back(peer);
      }
      measure(s, rounds);
      std::printf("gemm %-8s a%-4d M=%-4zu %8.1f GOP/s  %.3f of int8 peak", name, Group, tokens, s[1].rate() * 1e-9,
                  s[1].rate() / s[0].rate());
      if (s.size() > 2) std::printf("  %.2f x %s", s[1].rate() / s[2].rate(), s[2].name.c_str());
      std::printf("\n");
    }
    if (bytes == 0) return;
    const std::size_t rows = bytes / nbit::form_of<F>.tile_bytes(cols) * nbit::tile_form::rows;
    const auto big = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(rows));
    std::vector<subject> s = {read()};
    for (const std::size_t tokens : {std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{8}, std::size_t{16}}) {
      auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
      auto act = std::make_shared<nbit::int8_activation_matrix<Group>>(
          *nbit::int8_activation_matrix<Group>::make({tokens, cols}));
      auto y = std::make_shared<std::vector<float>>(tokens * rows);
      s.push_back({name,
                   double(big->bytes.size()),
                   [=] {
                     nbit::quantize_activations({x->data(), tokens, cols}, act->view());
                     nbit::gemm(big->view(), act->view(), {y->data(), tokens, rows});
                     keep((*y)[0]);
                   },
                   {}});
    }
    measure(s, rounds);
    std::printf("gemv %-8s a%-4d share of read bandwidth:", name, Group);
    for (std::size_t i = 1; i < s.size(); ++i) std::printf("  M=%d %.3f", 1 << (i - 1), s[i].rate() / s[0].rate());
    std::printf("\n");
  }

  /// Two threads against one by the clock on the wall, the best of all rounds: what an idle machine would do.
  template <class F, int Group>
  void threads(const char* name) {
    if (!only.empty() && std::string(name).find(only) == std::string::npos) return;
    nbit::thread_pool pool(2);
    constexpr std::size_t rows = 4096, tokens = 128;
    const auto w = some_tiles<F>(rows);
    auto act = *nbit::int8_activation_matrix<Group>::make({tokens, cols});
    nbit::quantize_activations({some_activations(tokens).data(), tokens, cols}, act.view());
    std::vector<float> y(tokens * rows);
    const auto best = [&](const std::vector<std::function<void()>>& calls) {
      std::vector<double> least(calls.size(), 1e30);
      for (int round = 0; round < 3 * rounds; ++round)
        for (std::size_t i = 0; i < calls.size(); ++i) {
          timespec from{}, to{};
          clock_gettime(CLOCK_MONOTONIC, &from);
          calls[i]();
          clock_gettime(CLOCK_MONOTONIC, &to);
          least[i] = std::min(least[i], double(to.tv_sec - from.tv_sec) + 1e-9 * double(to.tv_nsec - from.tv_nsec));
        }
      return least;
    };
    const auto spin = [](std::size_t) { peak().call(); };
    const auto gemm = best({[&] { nbit::serial{}(8, spin); }, [&] { pool(8, spin); },
                            [&] { nbit::gemm(w.view(), act.view(), {y.data(), tokens, rows}); },
                            [&] { nbit::gemm(w.view(), act.view(), {y.data(), tokens, rows}, pool); }});
    std::printf("gemm %-8s a%-4d M=%-4zu two threads: %.2f x one; registers alone: %.2f x\n", name, Group, tokens,
                gemm[2] / gemm[3], gemm[0] / gemm[1]);
    if (bytes == 0) return;
    const auto big = some_tiles<F>(bytes / nbit::form_of<F>.tile_bytes(cols) * nbit::tile_form::rows);
    auto one = *nbit::int8_activation_matrix<Group>::make({1, cols});
    nbit::quantize_activations({some_activations(1).data(), 1, cols}, one.view());
    std::vector<float> out(big.rows);
    const auto half = [&](std::size_t i) {
      keep(nbit::arch::dispatch(
          [&](auto t) { return limits<decltype(t)>::read(memory.span().subspan(i * bytes / 64, bytes / 64)); }));
    };
    const auto gemv =
        best({[&] { pool(64, half); }, [&] { nbit::gemv(big.view(), one.view(), std::span<float>(out), pool); },
              [&] { nbit::gemv(big.view(), one.view(), std::span<float>(out)); }});
    std::printf("gemv %-8s a%-4d two threads: %.2f x one, %.2f of their read bandwidth\n", name, Group,
                gemv[2] / gemv[1], gemv[0] / gemv[1] * double(big.bytes.size()) / double(bytes));
  }

  /// What silu, a gate and a residual cost after a product.
  template <class F, int Group>
  void steps(const char* name) {
    if (!only.empty() && std::string(name).find(only) == std::string::npos) return;
    constexpr std::size_t tokens = 512;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    auto act = std::make_shared<nbit::int8_activation_matrix<Group>>(
        *nbit::int8_activation_matrix<Group>::make({tokens, cols}));
    nbit::quantize_activations({some_activations(tokens).data(), tokens, cols}, act->view());
    auto y = std::make_shared<std::vector<float>>(tokens * outputs), gate = std::make_shared<std::vector<float>>(*y);
    const nbit::matrix_view<float> to(y->data(), tokens, outputs), other(gate->data(), tokens, outputs);
    const auto after = nbit::then(nbit::silu{}, nbit::multiply_by{other}, nbit::add_residual{other});
    std::vector<subject> s = {{"product", 1, [=] { nbit::gemm(w->view(), act->view(), to); }, {}},
                              {"steps", 1, [=] { nbit::apply(after, to); }, {}}};
    measure(s, rounds);
    std::printf("gemm %-8s a%-4d M=%-4zu silu, gate and residual take %.3f of the product's time\n", name, Group,
                tokens, s[0].rate() / s[1].rate());
  }

  static subject bf16_peak() {
    return {"bf16 peak",
            nbit::arch::dispatch_extended([](auto t) { return limits<decltype(t)>::bf16_operations; }),
            [] { keep(nbit::arch::dispatch_extended([](auto t) { return limits<decltype(t)>::bf16_peak(); })); },
            {}};
  }
  template <class F>
  void bf16(const char* name) {
    if (!only.empty() && std::string(name).find(only) == std::string::npos) return;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    for (const std::size_t tokens :
         {std::size_t{1}, std::size_t{8}, std::size_t{32}, std::size_t{128}, std::size_t{512}}) {
      auto x = std::make_shared<std::vector<nbit::bf16>>();
      for (const float v : some_activations(tokens)) x->push_back(nbit::bf16::from(v));
      auto y = std::make_shared<std::vector<float>>(tokens * outputs);
      std::vector<subject> s = {bf16_peak(),
                                {name,
                                 2.0 * double(tokens) * outputs * cols,
                                 [=] {
                                   nbit::gemm(w->view(), {x->data(), tokens, cols}, {y->data(), tokens, outputs});
                                   keep((*y)[0]);
                                 },
                                 {}}};
      measure(s, rounds);
      std::printf("gemm %-8s bf16  M=%-4zu %8.1f GFLOP/s  %.3f of bf16 peak\n", name, tokens, s[1].rate() * 1e-9,
                  s[1].rate() / s[0].rate());
    }
  }

  template <class F>
  void floats(const char* name) {
    if (!only.empty() && std::string(name).find(only) == std::string::npos) return;
    const auto w = std::make_shared<nbit::packed_matrix<F, nbit::row_tiles>>(some_tiles<F>(outputs));
    const auto dense = std::make_shared<std::vector<float>>(outputs * cols, 0.01f);
    using sgemm_t =
        void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
    void* blas = dlopen("libopenblas.so.0", RTLD_NOW);
    const auto sgemm = blas == nullptr ? nullptr : reinterpret_cast<sgemm_t>(dlsym(blas, "cblas_sgemm"));
    if (blas != nullptr)
      if (const auto threads = reinterpret_cast<void (*)(int)>(dlsym(blas, "openblas_set_num_threads"))) threads(1);
    for (const std::size_t tokens : {std::size_t{32}, std::size_t{128}, std::size_t{512}}) {
      auto x = std::make_shared<std::vector<float>>(some_activations(tokens));
      auto y = std::make_shared<std::vector<float>>(tokens * outputs);
      std::vector<subject> s = {peak(),
                                {name,
                                 2.0 * double(tokens) * outputs * cols,
                                 [=] {
                                   nbit::gemm(w->view(), {x->data(), tokens, cols}, {y->data(), tokens, outputs});
                                   keep((*y)[0]);
                                 },
                                 {}}};
      if (sgemm != nullptr)
        s.push_back({"OpenBLAS sgemm",
                     s[1].work,
                     [=] {
                       sgemm(101, 111, 112, int(tokens), int(outputs), int(cols), 1.0f, x->data(), int(cols),
                             dense->data(), int(cols), 0.0f, y->data(), int(outputs));
                       keep((*y)[0]);
                     },
                     {}});
      measure(s, rounds);
      std::printf("gemm %-8s f32   M=%-4zu %8.1f GFLOP/s  %.3f of multiply-add peak", name, tokens, s[1].rate() * 1e-9,
                  s[1].rate() / s[0].rate());
      if (s.size() > 2) std::printf("  %.2f x %s on f32 weights", s[1].rate() / s[2].rate(), s[2].name.c_str());
      std::printf("\n");
    }
    if (sgemm == nullptr) std::printf("OpenBLAS is not measured: no libopenblas.so.0\n");
  }
};

}  // namespace

int main(int argc, char** argv) {
  bench b{};
  b.bytes = std::size_t(argc > 1 ? std::atoi(argv[1]) : 512) << 20;
  b.rounds = argc > 2 ? std::atoi(argv[2]) : 7;
  b.only = argc > 3 ? argv[3] : "";
  auto memory = nbit::buffer<std::byte>::make(b.bytes);
  if (!memory) return std::printf("no memory for %zu bytes\n", b.bytes), 1;
  b.memory = *std::move(memory);
  if (b.bytes != 0) std::memset(b.memory.data(), 1, b.bytes);
  std::printf("kernel %s, one thread, medians of %d rounds in turn; %s\n", nbit::arch::selected_name(), b.rounds,
              ggml ? ggml.version().c_str() : ggml.reason().c_str());
  b.format<nbit::w4g128, 128>("w4g128");
  b.format<nbit::w4g32, 32>("w4g32");
  b.format<nbit::w4g128a, 128>("w4g128a");
  b.format<nbit::w8g128, 128>("w8g128");
  b.format<nbit::q8_0, 32>("Q8_0");
  b.format<nbit::q4_0, 32>("Q4_0", "q4_0_8x8_q8_0");
  b.format<nbit::q4_0, 256>("Q4_0", "q4_0_8x8_q8_0");
  b.format<nbit::q4_1, 256>("Q4_1");
  b.format<nbit::q5_0, 256>("Q5_0");
  b.format<nbit::iq4_nl, 256>("IQ4_NL", "iq4_nl_8x8_q8_0");
  b.format<nbit::mxfp4, 256>("MXFP4", "mxfp4_8x8_q8_0");
  b.format<nbit::q4_k, 256>("Q4_K", "q4_K_8x8_q8_K");
  b.format<nbit::q5_k, 256>("Q5_K", "q5_K_8x8_q8_K");
  b.format<nbit::q6_k, 256>("Q6_K", "q6_K_8x8_q8_K");
  b.format<nbit::q2_k, 256>("Q2_K", "q2_K_8x8_q8_K");
  b.format<nbit::q3_k, 256>("Q3_K");
  b.format<nbit::iq4_xs, 256>("IQ4_XS");
  b.format<nbit::tq2_0, 256>("TQ2_0");
  b.threads<nbit::w4g128, 128>("w4g128");
  b.steps<nbit::w4g128, 128>("w4g128");
  b.bf16<nbit::w4g128>("w4g128");
  b.bf16<nbit::w4g32>("w4g32");
  b.bf16<nbit::q4_k>("Q4_K");
  b.bf16<nbit::q8_0>("Q8_0");
  b.floats<nbit::w4g128>("w4g128");
  b.floats<nbit::q4_k>("Q4_K");
  return 0;
}
