// tests/plan/mix_test.cpp — named mixes: llama.cpp's decisions for synthetic models, overrides, sizes, ragged rows.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/plan/mix.hpp>

#include "support/data.hpp"

namespace {

using nbit::ggml_type;

struct synthetic {
  nbit::mix_model model;
  std::string architecture;
  std::vector<std::string> names;
  std::vector<nbit::mix_tensor> tensors;

  void add(std::string name, std::uint64_t cols, std::uint64_t rows, std::uint64_t experts = 1) {
    names.push_back(std::move(name));
    tensors.push_back({{}, {cols, rows, experts, 1}, ggml_type::f32});
  }
  // Views into what this holds: to be called again after a move.
  void look() {
    for (std::size_t i = 0; i < names.size(); ++i) tensors[i].name = names[i];
    model.architecture = architecture;
  }
};

// The tensors of a model as the golden table lists them.
synthetic make(std::istream& line) {
  synthetic s;
  std::uint64_t cols = 0;
  int tied = 0, attention = 0;
  std::string id;
  line >> id >> s.architecture >> s.model.layers >> s.model.experts >> s.model.heads >> s.model.kv_heads >> cols >>
      tied >> attention;
  s.add("output_norm.weight", cols, 1);
  if (tied == 0) s.add("output.weight", cols, 1000);
  s.add("token_embd.weight", cols, 1000);
  for (std::uint32_t l = 0; l < s.model.layers; ++l) {
    const auto in = [&](const char* part) { return "blk." + std::to_string(l) + "." + part + ".weight"; };
    s.add(in("attn_norm"), cols, 1);
    s.add(in("attn_output"), cols, cols);
    if (attention == 1) {
      s.add(in("attn_qkv"), cols, 3 * cols);
    } else {
      for (const char* part : attention == 2 ? std::vector{"attn_kv_a_mqa", "attn_kv_b", "attn_q"}
                                             : std::vector{"attn_k", "attn_q", "attn_v"})
        s.add(in(part), cols, cols);
    }
    if (s.model.experts != 0) {
      s.add(in("ffn_down_exps"), cols, cols, s.model.experts);
      s.add(in("ffn_gate_exps"), cols, cols, s.model.experts);
      s.add(in("ffn_gate_inp"), cols, s.model.experts);
      s.add(in("ffn_up_exps"), cols, cols, s.model.experts);
    } else {
      for (const char* part : {"ffn_down", "ffn_gate", "ffn_up"}) s.add(in(part), cols, cols);
    }
  }
  s.look();
  return s;
}

nbit::mix_options falling_back(nbit::mix_rules rules) {
  nbit::mix_options o;
  o.rules = rules;
  o.ragged.rows = nbit::ragged_choice::fall_back;
  return o;
}

}  // namespace

TEST_CASE("every named mix gives every tensor the type that llama.cpp gives it, by the rules of either year") {
  std::ifstream table(nbit_test::golden_dir() / "plan" / "mixes.txt");
  REQUIRE(table);
  std::map<char, const nbit::ggml_type_info*> letters;
  synthetic s;
  std::string text, word;
  int plans = 0, wrong = 0;
  std::size_t tensors = 0;
  while (std::getline(table, text)) {
    std::istringstream line(text);
    line >> word;
    if (word == "types") {
      while (line >> word) letters[word[0]] = nbit::find_ggml_type(std::string_view(word).substr(2));
      continue;
    }
    if (word == "model") {
      s = make(line);
      s.look();
      continue;
    }
    const nbit::mix_info* const mix = nbit::find_mix(word);
    REQUIRE(mix != nullptr);
    std::string which, runs;
    line >> which >> runs;
    std::vector<ggml_type> wanted;
    for (std::size_t i = 0; i < runs.size();) {
      const nbit::ggml_type_info* const type = letters.at(runs[i++]);
      REQUIRE(type != nullptr);
      std::size_t n = 0;
      for (; i < runs.size() && runs[i] >= '0' && runs[i] <= '9'; ++i)
        n = n * 10 + static_cast<std::size_t>(runs[i] - '0');
      wanted.insert(wanted.end(), n == 0 ? 1 : n, type->type);
    }
    REQUIRE(wanted.size() == s.tensors.size());
    for (std::istringstream years(which); std::getline(years, word, ',');) {
      nbit::mix_model model = s.model;
      model.importance = word.back() == 'i';
      const auto plan =
          nbit::plan_mix(mix->mix, model, s.tensors,
                         falling_back(word.substr(0, 4) == "2025" ? nbit::mix_rules::y2025 : nbit::mix_rules::y2026));
      if (!plan) FAIL(plan.error().what << " " << plan.error().subject);
      for (std::size_t i = 0; i < wanted.size(); ++i)
        if ((*plan)[i].type != wanted[i] && ++wrong < 10)
          WARN(s.architecture << " " << s.model.layers << " " << mix->name << " " << word << " " << s.names[i]
                              << ": found " << int((*plan)[i].type) << ", wanted " << int(wanted[i]));
      tensors += wanted.size();
      ++plans;
    }
  }
  CHECK(wrong == 0);
  CHECK(plans > 1100);
  WARN("compared " << plans << " plans, " << tensors << " tensors");
}

