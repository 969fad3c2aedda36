// bench/cuda/cuda_bench.cu — nbit's kernels, cuBLAS and the memory, interleaved in one run on one GPU; prints ratios.
//
//   nvcc -std=c++20 --expt-relaxed-constexpr -O3 -arch=native -I include bench/cuda/cuda_bench.cu -lcublas -o
//   cuda_bench
//   ./cuda_bench            then, for the peers that come as Python wheels:  python3 bench/cuda/peers.py
//
// Columns: share of the measured read bandwidth, ratio to cuBLAS on the same shape and type, share of cuBLAS' rate on
// 2048 rows of the largest shape; medians of the rounds. Then dequantize as a share of the bandwidth, the Gram matrix
// as a share of cuBLAS' rate in float, and GPTQ in milliseconds, its factor made on the host. M: rows of activations.
// Matrices are equal bytes: only the time is looked at here (tests/cuda/run_device.sh looks at results).
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <type_traits>
#include <vector>

#include <cublas_v2.h>

#include <nbit/format/codebook.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/marlin.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/adapters/cublas_gptq.hpp>
#include <nbit/cuda/operations.hpp>

namespace {

constexpr int rounds = 21;

/// Rows that go through gemv. In warp tiles gemm reads weights as gemv does and has the tensor cores for the rest.
template <class L>
constexpr std::size_t most_for_gemv = std::is_same_v<L, nbit::warp_tiles> ? 2 : 8;

struct size {
  std::size_t rows, cols;
};

/// Sums 16 bytes a thread at a time: what the memory can deliver.
struct read_kernel {
  static constexpr unsigned threads = 256;
  static constexpr std::size_t shared_bytes = 0;
  const uint4* from;
  std::size_t count;
  unsigned* to;
  template <class Context>
  __device__ void operator()(Context& self) const {
    unsigned sum = 0;
    const std::size_t step = std::size_t{self.blocks()} * threads;
    for (std::size_t i = std::size_t{self.block()} * threads + self.thread(); i < count; i += step) {
      const uint4 v = from[i];
      sum += v.x ^ v.y ^ v.z ^ v.w;
    }
    if (sum == 0x12345678u) *to = sum;
  }
};

class stopwatch {
 public:
  stopwatch() { cudaEventCreate(&begin_), cudaEventCreate(&end_); }
  ~stopwatch() { cudaEventDestroy(begin_), cudaEventDestroy(end_); }
  /// Seconds of one call.
  template <class F>
  double of(F&& f) {
    cudaEventRecord(begin_);
    f();
    cudaEventRecord(end_);
    cudaEventSynchronize(end_);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin_, end_);
    return double(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t begin_, end_;
};

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + std::ptrdiff_t(v.size() / 2), v.end());
  return v[v.size() / 2];
}

struct bench {
  cublasHandle_t blas = nullptr;
  std::byte* weights = nullptr;  // several copies, so that the second-level cache does not hold them
  std::size_t weight_bytes = std::size_t{4} << 30;
  std::byte *x = nullptr, *dense = nullptr, *out = nullptr;  // 16-bit floats
  float* y = nullptr;
  stopwatch watch;

  bool ready() {
    return cublasCreate(&blas) == CUBLAS_STATUS_SUCCESS && cudaMalloc(&weights, weight_bytes) == cudaSuccess &&
           cudaMemset(weights, 0x22, weight_bytes) == cudaSuccess &&
           cudaMalloc(&x, std::size_t{2048} * 28672 * 2) == cudaSuccess &&
           cudaMalloc(&dense, std::size_t{8192} * 28672 * 2) == cudaSuccess &&
           cudaMalloc(&out, std::size_t{2048} * 28672 * 2) == cudaSuccess &&
           cudaMalloc(&y, std::size_t{2048} * 28672 * 4) == cudaSuccess &&
           cudaMemset(x, 0, std::size_t{2048} * 28672 * 2) == cudaSuccess &&
           cudaMemset(dense, 0, std::size_t{8192} * 28672 * 2) == cudaSuccess;
  }

