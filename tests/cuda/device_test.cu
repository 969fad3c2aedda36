// On a GPU: every kernel over every way of reading against the CPU's operations, odd shapes, refusals, graph capture.
// Run by tests/cuda/run_device.sh; prints what it compared and ends with 77 where there is no device.
// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/awq_gemv_rows.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/marlin.hpp>
#include <nbit/layout/split.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/attention.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/cuda/describe.hpp>
#include <nbit/cuda/operations.hpp>

#include "cuda/products.hpp"
#include "support/random.hpp"

namespace device_test {

using nbit_test::activations;
using nbit_test::w3g64a;
using nbit_test::w8row;

struct w2g16f : nbit::uniform<nbit::scheme{.bits = 2, .group = 16, .symmetry = nbit::symmetry::asymmetric_float}> {};

int compared = 0, failed = 0;

bool expect(bool good, const char* what) {
  ++compared;
  if (!good) {
    ++failed;
    std::printf("FAILED: %s\n", what);
  }
  return good;
}

/// Device memory with a copy of host bytes.
template <class T>
class device_array {
 public:
  explicit device_array(std::size_t n) : count_(n) {
    if (n != 0 && cudaMalloc(&data_, n * sizeof(T)) != cudaSuccess) data_ = nullptr;
    if (data_ != nullptr) cudaMemset(data_, 0xee, n * sizeof(T));
  }
  explicit device_array(const std::vector<T>& from) : device_array(from.size()) {
    if (data_ != nullptr) cudaMemcpy(data_, from.data(), count_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  device_array(const device_array&) = delete;
  device_array& operator=(const device_array&) = delete;
  ~device_array() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> v(count_);
    if (data_ != nullptr) cudaMemcpy(v.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost);
    return v;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

/// Whether y (tokens x rows) is within its bound of sums in double; step: the size of one rounding of a weight.
template <class T>
bool close(const std::vector<float>& y, const std::vector<float>& w, const std::vector<T>& x, nbit::shape s,
           std::size_t tokens, double step) {
  return !nbit_test::first_far(y, w, x, s, tokens, step);
}

template <class T, class View>
void check_gemm(const View& w, const std::vector<float>& floats, nbit::shape s, double step, const char* name) {
  for (const std::size_t tokens : {67u, 5u}) {
    const auto x = activations<T>(tokens * s.cols, 11);
    const device_array<T> dx(x);
    const device_array<float> dy(tokens * s.rows);
    const auto ok = nbit::cuda::gemm(w, nbit::matrix_view<const T>(dx.data(), tokens, s.cols),
                                     nbit::matrix_view<float>(dy.data(), tokens, s.rows), nullptr);
    expect(bool(ok) && cudaDeviceSynchronize() == cudaSuccess, name);
    expect(close(dy.host(), floats, x, s, tokens, step), name);
  }
}

template <class F, class L = nbit::default_layout<F>>
void check(const char* name) {
  std::printf("%s: %s\n", name, nbit::cuda::describe(nbit::operation::gemv, nbit::packed_view<F, L>{}).how);
  for (const nbit::shape s : {nbit::shape{130, 1024}, nbit::shape{5, 320}, nbit::shape{1, 1}, nbit::shape{33, 72}}) {
    const nbit_test::packed<F, L> q(s);
    const std::vector<float>& floats = q.floats;

    // the packed bytes as they are: a view over one region has the same form on both sides
    const std::size_t bytes = nbit::packed_bytes<F, L>(s);
    std::vector<std::byte> packed(bytes);
    const auto made = q.matrix.bytes.span();
    std::memcpy(packed.data(), made.data(), bytes < made.size() ? bytes : made.size());
    const device_array<std::byte> dw(packed);
    const nbit::packed_view<F, L> w(std::span<const std::byte>(dw.data(), bytes), s);

    const device_array<float> dout(floats.size());
    const auto ok = nbit::cuda::dequantize(w, nbit::matrix_view<float>(dout.data(), s.rows, s.cols), nullptr);
    expect(bool(ok) && cudaDeviceSynchronize() == cudaSuccess, name);
    const auto out = dout.host();
    expect(std::memcmp(out.data(), floats.data(), floats.size() * sizeof(float)) == 0, name);

    for (const std::size_t tokens : {1u, 2u, 3u, 8u}) {
      const auto x = activations<float>(tokens * s.cols, 5);
      const device_array<float> dx(x), dy(tokens * s.rows);
      const auto done = nbit::cuda::gemv(w, nbit::matrix_view<const float>(dx.data(), tokens, s.cols),
                                         nbit::matrix_view<float>(dy.data(), tokens, s.rows), nullptr);
      expect(bool(done) && cudaDeviceSynchronize() == cudaSuccess, name);
      expect(close(dy.host(), floats, x, s, tokens, 0), name);
    }
    check_gemm<nbit::f16>(w, floats, s, 0x1p-11, name);
    if (const auto has = nbit::cuda::capability(); has && *has >= 80)
      check_gemm<nbit::bf16>(w, floats, s, 0x1p-8, name);
  }
}

void check_int8() {
  const nbit::shape s{67, 200};
  const std::size_t tokens = 65;
  nbit_test::random numbers(1);
  const auto source = numbers.normals(s.rows * s.cols, 0.05f);
  auto q = nbit::quantize<w8row>(nbit::arch::scalar{}, nbit::matrix_view<const float>(source.data(), s.rows, s.cols));
  const auto x = activations<float>(tokens * s.cols, 3);
  auto cpu = nbit::int8_activation_matrix<nbit::per_row>::make({tokens, s.cols});
  if (!expect(q && cpu, "int8 set-up")) return;
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), tokens, s.cols),
                             cpu->view());

