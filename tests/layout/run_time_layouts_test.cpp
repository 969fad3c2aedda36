// tests/layout/run_time_layouts_test.cpp — layouts of kernels against the words that their own programs made.
// SPDX-License-Identifier: MIT
#include <nbit/layout/exllama.hpp>
#include <nbit/layout/interleaved_blocks.hpp>
#include <nbit/layout/marlin.hpp>
#include <nbit/layout/tinygemm.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <nbit/layout/pack.hpp>

#include "layout/packed.hpp"
#include "support/data.hpp"
#include "support/random.hpp"
#include "support/st.hpp"

namespace {

using nbit_test::packed;
using nbit_test::random_codes;

std::vector<std::uint32_t> words(const nbit_test::st_file& golden, const std::string& name) {
  REQUIRE(golden.has(name));
  return golden[name].as<std::uint32_t>();
}

nbit_test::st_file golden() {
  auto file = nbit_test::st_file::load(nbit_test::golden_dir() / "layouts" / "run_time.safetensors");
  REQUIRE(file);
  return std::move(*file);
}

template <int Bits>
void check_marlin(const nbit_test::st_file& file) {
  nbit_test::random numbers(Bits);
  const auto codes = random_codes(numbers, 128 * 32, Bits), zeros = random_codes(numbers, 128 * 2, Bits);
  const std::string name = "marlin" + std::to_string(Bits);
  CHECK(packed<nbit::marlin, Bits>(codes, {128, 32}) == words(file, name + ".weights"));
  CHECK(packed<nbit::marlin_zeros, Bits>(zeros, {128, 2}) == words(file, name + ".zeros"));
}

template <int... Bits>
void check_exllama(const nbit_test::st_file& file) {
  const auto check = [&file]<int B>() {
    nbit_test::random numbers(100 + B);
    CHECK(packed<nbit::exllama, B>(random_codes(numbers, 64, B), {1, 64}) ==
          words(file, "exllama" + std::to_string(B)));
  };
  (check.template operator()<Bits>(), ...);
}

}  // namespace

TEST_CASE("Marlin's words, zeros and scales are those of its own packers") {
  const auto file = golden();
  check_marlin<4>(file);
  check_marlin<8>(file);
  for (const bool grouped : {true, false}) {
    const auto expected = words(file, grouped ? "marlin.scale_grouped" : "marlin.scale_single");
    REQUIRE(expected.size() == 128);
    for (std::size_t p = 0; p < expected.size(); ++p) CHECK(nbit::marlin_scale_output(p, grouped) == expected[p]);
  }
}

TEST_CASE("ExLlama's words are those of its own shuffles, at all six widths") {
  check_exllama<2, 3, 4, 5, 6, 8>(golden());
  // codes 0..7: even ones from the low nibble up, odd ones from the middle
  CHECK(packed<nbit::exllama, 4>(nbit_test::counting_codes(32, 8), {1, 32})[0] == 0x75316420u);
}

TEST_CASE("tinygemm's first lane holds the inputs that its drawing says") {
  // inputs 0, 8, 16, 24 then 1, 9, 17, 25 of output 0: codes are input numbers modulo 16
  const auto w = packed<nbit::tinygemm<2>, 4>(nbit_test::counting_codes(8 * 32, 16), {8, 32});
  CHECK(w[0] == 0x91918080u);
  CHECK(w[1] == 0xb3b3a2a2u);  // lane 1: two inputs further
}

TEST_CASE("layouts of kernels give back what was packed, ragged shapes too") {
  CHECK(nbit_test::round_trips<nbit::marlin, 4, 8>());
  CHECK(nbit_test::round_trips<nbit::marlin_zeros, 4, 8>());
  CHECK(nbit_test::round_trips<nbit::exllama, 2, 3, 4, 5, 6, 8>());
  CHECK(nbit_test::round_trips<nbit::tinygemm<8>, 4>());
}
