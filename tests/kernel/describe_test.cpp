// tests/kernel/describe_test.cpp — what describe says about kernels: of their own, over a decoder, generic, reordered.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <string_view>

#include <catch2/catch_test_macros.hpp>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/describe.hpp>
#include <nbit/kernel/row_tiles.hpp>

namespace nbit_test {
// Formats like w4g64 with kernels that say what they are; nothing runs them.
struct own_format : nbit::uniform<nbit::scheme{.bits = 4, .group = 64}> {};
struct decoded_format : nbit::uniform<nbit::scheme{.bits = 5, .group = 64}> {};
}  // namespace nbit_test

#define NBIT_STAMP <support/described.inl>
#include <nbit/arch/stamp.inl>

namespace {
using nbit_test::decoded_format;
using nbit_test::own_format;
constexpr nbit::operation products[] = {nbit::operation::dequantize, nbit::operation::gemv,
                                        nbit::operation::gemv_int8,  nbit::operation::gemm,
                                        nbit::operation::gemm_int8,  nbit::operation::gemm_bf16};
}  // namespace

TEST_CASE("a kernel of its own answers with its own words") {
  const auto f32 = nbit::describe<own_format>(nbit::operation::gemv);
  CHECK(f32.path == nbit::kernel_path::own);
  CHECK(std::string_view(f32.how) == "floats");
  CHECK(f32.for_format == nullptr);
  CHECK(std::string_view(f32.arch) == nbit::arch::selected_name());
  const auto int8 = nbit::describe<own_format>(nbit::operation::gemv_int8);
  CHECK(std::string_view(int8.how) == "integers");
  CHECK(std::string_view(int8.for_format) == "one row at a time");
  // the generic gemm multiplies tokens by gemv's int8 kernel
  CHECK(std::string_view(nbit::describe<own_format>(nbit::operation::gemm_int8).how) == "integers");
  CHECK(nbit::describe<own_format>(nbit::operation::gemm).path == nbit::kernel_path::generic);
  CHECK(std::string_view(nbit::describe<own_format>(nbit::operation::quantize).how) == "encoder");
}

TEST_CASE("the generic kernels over a decoder of the format say so") {
  for (const nbit::operation op : products) {
    const auto d = nbit::describe<decoded_format>(op);
    INFO(nbit::name_of(op));
    CHECK(d.path == nbit::kernel_path::decoder);
    CHECK(std::string_view(d.how) == "sixteen codes at a time");
  }
}

TEST_CASE("no silent slow path: a format without a kernel of its own says so") {
  struct plain : nbit::uniform<nbit::scheme{.bits = 7, .group = 48}> {};
  for (const nbit::operation op : products) {
    const auto d = nbit::describe(nbit::arch::scalar{}, op, nbit::packed_view<plain>());
    INFO(nbit::name_of(op));
    CHECK(d.path == nbit::kernel_path::generic);
    CHECK(d.for_format != nullptr);
    CHECK(std::string_view(d.arch) == "scalar");
  }
  using nbit::operation;
  CHECK(std::string_view(nbit::describe<nbit::nf4>(operation::gemv_int8).for_format).find("integer levels") !=
        std::string_view::npos);
}

TEST_CASE("what has kernels: blocks of files on x86, row tiles everywhere") {
  using nbit::operation;
  const auto tiles = nbit::packed_view<nbit::q4_k, nbit::row_tiles>();
  nbit::arch::for_each_runnable([&](auto tag) {
    for (const operation op : {operation::gemv, operation::gemv_int8, operation::gemm, operation::gemm_int8})
      CHECK(nbit::describe(tag, op, tiles).path == nbit::kernel_path::own);
    CHECK(nbit::describe(tag, operation::gemm_bf16, tiles).path == nbit::kernel_path::own);
    const auto codebook = nbit::packed_view<nbit::nf4, nbit::row_tiles>();
    CHECK(nbit::describe(tag, operation::gemm, codebook).path == nbit::kernel_path::own);
    CHECK(nbit::describe(tag, operation::gemm, codebook).for_format == nullptr);
    CHECK(nbit::describe(tag, operation::gemm_int8, codebook).for_format != nullptr);
    CHECK(nbit::describe(tag, operation::gemv_int8, codebook).for_format != nullptr);
    const auto blocks = nbit::describe(tag, operation::gemv_int8, nbit::packed_view<nbit::q4_0>());
    if (NBIT_HAS_X86 && decltype(tag)::level > 0) CHECK(blocks.path == nbit::kernel_path::own);
    if (decltype(tag)::level == 0) CHECK(blocks.path == nbit::kernel_path::generic);
  });
}

TEST_CASE("checkpoints' words have kernels on x86 where columns fill them, with reordered columns as well") {
  using nbit::kernel_path, nbit::operation;
  using view = nbit::packed_view<nbit::w4g128a, nbit::gptq_words>;
  const std::uint32_t index[128] = {};
  nbit::arch::for_each_runnable([&](auto tag) {
    const kernel_path best = NBIT_HAS_X86 && decltype(tag)::level > 0 ? kernel_path::own : kernel_path::generic;
    for (const operation op : {operation::gemv, operation::gemv_int8, operation::gemm_int8}) {
      const auto path = [&](const view& w) {
        const auto d = nbit::describe(tag, op, w);
        return d.path == kernel_path::own ? kernel_path::own : kernel_path::generic;
      };
      CHECK(path(view(nullptr, nullptr, {16, 128})) == best);
      CHECK(path(view(nullptr, nullptr, {16, 128}, index)) == best);
      CHECK(path(view(nullptr, nullptr, {16, 120})) == kernel_path::generic);
    }
    CHECK(nbit::describe(tag, operation::gemm, view(nullptr, nullptr, {16, 128})).path != kernel_path::own);
  });
}

TEST_CASE("reordered columns are the slow path, and it is said") {
  const std::uint32_t index[4] = {};
  const nbit::packed_view<own_format> view(nullptr, nullptr, {1, 4}, index);
  for (const nbit::operation op : products) {
    const auto d = nbit::describe(op, view);
    CHECK(d.path == nbit::kernel_path::generic);
    CHECK(std::string_view(d.for_format).find("reordered") != std::string_view::npos);
  }
}

TEST_CASE("the machine's part: nothing above the best tag unless the caller or the environment chose a lower one") {
  const auto best = nbit::describe<nbit::w4g64>(nbit::operation::gemv);
  const auto scalar = nbit::describe(nbit::arch::scalar{}, nbit::operation::gemv, nbit::packed_view<nbit::w4g64>());
  if (nbit::arch::selected_level() > 0) CHECK(scalar.for_machine != nullptr);
  WARN("gemv of w4g64 runs on " << best.arch << ": " << best.how
                                << "; nothing faster because: " << (best.for_format != nullptr ? best.for_format : "-")
                                << "; " << (best.for_machine != nullptr ? best.for_machine : "-"));
}

TEST_CASE("plain floats are described too") {
  const nbit::matrix_view<const float> w(nullptr, 0, 4);
  CHECK(nbit::describe(nbit::operation::gemv, w).for_format == nullptr);
  CHECK(nbit::describe(nbit::operation::gemv_int8, w).for_format != nullptr);
}
