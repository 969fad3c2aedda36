// tool/blocks.hpp — every ggml type as bytes to floats and floats to bytes, for conversions that no kernel has to
// hurry.
// SPDX-License-Identifier: MIT
#ifndef TOOL_BLOCKS_HPP
#define TOOL_BLOCKS_HPP

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <nbit/base/matrix_view.hpp>
#include <nbit/io/ggml_type.hpp>

#include <engine/workers.hpp>

namespace tool {

/// The numbers of a tensor.  Failure: types that hold no weights (Q8_1, Q8_K, integers).
std::vector<float> floats_of(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                             const std::string& name);

/// The bytes of these numbers in a type, with the type's own encoder. importance: one number for each column, or empty;
/// for several matrices (experts) one row of them for each.
/// Failure: numbers that are not finite, rows that do not fit, types that nobody encodes, missing importance.
std::vector<std::byte> encoded(nbit::ggml_type type, nbit::matrix_view<const float> values,
                               std::span<const float> importance, const engine::workers& pool, const std::string& name);

/// Whether encoded() makes this type.
bool can_encode(nbit::ggml_type type);
/// Whether the type's encoder does nothing without importance.
bool wants_importance(nbit::ggml_type type);

}  // namespace tool

#endif
