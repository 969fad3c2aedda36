// tests/layout/bijections_test.cpp — every layout hits every bit of every word exactly once, in each width it is used
// for.
//
// Proven here and not in the headers: the proofs would cost everybody who includes them half a second.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <nbit/layout/awq_gemv_rows.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/dense_words.hpp>
#include <nbit/layout/exllama.hpp>
#include <nbit/layout/gptq_planes.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/high_nibbles.hpp>
#include <nbit/layout/hqq_slabs.hpp>
#include <nbit/layout/interleaved_blocks.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/layout/marlin.hpp>
#include <nbit/layout/split.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/layout/tinygemm.hpp>
#include <nbit/layout/warp_tiles.hpp>

namespace nbit {
static_assert(is_bijection<awq_gemv_rows, 4>());
static_assert(is_bijection<awq_interleave, 4>() && is_bijection<awq_interleave, 8>());
static_assert(is_bijection<dense_words, 1>() && is_bijection<dense_words, 2>() && is_bijection<dense_words, 3>() &&
              is_bijection<dense_words, 4>() && is_bijection<dense_words, 5>() && is_bijection<dense_words, 6>() &&
              is_bijection<dense_words, 7>() && is_bijection<dense_words, 8>());
static_assert(is_bijection<dense_columns, 1>() && is_bijection<dense_columns, 2>() &&
              is_bijection<dense_columns, 3>() && is_bijection<dense_columns, 4>() &&
              is_bijection<dense_columns, 5>() && is_bijection<dense_columns, 6>() &&
              is_bijection<dense_columns, 7>() && is_bijection<dense_columns, 8>());
static_assert(is_bijection<exllama, 2>() && is_bijection<exllama, 3>() && is_bijection<exllama, 4>() &&
              is_bijection<exllama, 5>() && is_bijection<exllama, 6>() && is_bijection<exllama, 8>());
static_assert(is_bijection<gptq_planes, 2>() && is_bijection<gptq_planes, 3>() && is_bijection<gptq_planes, 4>() &&
              is_bijection<gptq_planes, 5>() && is_bijection<gptq_planes, 6>() && is_bijection<gptq_planes, 7>() &&
              is_bijection<gptq_planes, 8>());
static_assert(is_bijection<gptq_plane_rows, 3>() && is_bijection<gptq_plane_rows, 7>() &&
              is_bijection<gptq_plane_rows, 8>());
static_assert(is_bijection<gptq_words, 2>() && is_bijection<gptq_words, 3>() && is_bijection<gptq_words, 4>() &&
              is_bijection<gptq_words, 5>() && is_bijection<gptq_words, 6>() && is_bijection<gptq_words, 7>() &&
              is_bijection<gptq_words, 8>());
static_assert(is_bijection<high_nibbles, 4>());
static_assert(is_bijection<hqq_slabs, 1>() && is_bijection<hqq_slabs, 2>() && is_bijection<hqq_slabs, 4>() &&
              is_bijection<hqq_slabs, 8>());
static_assert(interleaved_blocks<2, 18, 4, 4>::is_bijection() && interleaved_blocks<2, 18, 8, 8>::is_bijection() &&
              interleaved_blocks<2, 18, 16, 1>::is_bijection() && interleaved_blocks<8, 34, 4, 8>::is_bijection() &&
              interleaved_blocks<20, 18, 8, 8>::is_bijection() && interleaved_blocks<39, 17, 8, 8>::is_bijection());
static_assert(is_bijection<linear, 1>() && is_bijection<linear, 2>() && is_bijection<linear, 3>() &&
              is_bijection<linear, 4>() && is_bijection<linear, 5>() && is_bijection<linear, 6>() &&
              is_bijection<linear, 7>() && is_bijection<linear, 8>());
static_assert(is_bijection<marlin, 4>() && is_bijection<marlin, 8>() && is_bijection<marlin_zeros, 4>() &&
              is_bijection<marlin_zeros, 8>());
static_assert(is_bijection<split_nibble, 4>() && is_bijection<split<32>, 2>() && is_bijection<split<64>, 1>() &&
              is_bijection<split<32>, 8>());
// one by one: together they are more steps than clang takes for one constant
static_assert(is_bijection<warp_tiles, 1>());
static_assert(is_bijection<warp_tiles, 2>());
static_assert(is_bijection<warp_tiles, 3>());
static_assert(is_bijection<warp_tiles, 4>());
static_assert(is_bijection<warp_tiles, 5>());
static_assert(is_bijection<warp_tiles, 6>());
static_assert(is_bijection<warp_tiles, 7>());
static_assert(is_bijection<warp_tiles, 8>());
static_assert(is_bijection<tiled<4>, 4>() && is_bijection<tiled<16>, 3>() && is_bijection<tiled<8, 4>, 8>() &&
              is_bijection<tiled<16, 4>, 2>() && is_bijection<tiled<2>, 5>());
static_assert(is_bijection<tinygemm<2>, 4>() && is_bijection<tinygemm<4>, 4>() && is_bijection<tinygemm<8>, 4>());
}  // namespace nbit

TEST_CASE("layouts are bijections") { SUCCEED("proven when this file compiled"); }
