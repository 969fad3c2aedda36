// tests/io/exl3_checkpoint_test.cpp — EXL3: tiles as its own functions decode them, a whole linear, bad tensors.
// SPDX-License-Identifier: MIT
#include <nbit/io/exl3_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <string>
#include <vector>

#include "io/checkpoints.hpp"
#include "support/random.hpp"

namespace {

using nbit::errc;
using nbit_test::checkpoint;

checkpoint load() { return nbit_test::load_checkpoint(nbit_test::golden_dir() / "checkpoints" / "exl3_b2_mcg"); }
nbit::exl3_linear tensors(const checkpoint& c) {
  return {c.tensor("trellis"), c.tensor("suh"), c.tensor("svh"), {}, {}, c.tensor("mcg"), {}};
}

}  // namespace

TEST_CASE("every width and generator gives the numbers of the peer's own functions") {
  const checkpoint c = load();
  for (int bits = 1; bits <= 8; ++bits) {
    nbit_test::random numbers(static_cast<std::uint64_t>(bits));
    std::vector<std::uint32_t> words(8 * static_cast<std::size_t>(bits));
    for (auto& w : words) w = static_cast<std::uint32_t>(numbers.bits());
    for (const auto how : {nbit::exl3_generator::plain, nbit::exl3_generator::mcg, nbit::exl3_generator::mul1}) {
      const auto expected =
          c.expected<std::uint16_t>("tile" + std::to_string(bits) + "." + std::to_string(static_cast<int>(how)));
      REQUIRE(expected.size() == 256);
      for (int t = 0; t < 256; ++t) {
        const float v = nbit::detail::exl3_value(nbit::detail::exl3_state(words.data(), bits, t), how);
        REQUIRE(nbit::f16::from(v).bits == expected[static_cast<std::size_t>(t)]);
        REQUIRE(float(nbit::f16::from(v)) == v);
      }
    }
  }
}

TEST_CASE("a linear has the weights of the peer's reconstruction, up to its f16 roundings") {
  const checkpoint c = load();
  const auto read = nbit::unpack_exl3(tensors(c));
  REQUIRE(read);
  CHECK((read->bits == 2 && read->inputs == 128 && read->outputs == 128));
  CHECK(read->generator == nbit::exl3_generator::mcg);
  std::vector<float> w(128 * 128);
  nbit::decode_exl3(*read, {w.data(), 128, 128});
  const auto bits = c.expected<std::uint16_t>("weight_f16_peer");
  REQUIRE(bits.size() == w.size());
  double worst = 0, top = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double peer = double(float(nbit::f16::from_bits(bits[i])));
    worst = std::max(worst, std::fabs(peer - double(w[i]))), top = std::max(top, std::fabs(peer));
  }
  CHECK(top > 0.01);
  CHECK(worst < top * 0x1p-10);  // four roundings to f16 on the way
}

TEST_CASE("signs of older files are bits") {
  const checkpoint c = load();
  nbit::exl3_linear t = tensors(c);
  std::vector<std::byte> bytes(16, std::byte{0});
  bytes[1] = std::byte{0x81};  // inputs 8 and 15
  t.suh = {}, t.su.present = true, t.su.type = nbit::safetensors::dtype::i16;
  t.su.rank = 1, t.su.shape[0] = 8, t.su.bytes = bytes;
  const auto read = nbit::unpack_exl3(t);
  REQUIRE(read);
  for (std::size_t i = 0; i < 128; ++i) CHECK(read->input_scale[i] == (i == 8 || i == 15 ? -1.0f : 1.0f));
}

TEST_CASE("damaged EXL3 tensors are refused with the tensor and the rule") {
  const checkpoint c = load();
  const auto refused = [](const nbit::exl3_linear& t, errc code, const char* subject) {
    const auto r = nbit::unpack_exl3(t);
    REQUIRE_FALSE(r);
    CHECK(r.error().code == code);
    CHECK(std::string(r.error().subject).rfind(subject, 0) == 0);
  };
  nbit::exl3_linear t = tensors(c);
  t.trellis.shape = {8, 4, 64};  // half the outputs, four bits: no whole Hadamard block
  refused(t, errc::shape, "trellis");
  t = tensors(c), t.trellis.shape = {8, 16, 16};  // one bit, 256 outputs: svh is too short
  refused(t, errc::shape, "svh");
  t = tensors(c), t.trellis.shape = {4, 2, 256};
  refused(t, errc::shape, "trellis");
  t = tensors(c), t.mul1 = t.mcg;
  refused(t, errc::malformed, "mul1");
  t = tensors(c), t.suh = {};
  refused(t, errc::missing, "suh");
  t = tensors(c), t.svh.type = nbit::safetensors::dtype::bf16;
  refused(t, errc::malformed, "svh");
  t = tensors(c);
  std::vector<std::byte> bytes(t.suh.bytes.begin(), t.suh.bytes.end());
  bytes[11] = std::byte{0x7e};
  t.suh.bytes = bytes;
  refused(t, errc::not_finite, "suh");
}
