// tool/calibrate.hpp — files of statistics, by layer and by block.
// SPDX-License-Identifier: MIT
#ifndef TOOL_CALIBRATE_HPP
#define TOOL_CALIBRATE_HPP

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <nbit/solver/calibration.hpp>

#include <engine/forward.hpp>

#include "job.hpp"

namespace tool {

/// Statistics in the order of a file.
using statistics_list = std::vector<std::pair<std::string, nbit::hessian>>;

/// "blk.3.ffn_in": what gate and up of block 3 read.
std::string site_name(std::size_t block, engine::site s);
/// How many numbers a token has there.
std::size_t site_width(const engine::config& c, engine::site s);

/// Adds whole windows of `length` tokens, each a sequence of its own.  Failure: activations that are not finite.
void add_windows(nbit::hessian& to, nbit::matrix_view<const float> x, std::size_t length, const engine::workers& pool);

/// All statistics of a file.  Failure: a damaged file.
statistics_list read_statistics_file(const std::string& path);
/// The statistics of every block of a model.  Failure: a layer is missing or has other columns.
std::vector<block_statistics> statistics_of_blocks(const std::string& path, const engine::config& c);

}  // namespace tool

#endif
