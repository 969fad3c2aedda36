// engine/linear.hpp — one weight matrix of a model, whatever it is stored as: dense or packed in any nbit format.
//
// The number format is a compile-time fact inside nbit and a run-time choice in an engine. The boundary is here: one
// virtual call for each product of a matrix, none inside it. A user's own format needs nothing but linear(view, name).
// SPDX-License-Identifier: MIT
#ifndef ENGINE_LINEAR_HPP
#define ENGINE_LINEAR_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nbit/base/buffer.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/solver/rotate.hpp>
#include <nbit/io/ggml_type.hpp>

#include <engine/device.hpp>
#include <engine/workers.hpp>

namespace engine {

/// y = x W^T: a matrix-vector product for one row of x. A small one stays on the calling thread: it is done before
/// another thread has woken up.
template <class W>
void product(const W& w, nbit::matrix_view<const float> x, nbit::matrix_view<float> y, const workers& pool = {}) {
  constexpr std::size_t small = std::size_t{1} << 20;
  if (x.rows > 1)
    nbit::gemm(w, x, y, pool);
  else if (x.rows == 1)
    nbit::gemv(w, x.row(0), y.row(0), w.rows * w.cols < small ? workers() : pool);
}

/// Rows are outputs, columns are inputs. Copies share the weights.
class linear {
 public:
  linear() = default;

  /// Dense weights (T is float, nbit::f16 or nbit::bf16); owner keeps them alive.
  template <class T>
    requires(std::is_same_v<T, float> || std::is_same_v<T, nbit::f16> || std::is_same_v<T, nbit::bf16>)
  linear(nbit::matrix_view<const T> w, std::shared_ptr<const void> owner)
      : held_(std::make_shared<dense<T>>(w, std::move(owner))) {}

  /// Dense weights of its own.
  linear(std::vector<float> w, nbit::shape s) {
    const auto owned = std::make_shared<const std::vector<float>>(std::move(w));
    *this = linear(nbit::matrix_view<const float>(owned->data(), s.rows, s.cols), owned);
  }

  /// Packed weights in any format and layout; owner keeps them alive. The name is for people: "Q4_K", "w4g128".
  template <class F, class L>
  linear(nbit::packed_view<F, L> w, std::string format, std::shared_ptr<const void> owner)
      : held_(std::make_shared<packed<F, L>>(w, std::move(format), std::move(owner))) {}

  /// Packed weights of its own.
  template <class F, class L>
  linear(nbit::packed_matrix<F, L> w, std::string format) {
    const auto owned = std::make_shared<const nbit::packed_matrix<F, L>>(std::move(w));
    *this = linear(owned->view(), std::move(format), owned);
  }

  explicit operator bool() const { return held_ != nullptr; }
  nbit::shape shape() const { return held_ ? held_->shape : nbit::shape{}; }
  /// What the weights are stored as.
  const std::string& format() const { return held_->format; }
  /// What the weights take in memory or in a file, parameters included.
  std::size_t bytes() const { return held_ ? held_->bytes : 0; }

  /// Y[t] = W X[t] for every row t.
  /// Shape: X tokens x cols, Y tokens x rows.
  void operator()(nbit::matrix_view<const float> x, nbit::matrix_view<float> y, const workers& pool = {}) const {
    held_->multiply(x, y, pool);
  }
  /// The weights of row r as floats.
  void row(std::size_t r, std::span<float> out) const { held_->row(r, out); }
  /// All weights as floats.
  void decode(nbit::matrix_view<float> out) const { held_->decode(out); }
  /// The bytes of weights that are a ggml type; nothing for other formats and layouts.
  std::optional<stored_weights> stored() const { return held_->stored(); }
  /// The same weights, multiplied by `elsewhere`; rows are still read here.
  linear multiplied(product_function elsewhere) const;
  /// For weights W Q^T: inputs are turned by Q before they are read, so the matrix is W again.
  linear reading(nbit::rotation q) const;
  /// The same matrix with row i taken from order[i], dense.
  linear with_rows(std::span<const std::size_t> order) const;

 private:
  struct weights {
    nbit::shape shape;
    std::size_t bytes = 0;
    std::string format;
    std::shared_ptr<const void> owner;

    virtual ~weights() = default;
    virtual void multiply(nbit::matrix_view<const float>, nbit::matrix_view<float>, const workers&) const = 0;
    virtual void row(std::size_t, std::span<float>) const = 0;
    virtual void decode(nbit::matrix_view<float>) const = 0;
    virtual std::optional<stored_weights> stored() const { return std::nullopt; }
  };

  template <class T>
  struct dense final : weights {
    nbit::matrix_view<const T> view;

    dense(nbit::matrix_view<const T> w, std::shared_ptr<const void> keep) : view(w) {
      this->shape = w.shape(), this->bytes = w.rows * w.cols * sizeof(T), this->owner = std::move(keep);
      this->format = std::is_same_v<T, float> ? "F32" : std::is_same_v<T, nbit::f16> ? "F16" : "BF16";
    }
    void multiply(nbit::matrix_view<const float> x, nbit::matrix_view<float> y, const workers& pool) const override {
      product(view, x, y, pool);
    }
    void row(std::size_t r, std::span<float> out) const override { nbit::dequantize_row(view, r, out); }
    void decode(nbit::matrix_view<float> out) const override { nbit::dequantize(view, out); }
    std::optional<stored_weights> stored() const override {
      if (view.stride != view.cols) return std::nullopt;
      constexpr auto type = std::is_same_v<T, float>       ? nbit::ggml_type::f32
                            : std::is_same_v<T, nbit::f16> ? nbit::ggml_type::f16
                                                           : nbit::ggml_type::bf16;
      return stored_weights{type, std::as_bytes(std::span(view.data, view.rows * view.cols)), view.shape()};
    }
  };