  double bandwidth() {
    const read_kernel kernel{reinterpret_cast<const uint4*>(weights), weight_bytes / 16,
                             reinterpret_cast<unsigned*>(y)};
    return double(weight_bytes) / watch.of([&] { (void)nbit::cuda::launch(kernel, 4096, 1, nullptr); });
  }

  template <class T>
  double dense_product(size s, std::size_t tokens) {
    constexpr cudaDataType type = std::is_same_v<T, nbit::f16> ? CUDA_R_16F : CUDA_R_16BF;
    const float one = 1, zero = 0;
    return watch.of([&] {
      cublasGemmEx(blas, CUBLAS_OP_T, CUBLAS_OP_N, int(s.rows), int(tokens), int(s.cols), &one, dense, type,
                   int(s.cols), x, type, int(s.cols), &zero, out, type, int(s.rows), CUBLAS_COMPUTE_32F,
                   CUBLAS_GEMM_DEFAULT);
    });
  }
  /// Products a second of cuBLAS where it has most to do.
  double dense_rate() {
    std::vector<double> times;
    for (int i = 0; i < rounds; ++i) times.push_back(dense_product<nbit::f16>({28672, 8192}, 2048));
    return 28672.0 * 8192.0 * 2048.0 / median(times);
  }

  template <class F, class L>
  nbit::packed_view<F, L> copy_of(int round, size s) const {
    const std::size_t bytes = nbit::packed_bytes<F, L>({s.rows, s.cols}), step = (bytes + 255) / 256 * 256;
    return {std::span<const std::byte>(weights + std::size_t(round) % (weight_bytes / step) * step, bytes),
            {s.rows, s.cols}};
  }

  template <class F, class L, class T = nbit::f16>
  void row(const char* name, size s, std::size_t tokens, double rate) {
    const auto bytes = double(nbit::packed_bytes<F, L>({s.rows, s.cols}));
    std::vector<double> ours, blas_times, share;
    bool good = true;
    for (int i = 0; i < rounds; ++i) {
      const double limit = bandwidth();
      const auto w = copy_of<F, L>(i, s);
      const nbit::matrix_view<const T> in(reinterpret_cast<const T*>(x), tokens, s.cols);
      const nbit::matrix_view<float> result(y, tokens, s.rows);
      const double t = watch.of([&] {
        good = good && (tokens <= most_for_gemv<L> ? nbit::cuda::gemv(w, in, result, nullptr)
                                                   : nbit::cuda::gemm(w, in, result, nullptr));
      });
      ours.push_back(t), blas_times.push_back(dense_product<T>(s, tokens));
      share.push_back(bytes / t / limit);
    }
    const double products = double(s.rows) * double(s.cols) * double(tokens);
    std::printf("%-22s %5zu x %5zu  M %4zu   %5.2f of bandwidth   %6.2f x cuBLAS   %5.2f of its best%s\n", name, s.rows,
                s.cols, tokens, median(share), median(blas_times) / median(ours), products / median(ours) / rate,
                good ? "" : "   FAILED");
  }

  /// Bytes read and written, as a share of what the memory delivers to readers.
  template <class F, class L>
  void dequantize(const char* name, size s) {
    const double bytes = double(nbit::packed_bytes<F, L>({s.rows, s.cols})) + 2.0 * double(s.rows) * double(s.cols);
    std::vector<double> share;
    bool good = true;
    for (int i = 0; i < rounds; ++i) {
      const double limit = bandwidth();
      const auto w = copy_of<F, L>(i, s);
      const nbit::matrix_view<nbit::f16> to(reinterpret_cast<nbit::f16*>(dense), s.rows, s.cols);
      share.push_back(bytes / watch.of([&] { good = good && nbit::cuda::dequantize(w, to, nullptr); }) / limit);
    }
    std::printf("dequantize to f16, %-13s %5zu x %5zu   %5.2f of bandwidth%s\n", name, s.rows, s.cols, median(share),
                good ? "" : "   FAILED");
  }

