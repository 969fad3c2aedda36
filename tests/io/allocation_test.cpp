// tests/io/allocation_test.cpp — no reader takes more memory than a small multiple of the file, however it lies.
//
// Every allocation of this binary is counted here; the readers below run over all good and malformed files, whole and
// cut short.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/format/uniform.hpp>
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/bnb_checkpoint.hpp>
#include <nbit/io/bnb_int8_checkpoint.hpp>
#include <nbit/io/compressed_floats.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/exl2_checkpoint.hpp>
#include <nbit/io/exl3_checkpoint.hpp>
#include <nbit/io/gguf_split.hpp>
#include <nbit/io/gptq_checkpoint.hpp>
#include <nbit/io/gptq_planar_checkpoint.hpp>
#include <nbit/io/hqq_checkpoint.hpp>
#include <nbit/io/imatrix_gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/safetensors_index.hpp>
#include <nbit/io/spqr_checkpoint.hpp>
#include <nbit/io/torchao_checkpoint.hpp>

#include "io/files.hpp"

namespace {

std::atomic<bool> counting{false};
std::atomic<std::size_t> held{0}, most{0};

// A block begins with its size, so that its release is counted too.
constexpr std::size_t header = 64;

void* take(std::size_t bytes, std::size_t alignment) noexcept {
  const std::size_t front = alignment > header ? alignment : header;
  void* const block = std::aligned_alloc(front, (bytes + front + front - 1) / front * front);
  if (block == nullptr) return nullptr;
  auto* const at = static_cast<std::byte*>(block) + front;
  *reinterpret_cast<std::size_t*>(at - sizeof(std::size_t)) = front;
  *reinterpret_cast<std::size_t*>(at - 2 * sizeof(std::size_t)) = counting ? bytes : 0;
  if (counting) {
    const std::size_t now = held += bytes;
    if (now > most) most = now;
  }
  return at;
}

void give(void* p) noexcept {
  if (p == nullptr) return;
  auto* const at = static_cast<std::byte*>(p);
  held -= *reinterpret_cast<std::size_t*>(at - 2 * sizeof(std::size_t));
  std::free(at - *reinterpret_cast<std::size_t*>(at - sizeof(std::size_t)));
}

void* take_or_stop(std::size_t bytes, std::size_t alignment) {
  void* const p = take(bytes, alignment);
#if defined(__cpp_exceptions)
  if (p == nullptr) throw std::bad_alloc();
#else
  if (p == nullptr) std::abort();
#endif
  return p;
}

/// The most memory that f held at once.
template <class F>
std::size_t peak(const F& f) {
  held = 0, most = 0, counting = true;
  f();
  counting = false;
  return most;
}

std::vector<std::filesystem::path> all_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(nbit_test::golden_dir() / "io"))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

using nbit::symmetry;
template <int Bits, int Group, nbit::scale_type Scale = nbit::scale_type::f16, symmetry Kind = symmetry::asymmetric>
struct integers : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = Kind, .scale = Scale}> {};
template <int Bits>
using half_quadratic = integers<Bits, 64, nbit::scale_type::f32, symmetry::asymmetric_float>;
struct fp8 : nbit::float_codes<nbit::f8_e4m3, nbit::per_row, nbit::scale_type::f32> {};