TEST_CASE("overrides, options and kept tensors decide before the mix, in the order given") {
  std::istringstream line("m llama 4 0 8 8 256 0 0");
  synthetic s = make(line);
  s.look();
  nbit::mix_options o;
  const auto at = [&](const std::vector<nbit::planned_tensor>& plan, const char* name) {
    for (std::size_t i = 0; i < s.names.size(); ++i)
      if (s.names[i] == name) return plan[i];
    FAIL(name);
    return nbit::planned_tensor{};
  };
  std::vector<nbit::type_override> overrides;
  for (const char* text : {"blk\\.[01]\\.ffn_down=Q8_0", "ffn_down|attn_q=q5_1", "token_embd=Q2_K"}) {
    auto one = nbit::parse_override(text);
    REQUIRE(one);
    overrides.push_back(std::move(*one));
  }
  o.overrides = overrides;
  o.embedding = ggml_type::f16;
  auto plan = nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o);
  REQUIRE(plan);
  CHECK(at(*plan, "blk.1.ffn_down.weight").type == ggml_type::q8_0);
  CHECK(at(*plan, "blk.1.ffn_down.weight").reason == nbit::plan_reason::override);
  CHECK(at(*plan, "blk.2.ffn_down.weight").type == ggml_type::q5_1);
  CHECK(at(*plan, "token_embd.weight").type == ggml_type::f16);
  CHECK(at(*plan, "token_embd.weight").reason == nbit::plan_reason::option);
  CHECK(at(*plan, "output.weight").type == ggml_type::q6_k);
  CHECK(at(*plan, "blk.0.attn_norm.weight").reason == nbit::plan_reason::kept);
  CHECK(at(*plan, "blk.0.ffn_up.weight").bytes == 256 * 144);
  o = {};
  o.pure = true, o.output = ggml_type::q8_0;
  plan = nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o);
  CHECK(at(*plan, "blk.0.ffn_down.weight").type == ggml_type::q4_k);
  CHECK(at(*plan, "output.weight").type == ggml_type::q8_0);
  o.keep_output = true;
  CHECK(at(*nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o), "output.weight").type == ggml_type::f32);
  const auto iq = nbit::plan_mix(nbit::mix::iq2_xs, s.model, s.tensors);
  CHECK(at(*iq, "blk.0.ffn_up.weight").needs_importance);
  CHECK_FALSE(at(*iq, "token_embd.weight").needs_importance);
  for (const char* bad : {"ffn_down", "=Q4_K", "a=Q9", "a(=Q4_K", "a{2}=Q4_K"}) CHECK_FALSE(nbit::parse_override(bad));
  CHECK(nbit::find_mix("Q4_K")->mix == nbit::mix::q4_k_m);
  CHECK(nbit::find_mix("Q9_K") == nullptr);
}

TEST_CASE("rows that are no whole blocks are refused by name, unless the caller says what becomes of them") {
  std::istringstream line("m llama 1 0 8 8 160 0 0");
  synthetic s = make(line);
  s.look();
  nbit::mix_options o;
  const auto refused = nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == nbit::errc::shape);
  CHECK(refused.error().found == 160);
  CHECK(std::string(refused.error().allowed) == "a multiple of 256");
  o.ragged.rows = nbit::ragged_choice::fall_back, o.ragged.type = ggml_type::q8_0;
  const auto named = nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o);
  REQUIRE(named);
  for (const auto& t : *named)
    if (t.reason != nbit::plan_reason::kept) CHECK(t.type == ggml_type::q8_0);
  o.ragged.type = ggml_type::q4_k;
  CHECK(nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o).error().code == nbit::errc::shape);
  o.ragged = {nbit::ragged_choice::pad, {}, false, nbit::mix_rules::y2026};
  CHECK(nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o).error().code == nbit::errc::unsupported);
  o.ragged.container_pads = true;
  const auto padded = nbit::plan_mix(nbit::mix::q4_k_m, s.model, s.tensors, o);
  REQUIRE(padded);
  CHECK(padded->back().cols == 256);
  CHECK(padded->back().bytes == 160 * 144);
  CHECK(nbit::fit_rows(ggml_type::q4_k, 512, {})->cols == 512);
  CHECK(nbit::fallback_type(ggml_type::q2_k, 32, nbit::mix_rules::y2025) == ggml_type::iq4_nl);
  CHECK(nbit::fallback_type(ggml_type::q2_k, 32) == ggml_type::q4_0);
  CHECK(nbit::fallback_type(ggml_type::q2_k, 33) == ggml_type::f16);
  nbit::mix_model experts = s.model;
  experts.experts = 4;
  nbit::mix_tensor stray[] = {{"ffn_down.weight", {256, 4, 1, 1}, ggml_type::f32}};
  CHECK(nbit::plan_mix(nbit::mix::q4_k_m, experts, stray).error().code == nbit::errc::malformed);
  stray[0] = {"blk.0.ffn_up.weight", {256, ~std::uint64_t{0}, 4, 1}, ggml_type::f32};
  CHECK(nbit::plan_mix(nbit::mix::q4_k_m, experts, stray).error().code == nbit::errc::overflow);
}
