// tests/io/compressed_config_test.cpp — configs of compressed-tensors, read, written back, and refused by name.
// SPDX-License-Identifier: MIT
#include <nbit/io/compressed_config.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>

#include "io/checkpoints.hpp"

TEST_CASE("configs of compressed-tensors checkpoints survive being read and written") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("ct_")) {
    const nbit_test::checkpoint c = nbit_test::load_checkpoint(folder);
    if (c.config.is(nbit::json_kind::null)) continue;  // two folders come without
    INFO(c.name);
    const nbit::json_value json = c.quantization();
    const auto config = nbit::read_ct_config(json);
    REQUIRE(config);
    REQUIRE(config->groups.size() == 1);
    CHECK((config->groups[0].name == "group_0" && config->groups[0].targets == std::vector<std::string>{"Linear"}));
    CHECK(config->ignore == std::vector<std::string>{"lm_head"});
    CHECK((config->groups[0].weights.strategy == nbit::ct_strategy::channel) ==
          (c.name.find("channel") != std::string::npos));
    CHECK(config->groups[0].weights.floating == (c.name.find("fp8") != std::string::npos));
    CHECK(nbit::json_text(nbit::ct_config_json(*config, json)) == nbit::json_text(json));
    ++folders;
  }
  CHECK(folders >= 5);
}

TEST_CASE("a config made from nothing reads back the same") {
  nbit::ct_config made;
  made.groups.push_back(
      {"group_0", {"Linear"}, {nbit::ct_format::pack_quantized, 4, false, false, nbit::ct_strategy::group, 32}});
  made.groups.push_back({"group_1",
                         {"re:.*down_proj"},
                         {nbit::ct_format::nvfp4_pack_quantized, 4, true, true, nbit::ct_strategy::tensor_group, 16}});
  made.ignore = {"lm_head"};
  const nbit::json_value json = nbit::ct_config_json(made);
  CHECK(json.find("format")->text() == "mixed-precision");
  const auto read = nbit::read_ct_config(json);
  REQUIRE(read);
  REQUIRE(read->groups.size() == 2);
  CHECK((!read->groups[0].weights.symmetric && read->groups[0].weights.group == 32));
  CHECK(
      (read->groups[1].weights.format == nbit::ct_format::nvfp4_pack_quantized && read->groups[1].weights.group == 16));
  CHECK(read->groups[1].targets == made.groups[1].targets);
}

TEST_CASE("what nobody here knows stays in a config of compressed-tensors") {
  const char* const text =
      R"({"quant_method":"compressed-tensors","format":"int-quantized","future":[1.0],"kv_cache_scheme":null,)"
      R"("config_groups":{"a":{"targets":["Linear"],"input_activations":{"num_bits":8},"weights":{"num_bits":8,"type":"int",)"
      R"("symmetric":true,"strategy":"channel","observer":"mse","dynamic":false}},"b":{"targets":[],"weights":null}},)"
      R"("ignore":["re:.*gate"],"quantization_status":"compressed"})";
  const auto json = nbit::json_parse(text);
  REQUIRE(json);
  const auto config = nbit::read_ct_config(*json);
  REQUIRE(config);
  CHECK(config->groups.size() == 1);
  CHECK(nbit::json_text(nbit::ct_config_json(*config, *json)) == text);
}

TEST_CASE("configs of compressed-tensors that contradict themselves are refused by name") {
  const std::string head =
      R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":)";
  const std::pair<std::string, const char*> bad[] = {
      {R"({"format":"pack-quantized","config_groups":{}})", "quant_method"},
      {R"({"quant_method":"awq","format":"pack-quantized","config_groups":{}})", "quant_method"},
      {R"({"quant_method":"compressed-tensors","config_groups":{}})", "format"},
      {R"({"quant_method":"compressed-tensors","format":"pack-quantized"})", "config_groups"},
      {R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":[]})", "config_groups"},
      {R"({"quant_method":"compressed-tensors","format":"marlin-24","config_groups":{"g":{"weights":{"num_bits":4}}}})",
       "format: marlin-24"},
      {head + R"({"num_bits":9}}}})", "num_bits"},
      {head + R"({"type":"int"}}}})", "num_bits"},
      {head + R"({"num_bits":4,"type":"log"}}}})", "type"},
      {head + R"({"num_bits":4,"strategy":"block"}}}})", "strategy: block"},
      {head + R"({"num_bits":4,"strategy":"group"}}}})", "group_size"},
      {head + R"({"num_bits":4,"group_size":0}}}})", "group_size"},
      {head + R"({"num_bits":4,"symmetric":"yes"}}}})", "symmetric"},
      {head + R"({"num_bits":4,"group_size":32},"targets":"Linear"}}})", "targets"},
  };
  for (const auto& [text, subject] : bad) {
    INFO(text);
    const auto json = nbit::json_parse(text);
    REQUIRE(json);
    const auto config = nbit::read_ct_config(*json);
    REQUIRE_FALSE(config);
    CHECK(std::string(config.error().subject) == subject);
  }
}