/// Gives the tensors of one linear to every reader, as it would be read if they were its own: take(name, reader).
/// Shapes that a file does not hold come from the caller.
template <class Take>
void every_reader(const nbit::safetensors::file& f, const char* layer, nbit::shape shape, Take&& take) {
  const auto get = [&](const char* name) { return nbit::find_stored(f, layer, name); };
  const nbit::awq_linear awq{get("qweight"), get("qzeros"), get("scales")};
  for (const auto how : {nbit::awq_packing::gemm, nbit::awq_packing::gemv, nbit::awq_packing::gemv_fast})
    take("AWQ", [&] { return nbit::unpack_awq<integers<4, 128>>(awq, how).has_value(); });
  const nbit::gptq_stored gptq{get("qweight"), get("qzeros"), get("scales"), get("g_idx")};
  take("GPTQ", [&] { return nbit::unpack_gptq<integers<4, 128>>(gptq).has_value(); });
  take("planar GPTQ", [&] {
    return nbit::unpack_gptq_planar<integers<3, 64>>({gptq.qweight, gptq.qzeros, gptq.scales, gptq.g_idx}).has_value();
  });
  nbit::ct_linear ct{get("weight_packed"), get("weight_scale"), get("weight_zero_point"), get("weight_shape"),
                     get("weight_g_idx")};
  take("packed integers", [&] {
    return nbit::unpack_ct<integers<3, 64, nbit::scale_type::f32>>(ct, nbit::ct_packing::pack_quantized).has_value();
  });
  take("packed integers by row", [&] {
    using format = integers<4, nbit::per_row, nbit::scale_type::f32>;
    return nbit::unpack_ct<format>(ct, nbit::ct_packing::pack_quantized).has_value();
  });
  const nbit::ct_fp4_linear fp4{ct.weight, ct.weight_scale, get("weight_global_scale")};
  take("NVFP4", [&] { return nbit::unpack_ct_nvfp4(fp4).has_value(); });
  take("MXFP4", [&] { return nbit::unpack_ct_mxfp4(fp4).has_value(); });
  ct.weight = get("weight");
  take("fp8", [&] { return nbit::unpack_ct_fp8<fp8>(ct).has_value(); });
  for (const char* state : {"weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4"}) {
    const nbit::bnb_linear bnb{get("weight"), get("weight.absmax"),        get("weight.quant_map"),
                               get(state),    get("weight.nested_absmax"), get("weight.nested_quant_map")};
    take("bitsandbytes, 4 bits", [&] { return nbit::unpack_bnb<nbit::nf4>(bnb).has_value(); });
  }
  take("bitsandbytes, 8 bits",
       [&] { return nbit::unpack_bnb_int8({get("weight"), get("SCB"), get("weight_format")}).has_value(); });
  take("EXL2", [&] {
    return nbit::unpack_exl2({get("q_weight"), get("q_groups"), get("q_scale"), get("q_scale_max"), get("q_invperm")})
        .has_value();
  });
  take("EXL3", [&] {
    return nbit::unpack_exl3({get("trellis"), get("suh"), get("svh"), get("su"), get("sv"), get("mcg"), get("mul1")})
        .has_value();
  });
  take("torchao", [&] {
    const nbit::torchao_linear torchao{get("_weight_qdata"), get("_weight_scale_and_zero")};
    return nbit::unpack_torchao<nbit::tinygemm_int4<64>>(torchao, shape).has_value();
  });
  take("SpQR", [&] {
    return nbit::unpack_spqr({get("dense_weights"), get("row_offsets"), get("col_vals"), get("in_perm")}, shape)
        .has_value();
  });
  take("HQQ", [&] {
    const auto hqq = nbit::find_hqq(f, layer);
    return hqq && (nbit::unpack_hqq<half_quadratic<1>>(*hqq) || nbit::unpack_hqq<half_quadratic<3>>(*hqq) ||
                   nbit::unpack_hqq<half_quadratic<4>>(*hqq));
  });
}

/// The same tensors with a shape that holds no numbers.
std::vector<std::byte> without_numbers(const nbit::safetensors::file& f, const char* shape) {
  std::string text = "{";
  for (const auto& t : f.tensors()) {
    if (text.size() > 1) text += ',';
    text += '"' + std::string(t.name) + R"(":{"dtype":")" + nbit::safetensors::info(t.type).name + R"(","shape":)" +
            shape + R"(,"data_offsets":[0,0]})";
  }
  text += '}';
  while (text.size() % 8 != 0) text += ' ';
  std::vector<std::byte> bytes(8 + text.size());
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(text.size() >> (8 * i) & 255);
  for (std::size_t i = 0; i < text.size(); ++i) bytes[8 + i] = static_cast<std::byte>(text[i]);
  return bytes;
}

}  // namespace

