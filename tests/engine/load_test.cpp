// tests/engine/load_test.cpp — models from GGUF and checkpoints: weights as they lie, refusals by name.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <engine/evaluate.hpp>
#include <engine/generate.hpp>
#include <engine/load.hpp>
#include <support/data.hpp>
#include <support/random.hpp>
#include <support/st.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/io/gguf.hpp>

#include "reference.hpp"

using engine_test::bundled;
using engine_test::largest_difference;

namespace {

// The bundled model as GGUF bytes in F32. `change` may alter the writer's keys.
template <class Change>
std::vector<std::byte> as_gguf(const engine::model& given, Change&& change) {
  const engine::model m = engine::with_rope(given, engine::rope_style::interleaved);
  const engine::config& c = m.config;
  nbit::gguf::writer to;
  REQUIRE(to.set("general.architecture", std::string_view("llama")));
  const std::pair<const char*, std::size_t> sizes[] = {{"llama.block_count", c.layers},
                                                       {"llama.embedding_length", c.width},
                                                       {"llama.feed_forward_length", c.ffn_width},
                                                       {"llama.attention.head_count", c.heads},
                                                       {"llama.attention.head_count_kv", c.kv_heads},
                                                       {"llama.context_length", c.context}};
  for (const auto& [name, value] : sizes) REQUIRE(to.set(name, static_cast<std::uint32_t>(value)));
  REQUIRE(to.set("llama.attention.layer_norm_rms_epsilon", c.norm_epsilon));
  change(to);
  std::vector<std::pair<std::string, std::vector<float>>> tensors;
  for (const std::string& name : m.names()) {
    const nbit::shape s = m.find(name)->shape();
    std::vector<float> w(s.rows * s.cols);
    m.find(name)->decode({w.data(), s.rows, s.cols});
    const std::uint64_t ne[] = {s.cols, s.rows};
    REQUIRE(to.declare(name, ne, nbit::ggml_type::f32));
    tensors.emplace_back(name, std::move(w));
  }
  const auto gain = [&](const std::string& name, const std::vector<float>& v) {
    const std::uint64_t ne[] = {v.size()};
    REQUIRE(to.declare(name, ne, nbit::ggml_type::f32));
    tensors.emplace_back(name, v);
  };
  gain("output_norm.weight", m.output_norm);
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    gain(engine::tensor_name(b, "attn_norm"), m.blocks[b].attn_norm);
    gain(engine::tensor_name(b, "ffn_norm"), m.blocks[b].ffn_norm);
  }
  nbit::memory_sink sink;
  auto stream = to.begin(sink);
  REQUIRE(stream);
  for (const auto& [name, w] : tensors) REQUIRE(stream->write(name, std::as_bytes(std::span(w))));
  REQUIRE(stream->finish());
  return std::move(sink.bytes);
}

nbit::result<engine::model> parsed(const std::vector<std::byte>& bytes) {
  auto file = nbit::gguf::parse(bytes);
  REQUIRE(file);
  return engine::load_gguf(std::make_shared<const nbit::gguf::file>(*std::move(file)));
}

}  // namespace

TEST_CASE("A model written to GGUF with permuted rows and read again gives the same logits") {
  const engine::model& m = engine_test::bundled_model();
  const auto bytes = as_gguf(m, [](nbit::gguf::writer&) {});
  const auto again = parsed(bytes);
  REQUIRE(again);
  CHECK(again->config.rope == engine::rope_style::interleaved);
  CHECK(again->find("blk.2.ffn_down.weight")->format() == "F32");
  const auto text = engine_test::bundled_windows("dev_ids.safetensors", 1);
  const auto ids = text[0].first(32);
  CHECK(largest_difference(engine_test::logits_of(m, ids).values, engine_test::logits_of(*again, ids).values) < 1e-4);
}

TEST_CASE("A GGUF file that the engine cannot run is refused with the key's name") {
  const auto refused = [](auto&& change) {
    const auto m = parsed(as_gguf(engine_test::bundled_model(), change));
    REQUIRE_FALSE(m);
    return m.error();
  };
  const auto other =
      refused([](nbit::gguf::writer& w) { REQUIRE(w.set("general.architecture", std::string_view("mamba"))); });
  CHECK(other.code == nbit::errc::unsupported);
  CHECK(std::string(other.subject) == "mamba");
  const auto scaled =
      refused([](nbit::gguf::writer& w) { REQUIRE(w.set("llama.rope.scaling.type", std::string_view("yarn"))); });
  CHECK(scaled.code == nbit::errc::unsupported);
  const auto lacking = refused([](nbit::gguf::writer& w) { CHECK(w.erase("llama.block_count")); });
  CHECK(lacking.code == nbit::errc::missing);
  CHECK(std::string(lacking.subject) == "llama.block_count");
  const auto deeper = refused([](nbit::gguf::writer& w) { REQUIRE(w.set("llama.block_count", std::uint32_t{7})); });
  CHECK(deeper.code == nbit::errc::missing);
  CHECK(std::string(deeper.subject).substr(0, 6) == "blk.6.");
  const auto wider =
      refused([](nbit::gguf::writer& w) { REQUIRE(w.set("llama.embedding_length", std::uint32_t{512})); });
  CHECK(wider.code == nbit::errc::shape);
  const auto huge =
      refused([](nbit::gguf::writer& w) { REQUIRE(w.set("llama.feed_forward_length", std::uint32_t{0xffffffff})); });
  CHECK(huge.code == nbit::errc::invalid_option);
}