  const std::size_t bytes = nbit::int8_activations<nbit::per_row>::bytes_for({tokens, s.cols});
  const device_array<std::byte> storage(bytes);
  const nbit::int8_activations<nbit::per_row> dq(std::span<std::byte>(storage.data(), bytes), {tokens, s.cols});
  const device_array<float> dx(x), dy(tokens * s.rows);
  expect(bool(nbit::cuda::quantize_activations(nbit::matrix_view<const float>(dx.data(), tokens, s.cols), dq, nullptr)),
         "int8 activations");
  expect(cudaDeviceSynchronize() == cudaSuccess, "int8 activations");
  expect(std::memcmp(storage.host().data(), cpu->bytes.span().data(), bytes) == 0,
         "int8 activations have the CPU's bytes");

  std::vector<float> floats(source.size()), decoded(x.size());
  nbit::dequantize(nbit::arch::scalar{}, q->view(), nbit::matrix_view<float>(floats.data(), s.rows, s.cols));
  const auto view = cpu->view();
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 0; c < s.cols; ++c)
      decoded[t * s.cols + c] = view.scale16(t, c / 16) * static_cast<float>(view.row_codes(t)[c]);
  std::vector<std::byte> packed(nbit::packed_bytes<w8row>(s));
  std::memcpy(packed.data(), q->bytes.span().data(), packed.size());
  const device_array<std::byte> dw(packed);
  const nbit::packed_view<w8row, nbit::linear> w(std::span<const std::byte>(dw.data(), packed.size()), s);
  const auto ok = nbit::cuda::gemm(w, dq, nbit::matrix_view<float>(dy.data(), tokens, s.rows), nullptr);
  if (const auto has = nbit::cuda::capability(); has && *has < 80) {
    expect(!ok && ok.error().code == nbit::errc::unsupported, "W8A8 below 8.0 is refused");
    return;
  }
  expect(bool(ok) && cudaDeviceSynchronize() == cudaSuccess, "W8A8");
  expect(close(dy.host(), floats, decoded, s, tokens, 0x1p-22), "W8A8");
}

void check_fp8() {
  const std::size_t rows = 5, cols = 77;
  auto x = activations<float>(rows * cols, 9);
  for (std::size_t c = 0; c < cols; ++c) x[2 * cols + c] = 0.0f;
  const device_array<float> dx(x), dscales(rows);
  const device_array<nbit::f8_e4m3> dcodes(rows * cols);
  const auto ok = nbit::cuda::quantize_activations(nbit::matrix_view<const float>(dx.data(), rows, cols),
                                                   nbit::matrix_view<nbit::f8_e4m3>(dcodes.data(), rows, cols),
                                                   dscales.data(), nullptr);
  expect(bool(ok) && cudaDeviceSynchronize() == cudaSuccess, "fp8 activations");
  const auto codes = dcodes.host();
  const auto scales = dscales.host();
  bool good = scales[2] == 0.0f;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float scale = scales[i / cols], back = static_cast<float>(codes[i]) * scale;
    good = good && std::fabs(back - x[i]) <= std::fabs(x[i]) * 0x1p-4f + scale * 0x1p-9f;
  }
  expect(good, "fp8 activations are within a rounding to e4m3");
}

