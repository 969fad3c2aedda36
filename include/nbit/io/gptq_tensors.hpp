// nbit/io/gptq_tensors.hpp — the four tensors of a GPTQ linear as a file gives them, checked against each other.
//
// What v1, v2 and planar checkpoints share: element types, shapes that follow from one another, and g_idx.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GPTQ_TENSORS_HPP
#define NBIT_IO_GPTQ_TENSORS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/json_value.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// The tensors of one linear; g_idx need not be present when groups are in order.
struct gptq_stored {
  stored_tensor qweight, qzeros, scales, g_idx;
};

namespace detail {

/// The error for a config that says that tensors hold a kernel's layout; `name` is the member that says so.
inline error kernel_layout_error(const char* name) {
  return make_error(errc::unsupported, "the tensors hold a kernel's layout, which is made when a model is loaded",
                    "the checkpoint from before it was repacked for a kernel")
      .about(name);
}

/// The shape of a linear whose codes are bits of 32 inputs in `bits` words: types and dimensions of all four tensors.
/// fits(shape): whether whole words hold it.
template <class F, class Fits>
inline result<shape> gptq_tensor_shape(const gptq_stored& from, Fits fits) {
  using safetensors::dtype;
  constexpr int bits = F::bits;
  attempts all;
  all(check_tensor(from.qweight, "qweight", dtype::i32, {{}, {}}));
  all(check_tensor(from.qzeros, "qzeros", dtype::i32, {{}, {}}));
  all(check_tensor(from.scales, "scales", dtype::f16, {{}, {}}));
  if (all.failed()) return all.first();
  const auto word_rows = static_cast<std::size_t>(from.qweight.shape[0]);
  if (word_rows % std::size_t(bits) != 0)
    return tensor_error(errc::shape, "a dimension of a tensor does not fit the format", "a multiple of bits", "qweight",
                        "first dimension")
        .with(static_cast<std::int64_t>(word_rows));
  const shape s{static_cast<std::size_t>(from.qweight.shape[1]), word_rows / std::size_t(bits) * 32};
  if (auto ok = fits(s); !ok) return ok.error().about("qweight");
  const std::size_t groups = groups_per_row<F>(s.cols);
  const wanted_dimension rows{groups, "the groups that the inputs make"};
  all(check_tensor(from.scales, "scales", dtype::f16, {rows, {s.rows, "the outputs"}}));
  all(check_tensor(from.qzeros, "qzeros", dtype::i32,
                   {rows, {s.rows * std::size_t(bits) / 32, "the outputs times bits by 32"}}));
  if (from.g_idx.present) all(check_tensor(from.g_idx, "g_idx", dtype::i32, {{s.cols, "the inputs"}}));
  if (all.failed()) return all.first();
  return s;
}

/// Reads g_idx, the group of each input; group_index stays empty when they count in order, or when there is none.
/// Needs: four bytes for each input, or none.
template <class F>
inline result<void> gptq_read_groups(std::span<const std::byte> g_idx, coded_matrix<F>& to) {
  if (g_idx.empty()) return {};
  auto index = buffer<std::uint32_t>::make(to.cols);
  if (!index) return index.error();
  const std::size_t groups = groups_per_row<F>(to.cols);
  bool in_order = true;
  for (std::size_t c = 0; c < to.cols; ++c) {
    (*index)[c] = load_u32(g_idx.data() + 4 * c);
    if ((*index)[c] >= groups)
      return make_error(errc::malformed, "g_idx names a group that does not exist", "0 to groups - 1")
          .about("g_idx")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int32_t>((*index)[c]));
    in_order = in_order && (*index)[c] == to.group_of(c);
  }
  if (!in_order) to.group_index = *std::move(index);
  return {};
}

/// Reads group_size, and sym and desc_act where they are given, from a config, whatever its packing.
template <class Config>
inline result<void> gptq_read_options(const json_value& from, Config& to) {
  const result<std::int64_t> group = from.get<std::int64_t>("group_size");
  if (!group) return group.error();
  if (*group != -1 && *group < 1)
    return make_error(errc::malformed, "group size of a GPTQ checkpoint", "-1, or 1 and more")
        .about("group_size")
        .with(*group);
  to.group = *group;
  for (const auto& [name, flag] : {std::pair<const char*, bool*>{"sym", &to.symmetric}, {"desc_act", &to.act_order}}) {
    if (from.find(name) == nullptr) continue;
    const result<bool> set = from.get<bool>(name);
    if (!set) return set.error();
    *flag = *set;
  }
  return {};
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
