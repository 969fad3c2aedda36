// tests/kernel/matrix_test.cpp — int8 gemm in matrix registers gives the bits of the definition: on the extensions of
// this machine, and on a model of AMX, whose tiles are arrays here, so that the text is tested on every processor.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/kernel/describe.hpp>
#include <nbit/kernel/row_tiles.hpp>

namespace nbit_test {
struct amx_model {
  using base = nbit::arch::scalar;
  static constexpr int level = 99;
  static constexpr const char* name = "a model of AMX";
};

/// The state of three tiles, as the manual describes it.
struct tile_state {
  bool configured = false;
  std::uint16_t line_bytes[3] = {};
  std::uint8_t lines[3] = {};
  std::uint8_t tile[3][16][64] = {};
  long products = 0;
};
inline tile_state state;
}  // namespace nbit_test

namespace nbit {
inline namespace NBIT_TAG {
template <>
struct tile_registers<nbit_test::amx_model> {
  static constexpr nbit_test::tile_state& now = nbit_test::state;

  static void configure(const void* p) {
    std::uint8_t bytes[64];
    std::memcpy(bytes, p, sizeof bytes);
    REQUIRE(bytes[0] == 1);
    for (int i = 1; i < 16; ++i) REQUIRE(bytes[i] == 0);
    for (int i = 22; i < 48; ++i) REQUIRE(bytes[i] == 0);
    for (int i = 51; i < 64; ++i) REQUIRE(bytes[i] == 0);
    std::memcpy(now.line_bytes, bytes + 16, sizeof now.line_bytes);
    std::memcpy(now.lines, bytes + 48, sizeof now.lines);
    for (int t = 0; t < 3; ++t) REQUIRE((now.line_bytes[t] <= 64 && now.lines[t] <= 16));
    std::memset(now.tile, 0, sizeof now.tile);
    REQUIRE(!now.configured);
    now.configured = true;
  }
  static void release() { now.configured = false; }
  static void zero() { std::memset(now.tile[0], 0, sizeof now.tile[0]); }
  static void load(int t, const void* p, std::size_t stride) {
    if (!now.configured) FAIL("tiles are used without a configuration");
    std::memset(now.tile[t], 0, sizeof now.tile[t]);
    for (std::size_t r = 0; r < now.lines[t]; ++r)
      std::memcpy(now.tile[t][r], static_cast<const char*>(p) + r * stride, now.line_bytes[t]);
  }
  // TDPBSUD: signed bytes of tile 1 times unsigned ones of tile 2
  static void multiply_add(const std::int8_t* tokens, std::size_t token_stride, const std::byte* rows,
                           std::size_t row_stride) {
    load(1, tokens, token_stride), load(2, rows, row_stride);
    if (now.lines[0] != now.lines[1] || now.line_bytes[0] != now.line_bytes[2] || now.line_bytes[1] != now.lines[2] * 4)
      FAIL("shapes of tiles that do not fit");
    for (std::size_t m = 0; m < now.lines[0]; ++m)
      for (std::size_t n = 0; n < now.line_bytes[0] / 4u; ++n) {
        std::int32_t sum;
        std::memcpy(&sum, &now.tile[0][m][4 * n], sizeof sum);
        for (std::size_t k = 0; k < now.lines[2]; ++k)
          for (std::size_t j = 0; j < 4; ++j)
            sum += static_cast<std::int8_t>(now.tile[1][m][4 * k + j]) * int{now.tile[2][k][4 * n + j]};
        std::memcpy(&now.tile[0][m][4 * n], &sum, sizeof sum);
      }
    ++now.products;
  }
  static void store(std::int32_t* to, std::size_t stride) {
    for (std::size_t r = 0; r < now.lines[0]; ++r)
      std::memcpy(reinterpret_cast<char*>(to) + r * stride, now.tile[0][r], now.line_bytes[0]);
  }
};
}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_TARGET 2
#define NBIT_TARGET_DOT 3
#define NBIT_ARCH ::nbit_test::amx_model
#include <nbit/arch/matrix_unit.inl>
#include <nbit/kernel/matrix_products.inl>
#undef NBIT_ARCH
#undef NBIT_TARGET
#undef NBIT_TARGET_DOT

namespace {

using nbit::scheme;
using nbit::symmetry;
struct w8a : nbit::uniform<scheme{.bits = 8, .group = 512, .symmetry = symmetry::asymmetric}> {};

int cells = 0;

/// Whether this process may use the tiles of AMX: the operating system wants to be asked once.
bool may_use_tiles() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long request_permission = 0x1023, tile_data = 18;
  return nbit::arch::runnable(nbit::arch::amx_int8{}) && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

template <class F, int Group>
void check_matrices(const char* name) {
  INFO(name << ", activations in groups of " << Group);
  for (const nbit::shape s : {nbit::shape{1, 32}, {37, 300}, {130, 1056}, {18, 600}}) {
    INFO(s.rows << " x " << s.cols);
    nbit_test::random numbers(s.rows);
    const auto weights = numbers.normals(s.rows * s.cols, 0.05f);
    const auto q =
        nbit::quantize<F>(nbit::arch::scalar{}, nbit::matrix_view<const float>(weights.data(), s.rows, s.cols),
                          {.ragged = nbit::ragged_rows::pad});
    REQUIRE(q);
    const auto w = nbit::repack<nbit::row_tiles>(q->view());
    REQUIRE(w);
    for (const std::size_t tokens :
         {std::size_t{4}, std::size_t{5}, std::size_t{8}, std::size_t{19}, std::size_t{33}}) {
      INFO(tokens << " tokens");
      auto x = numbers.normals(tokens * s.cols);
      for (std::size_t c = 0; c < s.cols; ++c) x[3 * s.cols + c] = c % 2 != 0 ? -1.0f : 1.0f;  // the largest sums
      auto act = nbit::int8_activation_matrix<Group>::make({tokens, s.cols});
      REQUIRE(act);
      nbit::quantize_activations(nbit::arch::scalar{}, {x.data(), tokens, s.cols}, act->view());
      std::vector<float> expected(tokens * s.rows);
      nbit::gemm(nbit::arch::scalar{}, w->view(), act->view(), {expected.data(), tokens, s.rows});
      const auto check = [&](auto tag) {
        INFO(decltype(tag)::name);
        const std::size_t stride = s.rows + 3;  // what lies between rows of y is not touched
        std::vector<float> wide(tokens * stride, 7.0f), y;
        nbit::gemm(tag, w->view(), act->view(), {wide.data(), tokens, s.rows, stride}, nbit_test::backwards{});
        for (std::size_t m = 0; m < tokens; ++m) {
          y.insert(y.end(), wide.begin() + long(m * stride), wide.begin() + long(m * stride + s.rows));
          REQUIRE(std::count(wide.begin() + long(m * stride + s.rows), wide.begin() + long((m + 1) * stride), 7.0f) ==
                  3);
        }
        REQUIRE(nbit_test::same_bits(y, expected));
        ++cells;
      };
      check(nbit_test::amx_model{});
      nbit::arch::for_each_runnable_int8(check);
#if NBIT_HAS_AMX
      if (may_use_tiles()) check(nbit::arch::amx_int8{});
#endif
    }
  }
}

}  // namespace

TEST_CASE("int8 gemm in matrix registers: the bits of the definition") {
  cells = 0;
  check_matrices<nbit::w4g128, 32>("w4g128");                        // weights coarser than activations
  check_matrices<nbit::q2_k, 256>("Q2_K");                           // two levels in nibbles, runs of sixteen
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they double what the rest costs to compile
  check_matrices<nbit::w3g64a, nbit::per_row>("w3g64a");             // finer, three planes, zeros
  check_matrices<w8a, 64>("w8a");                                    // coarser, with offsets, eight bits
  check_matrices<nbit::q8_0, 256>("Q8_0");                           // finer, eight bits
  check_matrices<nbit::iq4_xs, 32>("IQ4_XS");                        // as fine, uneven levels
#endif
  CHECK(nbit_test::state.products > 0);
  CHECK(!nbit_test::state.configured);
  std::printf("matrix registers: %d product cells, AMX itself %s\n", cells, may_use_tiles() ? "too" : "not");
}

#if NBIT_HAS_AMX
TEST_CASE("AMX is never chosen, and says that it is untested") {
  CHECK(nbit::arch::selected_level() != nbit::arch::amx_int8::level);
  const auto tiles = nbit::packed_view<nbit::q4_k, nbit::row_tiles>();
  const auto d = nbit::describe(nbit::arch::amx_int8{}, nbit::operation::gemm_int8, tiles);
  CHECK(d.path == nbit::kernel_path::own);
  CHECK(std::string_view(d.how).find("emulation only") != std::string_view::npos);
  CHECK(nbit::describe(nbit::operation::gemm_int8, tiles).for_machine == nullptr);
}
#endif