/// GPTQ's g_idx: the groups of the columns in any order.
void check_group_index() {
  const nbit::shape s{37, 320};
  nbit_test::packed<w3g64a, nbit::gptq_words> q(s);
  auto index = nbit::buffer<std::uint32_t>::make(s.cols);
  if (!expect(bool(index), "g_idx set-up")) return;
  std::vector<std::uint32_t> groups(s.cols);
  for (std::size_t c = 0; c < s.cols; ++c) groups[c] = (*index)[c] = static_cast<std::uint32_t>(c * 7 % (s.cols / 64));
  q.matrix.group_index = *std::move(index);
  nbit::dequantize(nbit::arch::scalar{}, q.view(), nbit::matrix_view<float>(q.floats.data(), s.rows, s.cols));
  const std::size_t bytes = nbit::packed_bytes<w3g64a, nbit::gptq_words>(s);
  const device_array<std::byte> dw(std::vector<std::byte>(q.matrix.bytes.data(), q.matrix.bytes.data() + bytes));
  const device_array<std::uint32_t> dgroups(groups);
  nbit::packed_view<w3g64a, nbit::gptq_words> w(std::span<const std::byte>(dw.data(), bytes), s);
  w.group_index = dgroups.data();
  const device_array<float> dout(q.floats.size());
  const auto ok = nbit::cuda::dequantize(w, nbit::matrix_view<float>(dout.data(), s.rows, s.cols), nullptr);
  expect(bool(ok) && cudaDeviceSynchronize() == cudaSuccess, "g_idx");
  expect(dout.host() == q.floats, "g_idx has the CPU's weights");
}

void check_repack() {
  const nbit::shape s{77, 520};
  nbit_test::random numbers(2);
  const auto source = numbers.normals(s.rows * s.cols, 0.05f);
  auto q = nbit::quantize<w3g64a, nbit::gptq_words>(nbit::arch::scalar{},
                                                    nbit::matrix_view<const float>(source.data(), s.rows, s.cols));
  if (!expect(bool(q), "repack set-up")) return;
  const auto expected = nbit::repack<nbit::warp_tiles>(q->view());
  if (!expect(bool(expected), "repack on the host")) return;
  const std::size_t from_bytes = nbit::packed_bytes<w3g64a, nbit::gptq_words>(s);
  const std::size_t to_bytes = nbit::packed_bytes<w3g64a, nbit::warp_tiles>(s);
  std::vector<std::byte> bytes(q->bytes.data(), q->bytes.data() + from_bytes);
  const device_array<std::byte> from(bytes), to(std::vector<std::byte>(to_bytes, std::byte{0}));
  const auto ok = nbit::cuda::repack(
      nbit::packed_view<w3g64a, nbit::gptq_words>(std::span<const std::byte>(from.data(), from_bytes), s),
      nbit::packed_span<w3g64a, nbit::warp_tiles>(std::span<std::byte>(to.data(), to_bytes), s), nullptr);
  expect(bool(ok) && cudaDeviceSynchronize() == cudaSuccess, "repack");
  expect(std::memcmp(to.host().data(), expected->bytes.data(), to_bytes) == 0, "repack has the bytes of the CPU's");
}

