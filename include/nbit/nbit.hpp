// nbit/nbit.hpp — the whole library, but what has to be asked for by name: threads, cuda/ and adapters/.
//
// Written by tests/layers/check.py --umbrella.
// SPDX-License-Identifier: MIT
#ifndef NBIT_NBIT_HPP
#define NBIT_NBIT_HPP

#include <nbit/version.hpp>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/device_table.hpp>
#include <nbit/base/elementary.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/random.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/workspace.hpp>

#include <nbit/format/codebook.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/float_codes.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_grids.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq1_search.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_lattice_search.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_search.hpp>
#include <nbit/format/ggml_shells.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/format/scale.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/format/tinygemm.hpp>
#include <nbit/format/uniform.hpp>

#include <nbit/layout/awq_gemv_rows.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/concepts.hpp>
#include <nbit/layout/dense_words.hpp>
#include <nbit/layout/exllama.hpp>
#include <nbit/layout/gptq_planes.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/high_nibbles.hpp>
#include <nbit/layout/hqq_slabs.hpp>
#include <nbit/layout/interleaved_blocks.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/layout/marlin.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/layout/split.hpp>
#include <nbit/layout/spread.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/layout/tinygemm.hpp>

#include <nbit/tensor/check_values.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/interleave.hpp>
#include <nbit/tensor/marlin.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/tensor/row_tiles.hpp>
#include <nbit/tensor/sorted_groups.hpp>
#include <nbit/tensor/transcode.hpp>
#include <nbit/tensor/transcode_grid.hpp>

#include <nbit/arch/block_lanes.hpp>
#include <nbit/arch/code_lanes.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/quads.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

#include <nbit/parallel/executor.hpp>

#include <nbit/kernel/about.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/attention.hpp>
#include <nbit/kernel/block_gemv.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/dequantize_tile.hpp>
#include <nbit/kernel/describe.hpp>
#include <nbit/kernel/encode.hpp>
#include <nbit/kernel/epilogue.hpp>
#include <nbit/kernel/expert_gemm.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/gemv_many.hpp>
#include <nbit/kernel/gram.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/kernel/row_dot.hpp>
#include <nbit/kernel/row_tiles.hpp>
#include <nbit/kernel/tile_dot.hpp>
#include <nbit/kernel/weights.hpp>

#include <nbit/solver/awq.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/solver/dials.hpp>
#include <nbit/solver/drift.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/solver/fold.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/gptq_panel.hpp>
#include <nbit/solver/gram.hpp>
#include <nbit/solver/quadratic.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/solver/search.hpp>
#include <nbit/solver/tune.hpp>

#include <nbit/io/atomic_file.hpp>
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/awq_config.hpp>
#include <nbit/io/bnb_checkpoint.hpp>
#include <nbit/io/bnb_int8_checkpoint.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/byte_sink.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/compressed_config.hpp>
#include <nbit/io/compressed_floats.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/exl2_checkpoint.hpp>
#include <nbit/io/exl3_checkpoint.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf.hpp>
#include <nbit/io/gguf_byte_order.hpp>
#include <nbit/io/gguf_file.hpp>
#include <nbit/io/gguf_reader.hpp>
#include <nbit/io/gguf_split.hpp>
#include <nbit/io/gguf_tensor.hpp>
#include <nbit/io/gguf_value.hpp>
#include <nbit/io/gguf_writer.hpp>
#include <nbit/io/gptq_checkpoint.hpp>
#include <nbit/io/gptq_planar_checkpoint.hpp>
#include <nbit/io/gptq_tensors.hpp>
#include <nbit/io/hqq_checkpoint.hpp>
#include <nbit/io/imatrix.hpp>
#include <nbit/io/imatrix_dat.hpp>
#include <nbit/io/imatrix_gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/json_reader.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/json_writer.hpp>
#include <nbit/io/mapped_file.hpp>
#include <nbit/io/safetensors.hpp>
#include <nbit/io/safetensors_dtype.hpp>
#include <nbit/io/safetensors_index.hpp>
#include <nbit/io/safetensors_reader.hpp>
#include <nbit/io/safetensors_writer.hpp>
#include <nbit/io/spqr_checkpoint.hpp>
#include <nbit/io/statistics_file.hpp>
#include <nbit/io/tensor_stream.hpp>
#include <nbit/io/torchao_checkpoint.hpp>
#include <nbit/io/utf8.hpp>

#include <nbit/plan/allocation.hpp>
#include <nbit/plan/measurement.hpp>
#include <nbit/plan/mix.hpp>
#include <nbit/plan/mix_name.hpp>
#include <nbit/plan/mix_rules.hpp>
#include <nbit/plan/name_pattern.hpp>
#include <nbit/plan/ragged.hpp>

#include <nbit/eval/distortion.hpp>

#endif