  template <class F, class L>
  struct packed final : weights {
    nbit::packed_view<F, L> view;

    packed(nbit::packed_view<F, L> w, std::string name, std::shared_ptr<const void> keep) : view(w) {
      this->shape = w.shape(), this->bytes = nbit::packed_bytes<F, L>(w.shape());
      this->format = std::move(name), this->owner = std::move(keep);
    }
    void multiply(nbit::matrix_view<const float> x, nbit::matrix_view<float> y, const workers& pool) const override {
      product(view, x, y, pool);
    }
    void row(std::size_t r, std::span<float> out) const override { nbit::dequantize_row(view, r, out); }
    void decode(nbit::matrix_view<float> out) const override { nbit::dequantize(view, out); }
    std::optional<stored_weights> stored() const override {
      if constexpr (std::is_same_v<L, nbit::blocks> && requires { F::ggml_type; })
        return stored_weights{static_cast<nbit::ggml_type>(F::ggml_type), {view.bytes, this->bytes}, view.shape()};
      else
        return std::nullopt;
    }
  };

  struct elsewhere final : weights {
    std::shared_ptr<const weights> here;
    product_function product_of;

    elsewhere(std::shared_ptr<const weights> w, product_function f) : here(std::move(w)), product_of(std::move(f)) {
      this->shape = here->shape, this->bytes = here->bytes, this->format = here->format;
    }
    void multiply(nbit::matrix_view<const float> x, nbit::matrix_view<float> y, const workers&) const override {
      product_of(x, y);
    }
    void row(std::size_t r, std::span<float> out) const override { here->row(r, out); }
    void decode(nbit::matrix_view<float> out) const override { here->decode(out); }
    std::optional<stored_weights> stored() const override { return here->stored(); }
  };

  struct turned final : weights {
    std::shared_ptr<const weights> inside;
    nbit::rotation q;

    turned(std::shared_ptr<const weights> w, nbit::rotation by) : inside(std::move(w)), q(by) {
      this->shape = inside->shape, this->bytes = inside->bytes, this->format = inside->format;
    }
    void multiply(nbit::matrix_view<const float> x, nbit::matrix_view<float> y, const workers& pool) const override {
      std::vector<float> values(x.rows * x.cols);
      for (std::size_t t = 0; t < x.rows; ++t)
        std::memcpy(values.data() + t * x.cols, x.row(t).data(), x.cols * sizeof(float));
      const nbit::matrix_view<float> v(values.data(), x.rows, x.cols);
      (void)nbit::rotate_rows(q, v, pool);  // the widths were compared in reading
      inside->multiply(v, y, pool);
    }
    void row(std::size_t r, std::span<float> out) const override {
      inside->row(r, out);
      nbit::rotate_back(q, out);
    }
    void decode(nbit::matrix_view<float> out) const override {
      inside->decode(out);
      (void)nbit::rotate_rows_back(q, out);
    }
  };

  std::shared_ptr<const weights> held_;
};

/// Needs: q is as wide as the matrix.
inline linear linear::reading(nbit::rotation q) const {
  NBIT_EXPECTS(held_ && q.width == held_->shape.cols, "a rotation of the matrix's inputs", {});
  linear made;
  made.held_ = std::make_shared<turned>(held_, q);
  return made;
}

inline linear linear::with_rows(std::span<const std::size_t> order) const {
  const std::size_t cols = shape().cols;
  std::vector<float> w(order.size() * cols);
  for (std::size_t i = 0; i < order.size(); ++i) row(order[i], {w.data() + i * cols, cols});
  return linear(std::move(w), {order.size(), cols});
}

inline linear linear::multiplied(product_function f) const {
  linear made;
  made.held_ = std::make_shared<elsewhere>(held_, std::move(f));
  return made;
}

/// What change, called with the weights as a matrix of floats, makes of them: dense, of the same shape.
template <class F>
linear changed(const linear& w, F&& change) {
  const nbit::shape s = w.shape();
  std::vector<float> values(s.rows * s.cols);
  const nbit::matrix_view<float> v(values.data(), s.rows, s.cols);
  w.decode(v);
  change(v);
  return linear(std::move(values), s);
}

/// Dense numbers of a file as weights: in place where they are aligned for T, else copied.
template <class T>
nbit::result<linear> dense_linear(std::span<const std::byte> bytes, nbit::shape s, std::shared_ptr<const void> owner) {
  if (bytes.size() != s.rows * s.cols * sizeof(T))
    return nbit::make_error(nbit::errc::shape, "the bytes of a dense matrix do not fit its shape")
        .with(static_cast<std::int64_t>(bytes.size()));
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) != 0) {
    auto copy = nbit::buffer<std::byte>::make(bytes.size());
    if (!copy) return copy.error();
    std::memcpy(copy->data(), bytes.data(), bytes.size());
    const auto owned = std::make_shared<const nbit::buffer<std::byte>>(*std::move(copy));
    bytes = owned->span(), owner = owned;
  }
  return linear(nbit::matrix_view<const T>(reinterpret_cast<const T*>(bytes.data()), s.rows, s.cols), std::move(owner));
}

}  // namespace engine

#endif