void check_append() {
  const std::size_t capacity = 9, cols = 160, rows = 5, position = 3;
  const auto x = activations<float>(rows * cols, 8);
  auto expected = nbit::packed_matrix<nbit::q8_0>::make({capacity, cols});
  if (!expect(bool(expected), "append set-up")) return;
  std::vector<std::byte> scratch(nbit::quantize_scratch_bytes<nbit::q8_0>(cols));
  for (std::size_t r = 0; r < rows; ++r)
    expect(bool(nbit::append_row(nbit::arch::scalar{}, std::span<const float>(x.data() + r * cols, cols),
                                 expected->span(), position + r, std::span<std::byte>(scratch))),
           "append on the host");
  const std::size_t bytes = nbit::packed_bytes<nbit::q8_0>({capacity, cols});
  const device_array<std::byte> cache(std::vector<std::byte>(bytes, std::byte{0}));
  const device_array<float> dx(x);
  const nbit::packed_span<nbit::q8_0> view(std::span<std::byte>(cache.data(), bytes), {capacity, cols});
  const nbit::matrix_view<const float> in(dx.data(), rows, cols);
  expect(bool(nbit::cuda::append_rows(in, view, position, nullptr)) && cudaDeviceSynchronize() == cudaSuccess,
         "append");
  expect(std::memcmp(cache.host().data(), expected->bytes.data(), bytes) == 0, "append has the bytes of the CPU's");
  const auto full = nbit::cuda::append_rows(in, view, capacity - 1, nullptr);
  expect(!full && full.error().code == nbit::errc::shape, "rows beyond the cache are refused");
}

void check_refusals() {
  float on_host[64] = {};
  const device_array<std::byte> dw(nbit::packed_bytes<nbit::q8_0>({2, 32}) + 16);
  const device_array<float> dx(32), dy(2);
  const nbit::matrix_view<const float> x(dx.data(), 1, 32);
  const nbit::matrix_view<float> y(dy.data(), 1, 2);
  const auto view = [&](std::size_t skip) {
    return nbit::packed_view<nbit::q8_0>(
        std::span<const std::byte>(dw.data() + skip, nbit::packed_bytes<nbit::q8_0>({2, 32})), {2, 32});
  };
  const auto skewed = nbit::cuda::gemv(view(2), x, y, nullptr);
  expect(!skewed && skewed.error().code == nbit::errc::shape, "misaligned weights are refused");
  const auto host = nbit::cuda::gemv(view(0), x, nbit::matrix_view<float>(on_host, 1, 2), nullptr);
  expect(bool(host) || host.error().code == nbit::errc::device,
         "pageable host memory is refused where no device can read it");
  const auto shape = nbit::cuda::gemv(view(0), nbit::matrix_view<const float>(dx.data(), 1, 31), y, nullptr);
  expect(!shape && shape.error().code == nbit::errc::shape, "a wrong number of columns is refused");
  const auto rows = nbit::cuda::gemv(view(0), nbit::matrix_view<const float>(dx.data(), 9, 0), y, nullptr);
  expect(!rows && rows.error().code == nbit::errc::shape, "nine rows are refused by gemv");
  const auto skewed_y = nbit::cuda::gemv(
      view(0), x, nbit::matrix_view<float>(reinterpret_cast<float*>(reinterpret_cast<std::byte*>(dy.data()) + 2), 1, 2),
      nullptr);
  expect(!skewed_y && skewed_y.error().code == nbit::errc::shape, "a misaligned y is refused");
  const auto huge =
      nbit::cuda::launch(nbit::cuda::dequantize_kernel<nbit::packed_view<nbit::q8_0>, float>{}, 1, 65536, nullptr);
  expect(!huge && huge.error().code == nbit::errc::overflow, "a grid beyond the hardware's is refused");
  const auto capable = nbit::cuda::require_capability(10000);
  expect(!capable && capable.error().code == nbit::errc::unsupported, "a missing compute capability is refused");
  int devices = 0;
  if (cudaGetDeviceCount(&devices) == cudaSuccess && devices > 1) {
    cudaSetDevice(1);
    const auto other = nbit::cuda::gemv(view(0), x, y, nullptr);
    expect(!other && other.error().code == nbit::errc::device, "memory of another device is refused");
    cudaSetDevice(0);
  } else {
    std::puts("skipped: memory of another device: there is one device");
  }
  expect(cudaDeviceSynchronize() == cudaSuccess, "refusals leave no error behind");
}

