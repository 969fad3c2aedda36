// nbit/plan/measurement.hpp — the measured losses behind an allocation, as JSON: measured once, used for any budget.
//
//   {"format": "nbit-measurement", "version": 1,
//    "items": [{"tensors": ["blk.0.ffn_down.weight"], "role": "ffn_down", "weights": 196608,
//               "choices": [{"format": "Q4_K", "bytes": 110592, "loss": 0.00123}, ...]}, ...]}
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_MEASUREMENT_HPP
#define NBIT_PLAN_MEASUREMENT_HPP

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/json_reader.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/json_writer.hpp>
#include <nbit/plan/allocation.hpp>

namespace nbit {

inline namespace NBIT_TAG {

/// The measurement as text.
[[nodiscard]] inline std::string measurement_text(std::span<const allocation_item> items) {
  json_value all = json_value::array();
  for (const allocation_item& item : items) {
    json_value tensors = json_value::array(), choices = json_value::array(), entry = json_value::object();
    for (const std::string& t : item.tensors) tensors.push(json_value::string(t));
    for (const allocation_choice& c : item.choices) {
      json_value choice = json_value::object();
      choice.add("format", json_value::string(c.format));
      choice.add("bytes", json_value::number(c.bytes));
      choice.add("loss", json_value::number(c.loss));
      choices.push(std::move(choice));
    }
    entry.add("tensors", std::move(tensors));
    entry.add("role", json_value::string(item.role));
    entry.add("weights", json_value::number(item.weights));
    entry.add("choices", std::move(choices));
    all.push(std::move(entry));
  }
  json_value root = json_value::object();
  root.add("format", json_value::string("nbit-measurement"));
  root.add("version", json_value::number(1));
  root.add("items", std::move(all));
  return json_text(root, 1) + "\n";
}

/// The items of a measurement.  Errors: those of json_parse; missing, malformed, unsupported (another version).
[[nodiscard]] inline result<std::vector<allocation_item>> parse_measurement(std::string_view text) {
  const auto root = json_parse(text);
  if (!root) return root.error();
  const auto format = root->get<std::string_view>("format");
  if (!format) return format.error();
  if (*format != "nbit-measurement")
    return make_error(errc::malformed, "the file is no measurement", "format: nbit-measurement");
  const auto version = root->get<int>("version");
  if (!version) return version.error();
  if (*version != 1) return make_error(errc::unsupported, "the measurement has another version", "1").with(*version);
  const json_value* const list = root->find("items");
  if (list == nullptr || !list->is(json_kind::array))
    return make_error(errc::missing, "the measurement has no items", "an array");
  std::vector<allocation_item> items;
  for (const json_value& entry : list->items()) {
    allocation_item item;
    const json_value *const tensors = entry.find("tensors"), *const choices = entry.find("choices");
    if (tensors == nullptr || !tensors->is(json_kind::array) || choices == nullptr || !choices->is(json_kind::array))
      return make_error(errc::malformed, "an item lacks its tensors or choices", "two arrays").at(entry.offset());
    for (const json_value& t : tensors->items()) {
      const auto name = t.get<std::string_view>();
      if (!name) return name.error();
      item.tensors.emplace_back(*name);
    }
    const auto role = entry.get<std::string_view>("role");
    if (!role) return role.error();
    const auto weights = entry.get<std::uint64_t>("weights");
    if (!weights) return weights.error();
    item.role = *role, item.weights = *weights;
    for (const json_value& c : choices->items()) {
      const auto name = c.get<std::string_view>("format");
      if (!name) return name.error();
      const auto bytes = c.get<std::uint64_t>("bytes");
      if (!bytes) return bytes.error();
      const auto loss = c.get<double>("loss");
      if (!loss) return loss.error();
      if (!(*loss >= 0 && *loss <= 1e300))
        return make_error(errc::malformed, "a loss is no finite number", "0 or more").at(c.offset());
      item.choices.push_back({std::string(*name), *bytes, *loss});
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