TEST_CASE("Every ggml type that has a format is read in that format") {
  nbit_test::random numbers(8);
  std::size_t types = 0;
  const auto check = [&]<class F>(F) {
    const nbit::shape s{3, 512};
    const auto bytes = numbers.bytes(nbit::packed_bytes<F>(s));
    const auto type = static_cast<nbit::ggml_type>(F::ggml_type);
    const auto matrix = engine::ggml_linear(type, bytes, s, {});
    REQUIRE(matrix);
    CHECK(matrix->format() == nbit::find_ggml_type(static_cast<std::uint32_t>(F::ggml_type))->name);
    CHECK(matrix->bytes() == bytes.size());
    std::vector<float> given(3 * 512), expected(3 * 512);
    matrix->decode({given.data(), 3, 512});
    nbit::dequantize(nbit::packed_view<F>(bytes, s), nbit::matrix_view<float>(expected.data(), 3, 512));
    CHECK(std::memcmp(given.data(), expected.data(), given.size() * sizeof(float)) == 0);  // random bytes: NaN too
    CHECK(engine::ggml_linear(type, std::span(bytes).first(bytes.size() - 1), s, {}).error().code == nbit::errc::shape);
    ++types;
  };
  check(nbit::q4_0{}), check(nbit::q4_1{}), check(nbit::q5_0{}), check(nbit::q5_1{}), check(nbit::q8_0{});
  check(nbit::q2_k{}), check(nbit::q3_k{}), check(nbit::q4_k{}), check(nbit::q5_k{}), check(nbit::q6_k{});
  check(nbit::iq4_nl{}), check(nbit::iq4_xs{}), check(nbit::mxfp4{});
  CHECK(types == 13);
  const std::vector<std::byte> none(512);
  CHECK(engine::ggml_linear(nbit::ggml_type::i8, none, {1, 512}, {}).error().code == nbit::errc::unsupported);
  CHECK(engine::ggml_linear(nbit::ggml_type::f32, none, {1, 129}, {}).error().code == nbit::errc::shape);
  // Dense numbers at an address that does not suit them are copied.
  std::vector<std::byte> odd(1 + 4 * sizeof(float));
  const float v[] = {1.0f, 2.0f, 3.0f, 4.0f};
  std::memcpy(odd.data() + 1, v, sizeof(v));
  const auto dense = engine::ggml_linear(nbit::ggml_type::f32, std::span(odd).subspan(1), {2, 2}, {});
  REQUIRE(dense);
  float row[2];
  dense->row(1, row);
  CHECK(row[1] == 4.0f);
}

TEST_CASE("A folder, a file and their mistakes") {
  const auto folder = engine::load(bundled(""));
  REQUIRE(folder);
  CHECK(folder->find("output.weight")->format() == "BF16");
  CHECK(engine::load_tokenizer(bundled(""))->size() == 2048);
  CHECK(engine::load(bundled("config.json")).error().code == nbit::errc::unsupported);
  CHECK(engine::load(bundled("none.gguf")).error().code == nbit::errc::io);
  nbit_test::temporary_folder empty;
  CHECK(engine::load(empty.path().string()).error().code == nbit::errc::missing);
  CHECK(engine::load_windows(bundled("model_bf16.safetensors"), 2048).error().code == nbit::errc::missing);
  const auto outside = engine::load_windows(bundled("dev_ids.safetensors"), 100);
  REQUIRE_FALSE(outside);
  CHECK(outside.error().code == nbit::errc::invalid_option);
  CHECK(outside.error().row == 0);
}

TEST_CASE("A checkpoint with fewer tensors than its configuration says is refused") {
  auto opened = nbit::safetensors::open(bundled("model_bf16.safetensors"));
  REQUIRE(opened);
  const auto file = std::make_shared<const nbit::safetensors::file>(*std::move(opened));
  engine::config c = engine_test::bundled_model().config;
  REQUIRE(engine::load_safetensors(file, c, false));
  c.layers = 7;
  CHECK(std::string(engine::load_safetensors(file, c, false).error().subject).substr(0, 6) == "blk.6.");
  c.layers = std::size_t{1} << 24;
  CHECK(engine::load_safetensors(file, c, false).error().code == nbit::errc::missing);
  c.layers = 6, c.vocabulary = 2047;
  CHECK(engine::load_safetensors(file, c, false).error().code == nbit::errc::shape);
}

