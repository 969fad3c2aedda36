// tests/io/spqr_checkpoint_test.cpp — SpQR linears: values as its own program decodes, bytes written back, bad tensors.
// SPDX-License-Identifier: MIT
#include <nbit/io/spqr_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <string>
#include <vector>

#include "io/checkpoints.hpp"

namespace {

using nbit::errc;
using nbit_test::checkpoint;

struct golden_linear {
  const char* folder;
  nbit::shape shape;
  nbit::spqr_outliers kind;
};
constexpr golden_linear linears[] = {{"spqr_csr", {32, 64}, nbit::spqr_outliers::rows},
                                     {"spqr_ptcsr", {48, 40}, nbit::spqr_outliers::padded}};

checkpoint load(const golden_linear& g) {
  return nbit_test::load_checkpoint(nbit_test::golden_dir() / "checkpoints" / g.folder);
}
nbit::spqr_linear tensors(const checkpoint& c) {
  return {c.tensor("dense_weights"), c.tensor("row_offsets"), c.tensor("col_vals"), c.tensor("in_perm")};
}

}  // namespace

TEST_CASE("linears of SpQR decode to its own numbers and are written back byte for byte") {
  for (const golden_linear& g : linears) {
    INFO(g.folder);
    const checkpoint c = load(g);
    const nbit::spqr_linear file = tensors(c);
    const auto read = nbit::unpack_spqr(file, g.shape);
    REQUIRE(read);
    CHECK(read->kind == g.kind);
    CHECK(read->order.empty() == !file.in_perm.present);
    const auto codes = c.expected<std::uint8_t>("codes");
    CHECK(std::equal(codes.begin(), codes.end(), read->codes.begin(), read->codes.end()));
    std::vector<float> w(g.shape.rows * g.shape.cols);
    nbit::decode_spqr(*read, {w.data(), g.shape.rows, g.shape.cols});
    CHECK(w == c.expected<float>("weight_f32"));
    const auto written = nbit::pack_spqr(*read);
    REQUIRE(written);
    CHECK(nbit_test::same_tensor(written->dense_weights, file.dense_weights));
    CHECK(nbit_test::same_tensor(written->row_offsets, file.row_offsets));
    CHECK(nbit_test::same_tensor(written->col_vals, file.col_vals));
    CHECK(written->in_perm.present() == file.in_perm.present);
    if (file.in_perm.present) CHECK(nbit_test::same_tensor(written->in_perm, file.in_perm));
  }
}

TEST_CASE("the two forms of outliers are one matrix") {
  const checkpoint c = load(linears[1]);
  auto padded = nbit::unpack_spqr(tensors(c), linears[1].shape);
  REQUIRE(padded);
  padded->kind = nbit::spqr_outliers::rows;
  const auto rows = nbit::pack_spqr(*padded);
  REQUIRE(rows);
  const auto again = nbit::unpack_spqr(rows->view(), linears[1].shape);
  REQUIRE(again);
  std::vector<float> a(48 * 40), b(48 * 40);
  nbit::decode_spqr(*padded, {a.data(), 48, 40});
  nbit::decode_spqr(*again, {b.data(), 48, 40});
  CHECK(a == b);
}

TEST_CASE("damaged SpQR tensors are refused with the tensor, the place and the rule") {
  const checkpoint c = load(linears[0]);
  const nbit::shape s = linears[0].shape;
  const auto with = [&](nbit::stored_tensor nbit::spqr_linear::* which, std::size_t byte, unsigned value, errc code,
                        const char* subject) {
    nbit::spqr_linear t = tensors(c);
    std::vector<std::byte> bytes((t.*which).bytes.begin(), (t.*which).bytes.end());
    bytes[byte] = static_cast<std::byte>(value);
    (t.*which).bytes = bytes;
    const auto r = nbit::unpack_spqr(t, s);
    REQUIRE_FALSE(r);
    CHECK(r.error().code == code);
    CHECK(std::string(r.error().subject) == subject);
    CHECK(r.error().col >= 0);
  };
  using linear = nbit::spqr_linear;
  with(&linear::dense_weights, 7, 0xc0, errc::malformed, "dense_weights");  // spare bits
  with(&linear::row_offsets, 0, 1, errc::malformed, "row_offsets");         // does not begin at 0
  with(&linear::row_offsets, 4 * 10 + 3, 0x7f, errc::malformed, "row_offsets");
  with(&linear::col_vals, 1, 0x40, errc::malformed, "col_vals");  // column 16384 of 64
  with(&linear::col_vals, 3, 0x7c, errc::not_finite, "col_vals");
  with(&linear::in_perm, 1, 0x40, errc::malformed, "in_perm");
  nbit::spqr_linear t = tensors(c);
  for (const nbit::shape wrong : {nbit::shape{33, 64}, {32, 80}, {16, 64}, {0, 64}, {32, 70000}}) {
    const auto r = nbit::unpack_spqr(t, wrong);
    REQUIRE_FALSE(r);
    CHECK(r.error().code == errc::shape);
  }
  t.row_offsets = {};
  CHECK(nbit::unpack_spqr(t, s).error().code == errc::missing);
  auto read = nbit::unpack_spqr(tensors(c), s);
  REQUIRE(read);
  read->codes[70] = 8;
  const auto wide = nbit::pack_spqr(*read);
  REQUIRE_FALSE(wide);
  CHECK((wide.error().code == errc::malformed && wide.error().row == 1 && wide.error().col == 6));
}
