// tests/io/gptq_checkpoint_test.cpp — GPTQ checkpoints written by GPTQModel, read to the last code and written back.
// SPDX-License-Identifier: MIT
#include <nbit/io/gptq_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/io/json_reader.hpp>

#include "support/data.hpp"
#include "support/st.hpp"

namespace {

template <int Bits, int Group>
struct asym : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric}> {};
template <int Bits, int Group>
struct sym : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = nbit::symmetry::gptq}> {};

using nbit_test::st_file;

nbit::gptq_linear linear_of(const st_file& file, const std::string& name) {
  const auto& w = file[name + ".qweight"];
  const auto& s = file[name + ".scales"];
  const auto& g = file[name + ".g_idx"];
  return {g.shape[0], w.shape[1], s.shape[0], w.bytes, file[name + ".qzeros"].bytes, s.bytes, g.bytes};
}

bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

/// Reads one linear as F, compares with the peer's codes, zeros and values, and packs it again.
template <class F>
void check_linear(const st_file& model, const st_file& reference, const std::string& name,
                  const nbit::gptq_config& config) {
  const nbit::gptq_linear stored = linear_of(model, name);
  const auto read = nbit::unpack_gptq<F>(stored, config.zeros);
  REQUIRE(read);
  CHECK(read->shape() == nbit::shape{stored.outputs, stored.inputs});
  const auto codes = reference[name + ".codes"].template as<std::uint8_t>();
  CHECK(std::equal(codes.begin(), codes.end(), read->codes.begin(), read->codes.end()));
  const auto zeros = reference[name + ".zeros"].template as<std::uint8_t>();
  REQUIRE(zeros.size() == read->params.size());
  if constexpr (!F::symmetric)
    for (std::size_t i = 0; i < zeros.size(); ++i) REQUIRE(zeros[i] == read->params[i].zero);
  const auto expected = reference[name + ".weight_f32"].template as<float>();
  std::vector<float> values(expected.size());
  nbit::detail::decode_matrix<F>(*read, {values.data(), read->rows, read->cols});
  CHECK(values == expected);
  const auto packed = nbit::pack_gptq<F>(*read, config.zeros);
  REQUIRE(packed);
  CHECK(same(packed->qweight.span(), stored.qweight));
  CHECK(same(packed->qzeros.span(), stored.qzeros));
  CHECK(same(packed->scales.span(), stored.scales));
  CHECK(same(packed->g_idx.span(), stored.g_idx));
}

template <int Bits, int Group>
bool check_as(const st_file& model, const st_file& reference, const std::string& name,
              const nbit::gptq_config& config) {
  if (config.bits != Bits || config.group != (Group == nbit::per_row ? -1 : Group)) return false;
  check_linear<asym<Bits, Group>>(model, reference, name, config);
  if (config.symmetric) check_linear<sym<Bits, Group>>(model, reference, name, config);
  return true;
}

nbit::result<nbit::gptq_config> config_in(const std::filesystem::path& folder) {
  const auto text = nbit_test::read_file(folder / "quantize_config.json");
  REQUIRE(text);
  const auto json = nbit::json_parse({reinterpret_cast<const char*>(text->data()), text->size()});
  REQUIRE(json);
  return nbit::read_gptq_config(*json);
}

}  // namespace

TEST_CASE("checkpoints of GPTQModel decode to its codes, zeros and values, and pack to the same bytes") {
  NBIT_NEEDS_DATA(folder, "checkpoints");
  std::size_t folders = 0, linears = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("gptq_", 0) != 0) continue;
    INFO(name);
    const auto config = config_in(entry.path());
    if (name.find("planar") != std::string::npos) {
      REQUIRE_FALSE(config);
      CHECK(config.error().code == nbit::errc::unsupported);
      continue;
    }
    REQUIRE(config);
    ++folders;
    const auto model = st_file::load(entry.path() / "model.safetensors");
    const auto reference = st_file::load(entry.path() / "reference.safetensors");
    REQUIRE(model);
    REQUIRE(reference);
    for (const std::string linear : {"model.layers.0.mlp.down_proj", "model.layers.0.self_attn.q_proj"}) {
      INFO(linear);
      const bool known = check_as<2, 64>(*model, *reference, linear, *config) ||
                         check_as<3, 32>(*model, *reference, linear, *config) ||
                         check_as<3, 64>(*model, *reference, linear, *config) ||
                         check_as<3, 128>(*model, *reference, linear, *config) ||
                         check_as<4, 32>(*model, *reference, linear, *config) ||
                         check_as<4, 64>(*model, *reference, linear, *config) ||
                         check_as<4, 128>(*model, *reference, linear, *config) ||
                         check_as<4, nbit::per_row>(*model, *reference, linear, *config) ||
                         check_as<8, 64>(*model, *reference, linear, *config);
      CHECK(known);
      ++linears;
    }
  }
  CHECK(folders >= 15);
  INFO(folders << " folders, " << linears << " linears");
  SUCCEED();
}

