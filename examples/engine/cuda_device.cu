// The engine's GPU: weights in device memory, nbit::cuda::gemv on one stream, eight tokens at a time.
//
// float activations, so that the greedy tokens are those of the host.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>

#include <engine/ggml_formats.hpp>
#include <nbit/cuda/operations.hpp>

#include <engine/device.hpp>

namespace {

using nbit::cuda::outcome;

/// Device memory; empty if there was none.
class device_bytes {
 public:
  device_bytes() = default;
  device_bytes(const device_bytes&) = delete;
  device_bytes& operator=(const device_bytes&) = delete;
  ~device_bytes() { cudaFree(data_); }
  nbit::result<void> grow(std::size_t n) {
    if (n <= size_) return {};
    cudaFree(data_);
    data_ = nullptr, size_ = 0;
    const cudaError_t e = cudaMalloc(&data_, n);
    if (e == cudaSuccess) size_ = n;
    return outcome(e);
  }
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

class gpu final : public engine::device {
 public:
  nbit::result<engine::product_function> place(const engine::stored_weights& w) override {
    auto memory = std::make_shared<device_bytes>();
    if (auto ok = memory->grow(w.bytes.size()); !ok) return ok.error();
    if (auto ok = outcome(cudaMemcpy(memory->data(), w.bytes.data(), w.bytes.size(), cudaMemcpyHostToDevice)); !ok)
      return ok.error();
    return engine::with_ggml_view<nbit::result<engine::product_function>>(
        w.type, w.bytes, w.shape, [&](auto v) -> nbit::result<engine::product_function> {
          const auto view = v.over({memory->data(), w.bytes.size()}, w.shape);
          return engine::product_function(
              [this, memory, view](nbit::matrix_view<const float> x, nbit::matrix_view<float> y) {
                for (std::size_t t = 0; t < x.rows && !failed_; t += 8) {
                  const std::size_t n = std::min<std::size_t>(8, x.rows - t);
                  if (auto ok = multiply(view, x.row_range(t, n), y.row_range(t, n)); !ok)
                    failed_ = true, failure_ = ok.error();
                }
              });
        });
  }
  nbit::result<void> take_failure() override {
    if (!failed_) return {};
    failed_ = false;
    return failure_;
  }

 private:
  template <class W>
  nbit::result<void> multiply(const W& w, nbit::matrix_view<const float> x, nbit::matrix_view<float> y) {
    const std::size_t in = x.cols * sizeof(float), out = y.cols * sizeof(float);
    if (auto ok = x_.grow(x.rows * in); !ok) return ok;
    if (auto ok = y_.grow(y.rows * out); !ok) return ok;
    const nbit::matrix_view<float> dx(reinterpret_cast<float*>(x_.data()), x.rows, x.cols);
    const nbit::matrix_view<float> dy(reinterpret_cast<float*>(y_.data()), y.rows, y.cols);
    auto ok = outcome(cudaMemcpy2D(dx.data, in, x.data, x.stride * sizeof(float), in, x.rows, cudaMemcpyHostToDevice));
    if (ok) ok = nbit::cuda::gemv(w, dx, dy, nullptr);
    if (ok)
      ok = outcome(cudaMemcpy2D(y.data, y.stride * sizeof(float), dy.data, out, out, y.rows, cudaMemcpyDeviceToHost));
    return ok;
  }

  device_bytes x_, y_;
  bool failed_ = false;
  nbit::error failure_{};
};

}  // namespace

nbit::result<std::unique_ptr<engine::device>> engine::open_gpu() {
  if (auto ok = nbit::cuda::require_capability(75); !ok) return ok.error();
  return std::unique_ptr<engine::device>(std::make_unique<gpu>());
}
