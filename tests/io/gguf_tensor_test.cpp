// tests/io/gguf_tensor_test.cpp — tensors of a file as weights, in place, and the refusal of wrong types.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/io/gguf.hpp>
#include <nbit/io/gguf_tensor.hpp>

TEST_CASE("weights are used where they lie in the file") {
  nbit_test::random numbers(1);
  const auto w = numbers.normals(6 * 512), x = numbers.normals(512);
  const auto q = nbit::quantize<nbit::q4_k>({w.data(), 6, 512});
  REQUIRE(q);

  nbit::gguf::writer writer;
  const std::uint64_t ne[] = {512, 6};
  REQUIRE(writer.set("general.architecture", "test"));
  REQUIRE(writer.declare("packed", ne, nbit::ggml_type::q4_k));
  REQUIRE(writer.declare("plain", ne, nbit::ggml_type::f32));
  nbit::memory_sink bytes;
  auto stream = writer.begin(bytes);
  REQUIRE(stream);
  REQUIRE(stream->write("packed", q->bytes.span()));
  REQUIRE(stream->write("plain", std::as_bytes(std::span<const float>(w))));
  REQUIRE(stream->finish());

  const auto file = nbit::gguf::parse(bytes.bytes);
  REQUIRE(file);
  const auto packed = file->tensor("packed").as<nbit::q4_k>();
  REQUIRE(packed);
  REQUIRE((packed->rows == 6 && packed->cols == 512));
  REQUIRE(reinterpret_cast<const std::byte*>(packed->bytes) >= bytes.bytes.data());
  std::vector<float> y(6), expected(6);
  nbit::gemv(*packed, std::span<const float>(x), std::span<float>(y));
  nbit::gemv(q->view(), std::span<const float>(x), std::span<float>(expected));
  REQUIRE(y == expected);

  const auto plain = file->tensor("plain").as<float>();
  REQUIRE(plain);
  REQUIRE(std::memcmp(plain->data, w.data(), w.size() * sizeof(float)) == 0);

  const auto wrong = file->tensor("packed").as<nbit::q6_k>();
  REQUIRE(!wrong);
  REQUIRE(wrong.error().code == nbit::errc::unsupported);
  REQUIRE(wrong.error().found == nbit::q4_k::ggml_type);
  REQUIRE(std::string(wrong.error().allowed) == "Q6_K");
  REQUIRE(std::string(wrong.error().subject) == "packed");
  REQUIRE(!file->tensor("packed").as<nbit::f16>());
  REQUIRE(file->tensor("absent").as<nbit::q4_k>().error().code == nbit::errc::missing);
}