TEST_CASE("a zero point of any value survives both ways of storing it") {
  using F = asym<4, 32>;
  for (const nbit::gptq_zeros how : {nbit::gptq_zeros::minus_one, nbit::gptq_zeros::plain}) {
    auto q = nbit::coded_matrix<F>::make({32, 64});
    REQUIRE(q);
    for (std::size_t i = 0; i < q->codes.size(); ++i) q->codes[i] = static_cast<std::uint8_t>(i * 7 % 16);
    for (std::size_t i = 0; i < q->params.size(); ++i)
      q->params[i] = {nbit::f16::from(0.5f), static_cast<std::uint8_t>(i % 16)};
    const auto packed = nbit::pack_gptq(*q, how);
    REQUIRE(packed);
    const auto back = nbit::unpack_gptq<F>(packed->view(), how);
    REQUIRE(back);
    CHECK(back->group_index.empty());
    CHECK(std::equal(q->codes.begin(), q->codes.end(), back->codes.begin()));
    for (std::size_t i = 0; i < q->params.size(); ++i) REQUIRE(back->params[i].zero == q->params[i].zero);
  }
}

TEST_CASE("damaged GPTQ tensors are refused with the tensor and the place") {
  using F = asym<4, 32>;
  auto q = nbit::coded_matrix<F>::make({32, 64});
  REQUIRE(q);
  auto packed = nbit::pack_gptq(*q);
  REQUIRE(packed);

  SECTION("a size that does not fit the shape") {
    for (auto cut : {&nbit::gptq_linear::qweight, &nbit::gptq_linear::qzeros, &nbit::gptq_linear::scales,
                     &nbit::gptq_linear::g_idx}) {
      nbit::gptq_linear view = packed->view();
      view.*cut = (view.*cut).first((view.*cut).size() - 1);
      const auto read = nbit::unpack_gptq<F>(view);
      REQUIRE_FALSE(read);
      CHECK(read.error().code == nbit::errc::shape);
      CHECK(std::string(read.error().subject).size() > 4);
    }
  }
  SECTION("a group that does not exist") {
    packed->g_idx[4 * 5] = std::byte{2};
    const auto read = nbit::unpack_gptq<F>(packed->view());
    REQUIRE_FALSE(read);
    CHECK(read.error().code == nbit::errc::malformed);
    CHECK(read.error().col == 5);
    CHECK(read.error().found == 2);
  }
  SECTION("a negative group") {
    for (std::size_t i = 0; i < 4; ++i) packed->g_idx[i] = std::byte{0xff};
    const auto read = nbit::unpack_gptq<F>(packed->view());
    REQUIRE_FALSE(read);
    CHECK(read.error().found == -1);
  }
  SECTION("a scale that is NaN") {
    packed->scales[2 * (32 + 3) + 1] = std::byte{0x7e};
    const auto read = nbit::unpack_gptq<F>(packed->view());
    REQUIRE_FALSE(read);
    CHECK(read.error().code == nbit::errc::not_finite);
    CHECK(read.error().row == 1);
    CHECK(read.error().col == 3);
  }
  SECTION("a zero that a symmetric format cannot mean") {
    const auto read = nbit::unpack_gptq<sym<4, 32>>(packed->view());
    REQUIRE_FALSE(read);
    CHECK(read.error().code == nbit::errc::malformed);
    CHECK(read.error().found == 0);
  }
  SECTION("a matrix that does not fill whole words") {
    auto odd = nbit::coded_matrix<F>::make({32, 40});
    REQUIRE(odd);
    CHECK(nbit::pack_gptq(*odd).error().found == 40);
    auto narrow = nbit::coded_matrix<F>::make({9, 64});
    REQUIRE(narrow);
    CHECK(nbit::pack_gptq(*narrow).error().found == 9);
  }
}