  /// 8192 tokens by 4096, and GPTQ on 4096 x 4096 with their sums: wall clock, for both go through the host.
  void solver() {
    constexpr std::size_t cols = 4096, tokens = 8192;
    const auto seconds = [](auto&& f) {
      const auto begin = std::chrono::steady_clock::now();
      f();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    std::vector<float> numbers(tokens * cols);
    std::uint32_t state = 1;
    for (float& v : numbers) state = state * 1664525u + 1013904223u, v = float(state >> 8) * 0x1p-23f - 1.0f;
    const nbit::matrix_view<const float> all(numbers.data(), tokens, cols), w(numbers.data(), cols, cols);

    auto* const a = reinterpret_cast<float*>(dense);
    auto* const product = reinterpret_cast<float*>(weights);
    const float one = 1, zero = 0;
    std::vector<double> syrk;
    cudaMemcpy(a, numbers.data(), numbers.size() * sizeof(float), cudaMemcpyHostToDevice);
    for (int i = 0; i < rounds; ++i)
      syrk.push_back(watch.of([&] {
        cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_T, int(cols), int(cols), int(tokens), &one, a, int(cols), a, int(cols),
                    &zero, product, int(cols));
      }));
    auto gram = nbit::cublas_gram::make(cols);
    nbit::hessian h(cols);
    bool good = bool(gram);
    const double ours = seconds([&] { good = good && gram->add(h, all); });
    std::printf("Gram of %zu tokens x %zu   %8.1f ms, %5.2f of cuBLAS' float product alone%s\n", tokens, cols,
                1e3 * ours, median(syrk) / ours, good ? "" : "   FAILED");

    auto codes = nbit::round_to_nearest<nbit::w4g128>(w);
    good = good && codes;
    const double gptq = seconds([&] { good = good && nbit::gptq_on_device<nbit::w4g128>(blas, w, h, *codes); });
    std::printf("GPTQ %zu x %zu given the Gram   %8.1f ms%s\n", cols, cols, 1e3 * gptq, good ? "" : "   FAILED");
  }
};

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: no GPU");
    return 77;
  }
  cudaDeviceProp properties{};
  cudaGetDeviceProperties(&properties, 0);
  bench b;
  if (!b.ready()) {
    std::puts("skipped: cuBLAS or 6 GB of memory are not to be had");
    return 77;
  }
  std::printf("%s; nbit against cuBLAS f16 and the memory, medians of %d interleaved rounds\n", properties.name,
              rounds);
  const double rate = b.dense_rate();
  for (const size s : {size{4096, 4096}, size{14336, 4096}, size{28672, 8192}})
    for (const std::size_t tokens : {1, 2, 4, 8, 16, 32, 64, 128, 512, 2048}) {
      b.row<nbit::w4g128, nbit::linear>("w4g128", s, tokens, rate);
      b.row<nbit::w4g128, nbit::warp_tiles>("w4g128, warp tiles", s, tokens, rate);
      b.row<nbit::w4g128, nbit::warp_tiles, nbit::bf16>("w4g128, tiles, bf16", s, tokens, rate);
      b.row<nbit::nf4, nbit::warp_tiles>("NF4, warp tiles", s, tokens, rate);
      b.row<nbit::w4g128, nbit::gptq_words>("w4g128, GPTQ words", s, tokens, rate);
      b.row<nbit::w4g128, nbit::marlin>("w4g128, Marlin", s, tokens, rate);
      b.row<nbit::nf4, nbit::linear>("NF4", s, tokens, rate);
      b.row<nbit::q4_k, nbit::blocks>("Q4_K", s, tokens, rate);
      b.row<nbit::q8_0, nbit::blocks>("Q8_0", s, tokens, rate);
    }
  b.dequantize<nbit::w4g128, nbit::linear>("w4g128", {28672, 8192});
  b.dequantize<nbit::nf4, nbit::linear>("NF4", {28672, 8192});
  b.dequantize<nbit::q4_k, nbit::blocks>("Q4_K", {28672, 8192});
  b.dequantize<nbit::q8_0, nbit::blocks>("Q8_0", {28672, 8192});
  b.solver();
}