TEST_CASE("A config.json that the engine cannot run is refused with the member's name") {
  const auto text = nbit_test::read_file(bundled("config.json"));
  REQUIRE(text);
  const auto with = [&](const char* name, nbit::json_value v) {
    auto json = nbit::json_parse({reinterpret_cast<const char*>(text->data()), text->size()});
    REQUIRE(json);
    json->set(name, std::move(v));
    return engine::config_of(*json);
  };
  CHECK(with("model_type", nbit::json_value::string("gemma")).error().code == nbit::errc::unsupported);
  CHECK(with("attention_bias", nbit::json_value::boolean(true)).error().code == nbit::errc::unsupported);
  CHECK(with("hidden_act", nbit::json_value::string("gelu")).error().code == nbit::errc::unsupported);
  CHECK(with("num_attention_heads", nbit::json_value::number(0)).error().code == nbit::errc::invalid_option);
  CHECK(with("num_attention_heads", nbit::json_value::string("8")).error().code == nbit::errc::malformed);
  CHECK(with("num_key_value_heads", nbit::json_value::number(3)).error().code == nbit::errc::invalid_option);
  CHECK(with("rope_scaling", nbit::json_value()).has_value());
  auto scaled = nbit::json_value::object();
  scaled.set("rope_type", nbit::json_value::string("llama3"));
  CHECK(with("rope_scaling", scaled).error().code == nbit::errc::unsupported);
  auto newer = nbit::json_value::object();
  newer.set("rope_type", nbit::json_value::string("default"));
  newer.set("rope_theta", nbit::json_value::number(5e5));
  const auto c = with("rope_parameters", newer);
  REQUIRE(c);
  CHECK(c->rope_base == 5e5f);
}

TEST_CASE("A Q4_K and Q6_K file agrees with the reference: logits of 64 tokens, perplexity of the dev split") {
  NBIT_NEEDS_DATA(path, "lm/lm-q4_k.gguf");
  const auto m = engine::load(path.string());
  REQUIRE(m);
  CHECK(m->find("blk.0.attn_q.weight")->format() == "Q4_K");
  CHECK(m->find("output.weight")->format() == "Q6_K");
  const auto reference = nbit_test::st_file::load(path.parent_path() / "reference_lm-q4_k_gguf.safetensors");
  REQUIRE(reference);
  const double off = largest_difference(engine_test::logits_of(*m, (*reference)["ids"].as<std::int32_t>()).values,
                                        (*reference)["logits"].as<float>());
  INFO("logits differ by " << off);
  CHECK(off < 5e-5);
  const auto words = engine::load_tokenizer(path.string());
  REQUIRE(words);
  CHECK(words->decode(*words->encode("It was the best of times")) == "It was the best of times");
#if !defined(NBIT_SCALAR_ONLY) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  nbit::thread_pool pool;
  const auto found = engine::evaluate(*m, engine_test::bundled_windows("dev_ids.safetensors", 128), nullptr, pool);
  INFO("perplexity " << found.perplexity << " in " << found.seconds << " s");
  CHECK(std::fabs(found.perplexity / 26.70753555729604 - 1.0) < 1e-5);
#endif
}

TEST_CASE("An F16 file writes the reference's story, a Q8_0 and Q4_0 file the same beginning") {
  NBIT_NEEDS_DATA(path, "stories260k/stories260k-f16.gguf");
  const auto reference = nbit_test::st_file::load(path.parent_path() / "reference.safetensors");
  REQUIRE(reference);
  const auto ids = (*reference)["greedy_ids"].as<std::int32_t>();
  const std::vector<std::int32_t> story(ids.begin() + 1, ids.end());
  const auto m = engine::load(path.string());
  REQUIRE(m);
  CHECK_FALSE(m->output);  // tied
  const auto written = engine::greedy(*m, {ids.data(), 1}, story.size());
  REQUIRE(written);
  CHECK(*written == story);
  const double off = largest_difference(engine_test::logits_of(*m, std::span(ids).first(64)).values,
                                        (*reference)["logits"].as<float>());
  INFO("logits differ by " << off << ": the weights were rounded to f16, the reference has them in f32");
  CHECK(off < 0.02);
  const auto words = engine::load_tokenizer(path.string());
  REQUIRE(words);
  const std::string text = words->decode(*written);
  CHECK(text.substr(0, 17) == " Once upon a time");
  CHECK_FALSE(words->encode("x"));

  const auto small = engine::load((path.parent_path() / "stories260k-q8_0-q4_0.gguf").string());
  REQUIRE(small);
  const auto shorter = engine::greedy(*small, {ids.data(), 1}, 20);
  REQUIRE(shorter);
  CHECK(*shorter == std::vector<std::int32_t>(story.begin(), story.begin() + 20));
}