void* operator new(std::size_t n) { return take_or_stop(n, header); }
void* operator new[](std::size_t n) { return take_or_stop(n, header); }
void* operator new(std::size_t n, std::align_val_t a) { return take_or_stop(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return take_or_stop(n, static_cast<std::size_t>(a)); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return take(n, header); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return take(n, header); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return take(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { give(p); }
void operator delete[](void* p) noexcept { give(p); }
void operator delete(void* p, std::size_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t) noexcept { give(p); }
void operator delete(void* p, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { give(p); }

TEST_CASE("no reader takes more memory than a multiple of the file's bytes") {
  std::size_t files = 0;
  double gguf = 0, text = 0, matrix = 0;
  for (const auto& path : all_files()) {
    const auto read = nbit_test::read_file(path);
    REQUIRE(read);
    if (read->size() > 200000) continue;
    ++files;
    for (const std::size_t n : {read->size(), read->size() / 2, std::size_t{64}, std::size_t{24}}) {
      if (n > read->size()) continue;
      const auto bytes = std::span(*read).first(n);
      INFO(path.filename().string() << ", " << n << " bytes");
      // A fixed part for the few objects that every reader has.
      const auto share = [n](std::size_t bytes_held) {
        return bytes_held <= 4096 ? 0.0 : static_cast<double>(bytes_held - 4096) / static_cast<double>(n);
      };
      const double g = share(peak([&] { (void)nbit::gguf::parse(bytes).has_value(); }));
      const double s = share(peak([&] { (void)nbit::safetensors::parse(bytes).has_value(); }));
      const double j = share(peak([&] { (void)nbit::json_parse(nbit::as_text(bytes)).has_value(); }));
      const double x =
          share(peak([&] { (void)nbit::safetensors::shard_index::parse(nbit::as_text(bytes)).has_value(); }));
      const double m = share(peak([&] { (void)nbit::read_imatrix(bytes).has_value(); }));
      CHECK(g <= 8);
      CHECK(s <= 120);
      CHECK(j <= 120);
      CHECK(x <= 120);
      CHECK(m <= 12);
      gguf = g > gguf ? g : gguf, text = s > text ? s : text, text = j > text ? j : text,
      matrix = m > matrix ? m : matrix;
    }
  }
  // The text that makes the largest values of the fewest bytes.
  std::string worst = "[0";
  for (int i = 0; i < 20000; ++i) worst += ",0";
  worst += ']';
  const double densest =
      static_cast<double>(peak([&] { (void)nbit::json_parse(worst).has_value(); })) / static_cast<double>(worst.size());
  CHECK(densest <= 260);
  CHECK(files > 100);
  WARN(files << " files; bytes held for each byte of the file: GGUF " << gguf << ", JSON and safetensors " << text
             << ", importance matrices " << matrix << "; densest JSON " << densest);
}

TEST_CASE("no reader of checkpoints takes more memory than a multiple of the file's bytes") {
  std::size_t files = 0, damaged = 0, accepted = 0;
  double largest = 0;
  std::string worst;
  for (const auto& entry : std::filesystem::directory_iterator(nbit_test::golden_dir() / "checkpoints")) {
    const auto read = nbit_test::read_file(entry.path() / "model.safetensors");
    if (!read) continue;
    ++files;
    const auto whole = nbit::safetensors::parse(*read);
    REQUIRE(whole);
    // The file itself, then with each of its tensors turned into numbers that lie: all bits, the largest integers, and
    // the digits of a text; and with rows or columns past counting of tensors that hold nothing.
    const std::size_t tensors = whole->tensors().size();
    for (std::size_t turn = 0; turn <= 3 * tensors + 2; ++turn) {
      std::vector<std::byte> bytes = *read;
      if (turn > 3 * tensors) {
        bytes = without_numbers(*whole, turn % 2 == 0 ? "[1099511627776,0]" : "[0,1099511627776]");
      } else if (turn != 0) {
        const auto data = whole->tensors()[(turn - 1) / 3].bytes;
        std::byte* const at = bytes.data() + (data.data() - read->data());
        for (std::size_t i = 0; i < data.size(); ++i) {
          const bool digit = at[i] >= std::byte{'0'} && at[i] <= std::byte{'9'};
          const std::byte top = i % 4 == 3 ? std::byte{0x7f} : std::byte{0xff};
          at[i] = turn % 3 == 1 ? std::byte{0xff} : turn % 3 == 2 ? top : digit ? std::byte{'9'} : at[i];
        }
        ++damaged;
      }
      const auto file = nbit::safetensors::parse(bytes);
      REQUIRE(file);
      for (const char* layer : {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"})
        for (const nbit::shape shape : {nbit::shape{64, 128}, {32, 64}, {std::size_t{1} << 40, std::size_t{1} << 20}})
          every_reader(*file, layer, shape, [&](const char* name, const auto& reader) {
            bool good = false;
            const std::size_t bytes_held = peak([&] { good = reader(); });
            accepted += good;
            const double share =
                bytes_held <= 4096 ? 0.0 : static_cast<double>(bytes_held - 4096) / static_cast<double>(bytes.size());
            if (share <= largest) return;
            largest = share, worst = std::string(name) + " on " + entry.path().filename().string();
          });
    }
  }
  CHECK(files >= 20);
  CHECK(damaged > 300);
  CHECK(accepted >= 20);
  // At most eight codes of one bit for each byte, and scales of four bytes for two.
  INFO(worst);
  CHECK(largest <= 8);
  WARN(files << " checkpoints, " << damaged << " damaged copies, " << accepted
             << " linears accepted; bytes held for each "
             << "byte of the file: " << largest << " (" << worst << ")");
}
