// tool/linear_parts.hpp — what reading integers and reading floats share.
// SPDX-License-Identifier: MIT
#ifndef TOOL_LINEAR_PARTS_HPP
#define TOOL_LINEAR_PARTS_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nbit/base/bits.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/format/scheme.hpp>

#include "failure.hpp"
#include "linears.hpp"

namespace tool {

template <int Value>
struct constant {
  static constexpr int value = Value;
};

/// f(constant<V>()) for the V that a run-time number equals.  Failure: it is none of them.
template <int First, int... Rest, class F>
auto with_one_of(const char* name, std::int64_t value, const F& f) {
  std::optional<decltype(f(constant<First>{}))> made;
  const auto is = [&]<int V>(constant<V> c) {
    if (value == V) made.emplace(f(c));
    return value == V;
  };
  if (is(constant<First>{}) || (is(constant<Rest>{}) || ...)) return *std::move(made);
  std::string allowed = std::to_string(First);
  ((allowed += ", " + std::to_string(Rest)), ...);
  throw failure{bad_input, std::string(name) + ": found " + std::to_string(value) + "; allowed: " + allowed};
}

/// A scale tensor as F32, exactly; `was` is what it was.
inline nbit::stored_tensor wide_scale(nbit::stored_tensor t, std::vector<std::byte>& memory, nbit::scale_type& was) {
  was = t.type == nbit::safetensors::dtype::f16    ? nbit::scale_type::f16
        : t.type == nbit::safetensors::dtype::bf16 ? nbit::scale_type::bf16
                                                   : nbit::scale_type::f32;
  if (was == nbit::scale_type::f32) return t;
  memory.resize(t.bytes.size() * 2);
  for (std::size_t i = 0; i + 1 < t.bytes.size(); i += 2)
    nbit::store_f32(memory.data() + 2 * i, was == nbit::scale_type::f16
                                               ? float(nbit::load_f16(t.bytes.data() + i))
                                               : float(nbit::bf16::from_bits(nbit::load_u16(t.bytes.data() + i))));
  t.type = nbit::safetensors::dtype::f32, t.bytes = memory;
  return t;
}

}  // namespace tool

#endif