void check_graph() {
  const nbit::shape s{64, 256};
  const device_array<std::byte> dw(std::vector<std::byte>(nbit::packed_bytes<nbit::q8_0>(s)));
  const device_array<float> dx(std::vector<float>(s.cols, 1.0f)), dy(s.rows);
  const nbit::packed_view<nbit::q8_0> w(std::span<const std::byte>(dw.data(), nbit::packed_bytes<nbit::q8_0>(s)), s);
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  expect(cudaStreamCreate(&stream) == cudaSuccess, "a stream");
  expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess, "capture begins");
  expect(bool(nbit::cuda::gemv(w, nbit::matrix_view<const float>(dx.data(), 1, s.cols),
                               nbit::matrix_view<float>(dy.data(), 1, s.rows), stream)),
         "gemv while a graph is captured");
  expect(cudaStreamEndCapture(stream, &graph) == cudaSuccess, "capture ends");
  expect(cudaGraphInstantiate(&ready, graph, 0) == cudaSuccess && cudaGraphLaunch(ready, stream) == cudaSuccess &&
             cudaStreamSynchronize(stream) == cudaSuccess,
         "the graph runs");
  for (const float v : dy.host()) expect(v == 0.0f, "the graph's result");
  cudaGraphExecDestroy(ready), cudaGraphDestroy(graph), cudaStreamDestroy(stream);
}

}  // namespace device_test

int main() {
  using namespace device_test;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: cuda device: no GPU");
    return 77;
  }
  cudaDeviceProp properties{};
  cudaGetDeviceProperties(&properties, 0);
  std::printf("%s, compute capability %d.%d\n", properties.name, properties.major, properties.minor);

  check<nbit::w4g128>("w4g128, linear");
  check<nbit::w4g128, nbit::gptq_words>("w4g128, GPTQ words");
  check<nbit::w4g128, nbit::awq_interleave>("w4g128, AWQ's order");
  check<nbit::w4g128, nbit::tiled<16>>("w4g128, tiled");
  check<nbit::w4g128, nbit::marlin>("w4g128, Marlin");
  check<nbit::w4g128, nbit::warp_tiles>("w4g128, warp tiles");
  check<w3g64a, nbit::warp_tiles>("3 bits, asymmetric, warp tiles");
  check<w8row, nbit::warp_tiles>("8 bits, a scale a row, warp tiles");
  check<nbit::nf4, nbit::warp_tiles>("NF4, warp tiles");
  check<w3g64a, nbit::gptq_words>("3 bits, asymmetric, GPTQ words");
  check<nbit::nf4>("NF4");
  check<nbit::fp4>("FP4");
  check<nbit::q4_0>("Q4_0");
  check<nbit::q4_1>("Q4_1");
  check<nbit::q5_0>("Q5_0");
  check<nbit::q5_1>("Q5_1");
  check<nbit::q8_0>("Q8_0");
  check<nbit::q2_k>("Q2_K");
  check<nbit::q3_k>("Q3_K");
  check<nbit::q4_k>("Q4_K");
  check<nbit::q5_k>("Q5_K");
  check<nbit::q6_k>("Q6_K");
  check<nbit::iq4_nl>("IQ4_NL");
  check<nbit::iq4_xs>("IQ4_XS");
  check<nbit::mxfp4>("MXFP4");
  check<nbit::nvfp4>("NVFP4");
  check<nbit::q1_0>("Q1_0");
  check<nbit::q2_0>("Q2_0");
  check<nbit::tq1_0>("TQ1_0");
  check<nbit::tq2_0>("TQ2_0");
  check<nbit::iq3_s>("IQ3_S");
  check<nbit::iq2_xs>("IQ2_XS");
  check<nbit::iq2_xxs>("IQ2_XXS");
  check<nbit::iq1_s>("IQ1_S");
  check<nbit_test::whole_q6_k>("a user's block format");
  check<w2g16f>("2 bits, fractional zeros, groups of 16");
  check<nbit::w4g128, nbit::awq_gemv_rows>("w4g128, AWQ gemv");
  check<nbit::w4g128, nbit::split_nibble>("w4g128, split nibbles");
  check<nbit::iq3_xxs>("IQ3_XXS");
  check<nbit::iq2_s>("IQ2_S");
  check<nbit::iq1_m>("IQ1_M");
  check_int8();
  check_fp8();
  check_group_index();
  check_repack();
  check_append();
  check_refusals();
  check_graph();
  std::printf("count: cuda device: %d compared, %d failed\n", compared, failed);
  return failed == 0 ? 0 : 1;
}
