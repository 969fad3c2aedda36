// nbit/io/checkpoint_check.hpp — what readers and writers of checkpoints ask before they believe a tensor.
//
// One line for each question: check_tensor (is it there, of this type, of these dimensions), check_scale, check_codes.
// Steps that may fail one after another go through `attempts`, which keeps the first error.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_CHECKPOINT_CHECK_HPP
#define NBIT_IO_CHECKPOINT_CHECK_HPP

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/safetensors_dtype.hpp>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Takes what steps give; after a failure it gives empty values, and `first` says what failed.
class attempts {
 public:
  template <class T>
  T operator()(result<T> r) {
    if (r) return *std::move(r);
    note(r.error());
    return T{};
  }
  void operator()(const result<void>& r) {
    if (!r) note(r.error());
  }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] const error& first() const { return first_; }

 private:
  void note(const error& e) {
    if (!failed_) first_ = e;
    failed_ = true;
  }
  error first_{};
  bool failed_ = false;
};

/// The error about a tensor, with a few words after its name.
inline error tensor_error(errc code, const char* what, const char* allowed, const char* name, std::string_view more) {
  return make_error(code, what, allowed).about(std::string(name).append(": ").append(more));
}

/// Whether the tensor is there, has one of these element types, this many dimensions and the bytes they take.
/// `allowed` says the types.  Errors: missing, malformed, shape, overflow.
inline result<void> check_tensor(const stored_tensor& t, const char* name,
                                 std::initializer_list<safetensors::dtype> types, const char* allowed,
                                 std::size_t rank) {
  if (!t.present) return make_error(errc::missing, "the layer lacks a tensor", "").about(name);
  bool known = false;
  for (const safetensors::dtype type : types) known = known || type == t.type;
  if (!known)
    return tensor_error(errc::malformed, "a tensor has another element type than its format", allowed, name,
                        safetensors::info(t.type).name);
  if (t.rank != rank)
    return tensor_error(errc::shape, "a tensor has another number of dimensions than its format",
                        rank == 0   ? "0"
                        : rank == 1 ? "1"
                        : rank == 2 ? "2"
                        : rank == 3 ? "3"
                                    : "4",
                        name, "dimensions")
        .with(static_cast<std::int64_t>(t.rank));
  for (std::size_t i = 0; i < rank; ++i)  // nothing to read, but rows without end to walk over
    if (t.shape[i] == 0)
      return make_error(errc::shape, "a tensor of a linear is empty", "1 and more in each dimension").about(name);
  std::uint64_t size = safetensors::info(t.type).bits / 8;
  for (std::size_t i = 0; i < rank; ++i)
    if (t.shape[i] > 0x7fffffffu || !nbit::checked_mul(size, t.shape[i], size))
      return tensor_error(errc::overflow, "a dimension of a tensor is too large", "at most 2^31 - 1", name, "dimension")
          .with(static_cast<std::int64_t>(t.shape[i]));
  if (size != t.bytes.size())
    return make_error(errc::shape, "a tensor has not the bytes that its shape and type take", "")
        .about(name)
        .with(static_cast<std::int64_t>(t.bytes.size()));
  return {};
}

/// What a dimension has to be, and where that comes from; size 0: anything.
struct wanted_dimension {
  std::uint64_t size = 0;
  const char* allowed = "";
};

/// Whether a dimension is the one that the layer's shape asks for.  Errors: shape; `allowed` says how it comes about.
inline result<void> check_dimension(const stored_tensor& t, const char* name, std::size_t i, std::uint64_t wanted,
                                    const char* allowed) {
  if (t.shape[i] == wanted) return {};
  return tensor_error(errc::shape, "a dimension of a tensor does not fit the layer", allowed, name,
                      i == 0 ? "first dimension" : "last dimension")
      .with(static_cast<std::int64_t>(t.shape[i]));
}

/// Whether the tensor is there, of this type, and of these dimensions.
inline result<void> check_tensor(const stored_tensor& t, const char* name, safetensors::dtype type,
                                 std::initializer_list<wanted_dimension> dimensions) {
  if (auto ok = check_tensor(t, name, {type}, safetensors::info(type).name, dimensions.size()); !ok) return ok;
  std::size_t i = 0;
  for (const wanted_dimension& d : dimensions) {
    if (d.size != 0)
      if (auto ok = check_dimension(t, name, i, d.size, d.allowed); !ok) return ok;
    ++i;
  }
  return {};
}

/// A scale that is NaN or infinite; row and column are those of the tensor.
inline result<void> check_scale(float scale, const char* name, std::size_t row, std::size_t col) {
  if (is_finite(scale)) return {};
  return make_error(errc::not_finite, "a scale is NaN or infinite", "finite numbers")
      .about(name)
      .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col));
}

/// A scale that is NaN, infinite or negative, where magnitudes are stored.
inline result<void> check_magnitude(float scale, const char* name, std::size_t row, std::size_t col) {
  if (is_finite(scale) && !(scale < 0.0f)) return {};
  return make_error(is_finite(scale) ? errc::malformed : errc::not_finite, "a magnitude is NaN, infinite or negative",
                    "finite numbers from 0")
      .about(name)
      .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col));
}

/// Codes of a matrix to be written that do not fit their width.
inline result<void> check_codes(std::span<const std::uint8_t> codes, int bits, std::size_t cols) {
  std::uint32_t any = 0;
  for (const std::uint8_t c : codes) any |= c;
  if (any >> bits == 0) return {};
  for (std::size_t i = 0; i < codes.size(); ++i)
    if (std::uint32_t{codes[i]} >> bits != 0)
      return make_error(errc::malformed, "a code does not fit its width", "0 to 2^bits - 1")
          .at(static_cast<std::int64_t>(i / cols), static_cast<std::int64_t>(i % cols))
          .with(codes[i]);
  return {};
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
