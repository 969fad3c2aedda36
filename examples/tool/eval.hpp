// tool/eval.hpp — how far a model's layers are from those of another.
// SPDX-License-Identifier: MIT
#ifndef TOOL_EVAL_HPP
#define TOOL_EVAL_HPP

#include <vector>

#include <engine/evaluate.hpp>
#include <engine/forward.hpp>
#include <engine/model.hpp>
#include <engine/workers.hpp>

namespace tool {

/// Hidden states after each block over a few windows.
std::vector<engine::floats> hidden_after_blocks(const engine::model& m, const engine::token_windows& text,
                                                const engine::workers& pool);

/// |found - wanted|^2 / |wanted|^2.
double relative_error(const engine::floats& found, const engine::floats& wanted);

}  // namespace tool

#endif
