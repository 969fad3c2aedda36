// nbit/io/awq_config.hpp — what an AWQ checkpoint says about its linears: quantization_config, or quant_config.json.
//
// transformers writes bits and group_size, AutoAWQ itself w_bit and q_group_size; the version's case differs too. Both
// are read. Writing sets the members that a config has in place and leaves everything else as it was.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_AWQ_CONFIG_HPP
#define NBIT_IO_AWQ_CONFIG_HPP

#include <cstdint>
#include <string_view>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/json_value.hpp>

namespace nbit {

inline namespace NBIT_TAG {

/// What the config says about all linears.
struct awq_config {
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool zero_point = true;
  awq_packing packing = awq_packing::gemm;
};

namespace detail {

/// The packing of this name; `lower` says how names are spelt when written.
struct awq_version {
  awq_packing packing;
  std::string_view lower, upper;
};
inline constexpr awq_version awq_versions[] = {
    {awq_packing::gemm, "gemm", "GEMM"},
    {awq_packing::gemv, "gemv", "GEMV"},
    {awq_packing::gemv_fast, "gemv_fast", "GEMVFast"},
};
inline const awq_version* find_awq_version(std::string_view name) {
  for (const awq_version& v : awq_versions)
    if (name == v.lower || name == v.upper || (v.packing == awq_packing::gemv_fast && name == "GEMV_FAST")) return &v;
  return nullptr;
}

}  // namespace detail

/// Reads the config of a checkpoint.  Errors: missing, malformed, unsupported (another method, version or width).
inline result<awq_config> read_awq_config(const json_value& from) {
  awq_config c;
  if (from.find("quant_method") != nullptr) {
    const result<std::string_view> method = from.get<std::string_view>("quant_method");
    if (!method) return method.error();
    if (*method != "awq")
      return make_error(errc::unsupported, "the checkpoint was quantized by another method", "awq")
          .about("quant_method");
  }
  const bool theirs = from.find("w_bit") != nullptr && from.find("bits") == nullptr;
  const char* const bits_name = theirs ? "w_bit" : "bits";
  const char* const group_name = theirs ? "q_group_size" : "group_size";
  const result<int> bits = from.get<int>(bits_name);
  if (!bits) return bits.error();
  if (*bits != 4)
    return make_error(errc::unsupported, "code width of an AWQ checkpoint", "4").about(bits_name).with(*bits);
  const result<std::int64_t> group = from.get<std::int64_t>(group_name);
  if (!group) return group.error();
  if (*group != -1 && *group < 1)
    return make_error(errc::malformed, "group size of an AWQ checkpoint", "-1, or 1 and more")
        .about(group_name)
        .with(*group);
  c.bits = *bits, c.group = *group;
  if (from.find("zero_point") != nullptr) {
    const result<bool> zero_point = from.get<bool>("zero_point");
    if (!zero_point) return zero_point.error();
    c.zero_point = *zero_point;
  }
  if (from.find("version") != nullptr) {
    const result<std::string_view> version = from.get<std::string_view>("version");
    if (!version) return version.error();
    const detail::awq_version* const known = detail::find_awq_version(*version);
    if (known == nullptr)
      return make_error(errc::unsupported, "codes are packed in another way", "gemm, gemv or gemv_fast")
          .about("version");
    c.packing = known->packing;
  }
  return c;
}

/// The config as other programs read it. `kept` is the config that it replaces: members that nbit does not know, and
/// the spelling of those it does, stay.
inline json_value awq_config_json(const awq_config& c, json_value kept = json_value::object()) {
  const bool theirs = kept.find("w_bit") != nullptr && kept.find("bits") == nullptr;
  if (!theirs) kept.set("quant_method", json_value::string("awq"));
  kept.set(theirs ? "w_bit" : "bits", json_value::number(c.bits));
  kept.set(theirs ? "q_group_size" : "group_size", json_value::number(c.group));
  kept.set("zero_point", json_value::boolean(c.zero_point));
  const detail::awq_version* said = nullptr;
  if (const json_value* const v = kept.find("version")) said = detail::find_awq_version(v->text());
  if (said == nullptr || said->packing != c.packing)
    for (const detail::awq_version& v : detail::awq_versions)
      if (v.packing == c.packing) kept.set("version", json_value::string(theirs ? v.upper : v.lower));
  return kept;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
