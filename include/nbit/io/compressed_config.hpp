// nbit/io/compressed_config.hpp — what a compressed-tensors checkpoint says about its weights: quantization_config.
//
// config_groups names groups of linears by targets (module types, names, "re:" patterns) and gives each a scheme;
// ignore lists linears that stay as they were. Only what concerns weights is read; activations, observers, sparsity and
// members nobody here knows stay in the JSON. Ref: compressed-tensors 0.20.0 (Apache-2.0); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_COMPRESSED_CONFIG_HPP
#define NBIT_IO_COMPRESSED_CONFIG_HPP

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/json_value.hpp>

namespace nbit {

/// The formats whose tensors nbit reads.
enum class ct_format : std::uint8_t {
  pack_quantized,        // unpack_ct
  int_quantized,         // unpack_ct, ct_packing::int_quantized
  float_quantized,       // unpack_ct_fp8
  naive_quantized,       // unpack_ct_fp8, or int8 as int_quantized
  nvfp4_pack_quantized,  // unpack_ct_nvfp4
  mxfp4_pack_quantized,  // unpack_ct_mxfp4
};

/// What shares a scale.
enum class ct_strategy : std::uint8_t { tensor, channel, group, tensor_group };

inline namespace NBIT_TAG {

/// How the weights of a group of linears are stored.
struct ct_scheme {
  ct_format format = ct_format::pack_quantized;
  int bits = 4;
  bool floating = false;  // type "float"
  bool symmetric = true;
  ct_strategy strategy = ct_strategy::group;
  std::int64_t group = 128;  // with strategies group and tensor_group
};

/// A group of linears: its name, who belongs to it, and how the weights are stored.
struct ct_group {
  std::string name;
  std::vector<std::string> targets;
  ct_scheme weights;
};

/// All groups with quantized weights, and the linears that none of them holds.
struct ct_config {
  std::vector<ct_group> groups;
  std::vector<std::string> ignore;
};

namespace detail {

template <class T>
struct named_value {
  T value;
  std::string_view name;
};
inline constexpr named_value<ct_format> ct_formats[] = {
    {ct_format::pack_quantized, "pack-quantized"},
    {ct_format::int_quantized, "int-quantized"},
    {ct_format::float_quantized, "float-quantized"},
    {ct_format::naive_quantized, "naive-quantized"},
    {ct_format::nvfp4_pack_quantized, "nvfp4-pack-quantized"},
    {ct_format::mxfp4_pack_quantized, "mxfp4-pack-quantized"},
};
inline constexpr named_value<ct_strategy> ct_strategies[] = {
    {ct_strategy::tensor, "tensor"},
    {ct_strategy::channel, "channel"},
    {ct_strategy::group, "group"},
    {ct_strategy::tensor_group, "tensor_group"},
};

template <class T, std::size_t N>
inline const named_value<T>* find_named(const named_value<T> (&all)[N], std::string_view name) {
  for (const named_value<T>& v : all)
    if (v.name == name) return &v;
  return nullptr;
}
template <class T, std::size_t N>
inline json_value name_of(const named_value<T> (&all)[N], T value) {
  for (const named_value<T>& v : all)
    if (v.value == value) return json_value::string(v.name);
  return {};
}

/// The strings of a member that is an array of them; none when it is absent or null.
inline result<std::vector<std::string>> read_strings(const json_value& from, std::string_view name) {
  std::vector<std::string> all;
  const json_value* const list = from.find(name);
  if (list == nullptr || list->is(json_kind::null)) return all;
  if (!list->is(json_kind::array))
    return make_error(errc::malformed, "a member of the config is no list", "a list of strings")
        .about(name)
        .at(list->offset());
  for (const json_value& v : list->items()) {
    const result<std::string_view> text = v.get<std::string_view>();
    if (!text) return text.error().about(name);
    all.emplace_back(*text);
  }
  return all;
}
inline json_value strings_json(const std::vector<std::string>& all) {
  json_value list = json_value::array();
  for (const std::string& s : all) list.push(json_value::string(s));
  return list;
}

/// A text among known ones.
template <class T, std::size_t N>
inline result<T> read_named(const named_value<T> (&all)[N], const json_value& from, std::string_view name,
                            const char* what, const char* allowed) {
  const result<std::string_view> text = from.get<std::string_view>(name);
  if (!text) return text.error();
  const named_value<T>* const known = find_named(all, *text);
  if (known == nullptr)
    return make_error(errc::unsupported, what, allowed).about(std::string(name).append(": ").append(*text));
  return known->value;
}

inline result<ct_scheme> read_ct_scheme(const json_value& weights, ct_format format) {
  ct_scheme s;
  s.format = format;
  const result<int> bits = weights.get<int>("num_bits");
  if (!bits) return bits.error();
  if (*bits < 1 || *bits > 8)
    return make_error(errc::unsupported, "code width of a compressed-tensors checkpoint", "1 to 8")
        .about("num_bits")
        .with(*bits);
  s.bits = *bits;
  if (weights.find("type") != nullptr) {
    const result<std::string_view> type = weights.get<std::string_view>("type");
    if (!type) return type.error();
    if (*type != "int" && *type != "float")
      return make_error(errc::unsupported, "codes are of another type", "int or float").about("type");
    s.floating = *type == "float";
  }
  if (weights.find("symmetric") != nullptr) {
    const result<bool> symmetric = weights.get<bool>("symmetric");
    if (!symmetric) return symmetric.error();
    s.symmetric = *symmetric;
  }
  const json_value* const size = weights.find("group_size");
  const bool sized = size != nullptr && !size->is(json_kind::null);
  const json_value* const strategy = weights.find("strategy");
  if (strategy != nullptr && !strategy->is(json_kind::null)) {
    const result<ct_strategy> known = read_named(ct_strategies, weights, "strategy", "scales are shared in another way",
                                                 "tensor, channel, group or tensor_group");
    if (!known) return known.error();
    s.strategy = *known;
  } else {  // the peer's rule: a group size says it
    s.strategy = sized ? ct_strategy::group : ct_strategy::tensor;
  }
  if (sized) {
    const result<std::int64_t> group = weights.get<std::int64_t>("group_size");
    if (!group) return group.error();
    if (*group < 1 && *group != -1)
      return make_error(errc::malformed, "group size of a compressed-tensors checkpoint", "-1, or 1 and more")
          .about("group_size")
          .with(*group);
    s.group = *group;
    if (*group == -1) s.strategy = ct_strategy::channel;
  } else if (s.strategy == ct_strategy::group || s.strategy == ct_strategy::tensor_group) {
    return make_error(errc::missing, "a scheme by groups has no group size", "1 and more").about("group_size");
  }
  return s;
}

}  // namespace detail

/// Reads the config of a checkpoint. Groups without quantized weights are left out.
/// Errors: missing, malformed, unsupported (another method, format, strategy or width); the member is the subject.
inline result<ct_config> read_ct_config(const json_value& from) {
  ct_config c;
  const char* const formats =
      "pack-quantized, int-quantized, float-quantized, naive-quantized, nvfp4-pack-quantized or mxfp4-pack-quantized";
  const result<std::string_view> method = from.get<std::string_view>("quant_method");
  if (!method) return method.error();
  if (*method != "compressed-tensors")
    return make_error(errc::unsupported, "the checkpoint was quantized by another method", "compressed-tensors")
        .about("quant_method");
  const result<std::string_view> format = from.get<std::string_view>("format");
  if (!format) return format.error();
  const json_value* const groups = from.find("config_groups");
  if (groups == nullptr) return make_error(errc::missing, "the config has no groups").about("config_groups");
  if (!groups->is(json_kind::object))
    return make_error(errc::malformed, "the groups of the config are no object", "an object").about("config_groups");
  auto ignore = detail::read_strings(from, "ignore");
  if (!ignore) return ignore.error();
  c.ignore = *std::move(ignore);
  for (std::size_t i = 0; i < groups->size(); ++i) {
    const json_value& g = groups->items()[i];
    const json_value* const weights = g.find("weights");
    if (weights == nullptr || weights->is(json_kind::null)) continue;
    const json_value* const own = g.find("format");  // of "mixed-precision" checkpoints
    const bool named = own != nullptr && !own->is(json_kind::null);
    const result<ct_format> known = detail::read_named(detail::ct_formats, named ? g : from, "format",
                                                       "the format of the tensors is unknown", formats);
    if (!known) return known.error();
    auto targets = detail::read_strings(g, "targets");
    if (!targets) return targets.error();
    const result<ct_scheme> scheme = detail::read_ct_scheme(*weights, *known);
    if (!scheme) return scheme.error();
    c.groups.push_back({groups->names()[i], *std::move(targets), *scheme});
  }
  return c;
}

/// The config as other programs read it. `kept` is the config that it replaces: what nbit does not know stays, group by
/// group; groups that `c` lacks stay too.
inline json_value ct_config_json(const ct_config& c, json_value kept = json_value::object()) {
  kept.set("quant_method", json_value::string("compressed-tensors"));
  const json_value* const format = kept.find("format");
  bool mixed = format != nullptr && format->text() == "mixed-precision";
  for (const ct_group& g : c.groups) mixed = mixed || g.weights.format != c.groups[0].weights.format;
  if (mixed || !c.groups.empty())
    kept.set("format", mixed ? json_value::string("mixed-precision")
                             : detail::name_of(detail::ct_formats, c.groups[0].weights.format));
  if (kept.find("quantization_status") == nullptr) kept.set("quantization_status", json_value::string("compressed"));
  if (kept.find("ignore") == nullptr || !c.ignore.empty()) kept.set("ignore", detail::strings_json(c.ignore));
  if (kept.find("config_groups") == nullptr) kept.set("config_groups", json_value::object());
  json_value& groups = *kept.find("config_groups");
  for (const ct_group& g : c.groups) {
    json_value* group = groups.find(g.name);
    if (group == nullptr) group = &groups.set(g.name, json_value::object());
    group->set("targets", detail::strings_json(g.targets));
    const json_value* const own = group->find("format");
    if (mixed || (own != nullptr && !own->is(json_kind::null)))
      group->set("format", detail::name_of(detail::ct_formats, g.weights.format));
    if (group->find("weights") == nullptr || !group->find("weights")->is(json_kind::object))
      group->set("weights", json_value::object());
    json_value& weights = *group->find("weights");
    weights.set("num_bits", json_value::number(g.weights.bits));
    weights.set("type", json_value::string(g.weights.floating ? "float" : "int"));
    weights.set("symmetric", json_value::boolean(g.weights.symmetric));
    weights.set("strategy", detail::name_of(detail::ct_strategies, g.weights.strategy));
    if (g.weights.strategy == ct_strategy::group || g.weights.strategy == ct_strategy::tensor_group)
      weights.set("group_size", json_value::number(g.weights.group));
  }
  return kept;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