TEST_CASE("tensors of a file that contradict each other or the format are refused by name") {
  using F = asym<4, 32>;
  using nbit::safetensors::dtype;
  auto q = nbit::coded_matrix<F>::make({32, 64});
  REQUIRE(q);
  const auto packed = nbit::pack_gptq(*q);
  REQUIRE(packed);
  const auto stored = [](dtype type, std::size_t rows, std::size_t cols, std::span<const std::byte> bytes) {
    nbit::stored_tensor t;
    t.type = type, t.rank = cols == 0 ? 1 : 2, t.shape = {rows, cols}, t.bytes = bytes, t.present = true;
    return t;
  };
  const nbit::gptq_stored good{
      stored(dtype::i32, 8, 32, packed->qweight.span()), stored(dtype::i32, 2, 4, packed->qzeros.span()),
      stored(dtype::f16, 2, 32, packed->scales.span()), stored(dtype::i32, 64, 0, packed->g_idx.span())};
  const auto read = nbit::unpack_gptq<F>(good);
  REQUIRE(read);
  CHECK(read->shape() == nbit::shape{32, 64});
  const auto refused = [](const auto& r, nbit::errc code, const char* subject) {
    REQUIRE_FALSE(r);
    CHECK(r.error().code == code);
    CHECK(std::string(r.error().subject).rfind(subject, 0) == 0);
  };
  // what the config says against what the tensors say: another width, another group
  refused(nbit::unpack_gptq<asym<8, 32>>(good), nbit::errc::shape, "scales");
  refused(nbit::unpack_gptq<asym<3, 32>>(good), nbit::errc::shape, "qweight");
  refused(nbit::unpack_gptq<asym<4, 64>>(good), nbit::errc::shape, "scales");
  nbit::gptq_stored bad = good;
  bad.qweight.shape = {4, 64};  // transposed: 32 inputs of 64 outputs
  refused(nbit::unpack_gptq<F>(bad), nbit::errc::shape, "scales");
  bad = good, bad.qzeros.shape = {4, 2};
  refused(nbit::unpack_gptq<F>(bad), nbit::errc::shape, "qzeros");
  bad = good, bad.scales.type = dtype::bf16;
  refused(nbit::unpack_gptq<F>(bad), nbit::errc::malformed, "scales");
  bad = good, bad.g_idx.shape[0] = 32, bad.g_idx.bytes = bad.g_idx.bytes.first(128);
  refused(nbit::unpack_gptq<F>(bad), nbit::errc::shape, "g_idx");
  bad = good, bad.qzeros = {};
  refused(nbit::unpack_gptq<F>(bad), nbit::errc::missing, "qzeros");
  bad = good, bad.g_idx = {};
  CHECK(nbit::unpack_gptq<F>(bad));
}

TEST_CASE("the config of a checkpoint is read back as it was written, and others are refused by name") {
  const nbit::gptq_config written{3, -1, false, true, nbit::gptq_zeros::plain};
  const auto read = nbit::read_gptq_config(nbit::gptq_config_json(written));
  REQUIRE(read);
  CHECK((read->bits == 3 && read->group == -1 && !read->symmetric && read->act_order));
  CHECK(read->zeros == nbit::gptq_zeros::plain);
  const std::pair<const char*, const char*> bad[] = {
      {R"({"bits":4})", "group_size"},
      {R"({"group_size":128})", "bits"},
      {R"({"bits":5,"group_size":128})", "bits"},
      {R"({"bits":4,"group_size":0})", "group_size"},
      {R"({"bits":"4","group_size":128})", "bits"},
      {R"({"bits":4,"group_size":128,"sym":1})", "sym"},
      {R"({"bits":4,"group_size":128,"quant_method":"awq"})", "quant_method"},
      {R"({"bits":4,"group_size":128,"checkpoint_format":"marlin"})", "checkpoint_format"},
      {R"({"bits":4,"group_size":128,"checkpoint_format":"bitblas"})", "checkpoint_format"},
      {R"({"bits":4,"group_size":128,"is_marlin_format":true})", "is_marlin_format"},
      {R"({"bits":4,"group_size":128,"pack_dtype":"int16"})", "pack_dtype"},
  };
  for (const auto& [text, subject] : bad) {
    INFO(text);
    const auto json = nbit::json_parse(text);
    REQUIRE(json);
    const auto config = nbit::read_gptq_config(*json);
    REQUIRE_FALSE(config);
    CHECK(std::string(config.error().subject) == subject);
    const std::string_view what = config.error().what;
    const bool kernel = std::string_view(text).find("marlin") != std::string_view::npos ||
                        std::string_view(text).find("bitblas") != std::string_view::npos;
    CHECK((what.find("a kernel's layout") != std::string_view::npos) == kernel);
  }
  const auto plain = nbit::json_parse(R"({"bits":4,"group_size":128,"is_marlin_format":false})");
  REQUIRE(plain);
  CHECK(nbit::read_gptq_config(*plain));
}
