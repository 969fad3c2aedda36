// tests/interop/peers.cpp — our side of the comparison with the packages that own the checkpoints.
//
//   peers write FILE   linears of every kind, and as <kind>.values what they mean (f32)
//   peers read FILE    the same kinds, written by the packages, and their <kind>.values: ours must be equal
// tests/interop/peers.py is the other side. Every linear has 64 outputs and 256 inputs.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <nbit/format/presets.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/io/atomic_file.hpp>
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/bnb_checkpoint.hpp>
#include <nbit/io/bnb_int8_checkpoint.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/gptq_checkpoint.hpp>
#include <nbit/io/gptq_planar_checkpoint.hpp>
#include <nbit/io/hqq_checkpoint.hpp>
#include <nbit/io/safetensors.hpp>
#include <nbit/io/torchao_checkpoint.hpp>

#include "support/random.hpp"

namespace {

constexpr nbit::shape size{64, 256};
struct hqq4
    : nbit::uniform<nbit::scheme{
          .bits = 4, .group = 64, .symmetry = nbit::symmetry::asymmetric_float, .scale = nbit::scale_type::f32}> {};
using ao = nbit::tinygemm_int4<64>;
struct w5g128 : nbit::uniform<nbit::scheme{.bits = 5, .group = 128, .symmetry = nbit::symmetry::asymmetric}> {};

/// Names and tensors of a file that is being made.
struct pile {
  std::vector<std::string> names;
  std::vector<nbit::owned_tensor> tensors;

  void add(const std::string& kind, nbit::owned_tensor t) {
    if (!t.present()) return;
    names.push_back(kind + "." + t.name);
    tensors.push_back(std::move(t));
  }
  void add(const std::string& kind, const char* name, nbit::safetensors::dtype type,
           std::initializer_list<std::size_t> shape, const nbit::buffer<std::byte>& bytes) {
    auto t = nbit::detail::make_tensor(name, type, shape);
    std::memcpy(t->bytes.data(), bytes.data(), bytes.size());
    add(kind, *std::move(t));
  }
};

template <class F>
std::vector<float> values(const nbit::coded_matrix<F>& q) {
  std::vector<float> v(q.rows * q.cols);
  nbit::detail::decode_matrix<F>(q, {v.data(), q.rows, q.cols});
  return v;
}
void add_values(pile& to, const std::string& kind, const std::vector<float>& v) {
  auto t = nbit::detail::make_tensor("values", nbit::safetensors::dtype::f32, {size.rows, size.cols});
  for (std::size_t i = 0; i < v.size(); ++i) nbit::store_f32(t->bytes.data() + 4 * i, v[i]);
  to.add(kind, *std::move(t));
}

template <class F>
nbit::coded_matrix<F> quantized(std::uint64_t seed) {
  nbit_test::random numbers(seed);
  const std::vector<float> w = numbers.normals(size.rows * size.cols, 0.05f);
  const auto q = nbit::quantize<F>(nbit::matrix_view<const float>(w.data(), size.rows, size.cols));
  return *nbit::unpack_codes(q->view());
}

bool write(const char* path) {
  pile to;
  const auto gptq = quantized<nbit::w4g128a>(1);
  for (const bool v2 : {false, true}) {
    const auto t = nbit::pack_gptq(gptq, v2 ? nbit::gptq_zeros::plain : nbit::gptq_zeros::minus_one);
    const std::string kind = v2 ? "gptq_v2" : "gptq_v1";
    to.add(kind, "qweight", nbit::safetensors::dtype::i32, {size.cols / 8, size.rows}, t->qweight);
    to.add(kind, "qzeros", nbit::safetensors::dtype::i32, {t->groups, size.rows / 8}, t->qzeros);
    to.add(kind, "scales", nbit::safetensors::dtype::f16, {t->groups, size.rows}, t->scales);
    to.add(kind, "g_idx", nbit::safetensors::dtype::i32, {size.cols}, t->g_idx);
    add_values(to, kind, values(gptq));
  }
  const auto five = quantized<w5g128>(6);
  auto planar = nbit::pack_gptq_planar(five);
  to.add("planar", std::move(planar->qweight)), to.add("planar", std::move(planar->qzeros));
  to.add("planar", std::move(planar->scales)), to.add("planar", std::move(planar->g_idx));
  add_values(to, "planar", values(five));
  auto awq = nbit::pack_awq(gptq);
  to.add("awq", std::move(awq->qweight)), to.add("awq", std::move(awq->qzeros)), to.add("awq", std::move(awq->scales));
  add_values(to, "awq", values(gptq));
  auto ct = nbit::pack_ct(gptq);
  to.add("ct", std::move(ct->weight)), to.add("ct", std::move(ct->weight_scale));
  to.add("ct", std::move(ct->weight_zero_point)), to.add("ct", std::move(ct->weight_shape));
  add_values(to, "ct", values(gptq));
  nbit::bnb_weights<nbit::nf4> nf4{quantized<nbit::nf4>(2), {}, {}};
  nf4.state.dtype = "float32", nf4.state.rows = size.rows, nf4.state.cols = size.cols;
  add_values(to, "nf4", values(nf4.weights));
  auto bnb = nbit::pack_bnb(nf4);
  to.add("nf4", std::move(bnb->weight)), to.add("nf4", std::move(bnb->absmax)),
      to.add("nf4", std::move(bnb->quant_map));
  to.add("nf4", std::move(bnb->quant_state));
  const auto int8 = quantized<nbit::bnb_int8>(3);
  auto llm = nbit::pack_bnb_int8(int8);
  to.add("int8", std::move(llm->weight)), to.add("int8", std::move(llm->scb));
  add_values(to, "int8", values(int8));
  const auto half = quantized<hqq4>(4);
  add_values(to, "hqq", values(half));
  nbit::hqq_weights<hqq4> hqq;  // one row for each group: the same bytes
  hqq.groups = *nbit::coded_matrix<hqq4>::make({size.rows * size.cols / 64, 64});
  std::memcpy(hqq.groups.codes.data(), half.codes.data(), half.codes.size());
  std::memcpy(hqq.groups.params.data(), half.params.data(), half.params.size() * sizeof(hqq4::params));
  hqq.meta.rows = size.rows, hqq.meta.cols = size.cols, hqq.meta.compute_dtype = "torch.float32";
  auto h = nbit::pack_hqq(hqq);
  to.add("hqq", std::move(h->w_q)), to.add("hqq", std::move(h->scale)), to.add("hqq", std::move(h->zero));
  for (auto& t : h->settings) to.add("hqq", std::move(t));
  const auto tiles = quantized<ao>(5);
  auto packed = nbit::pack_torchao(tiles);
  to.add("torchao", std::move(packed->qdata)), to.add("torchao", std::move(packed->scale_and_zero));
  add_values(to, "torchao", values(tiles));

  nbit::safetensors::writer w;
  for (std::size_t i = 0; i < to.names.size(); ++i)
    if (!w.declare(to.names[i], to.tensors[i].type, to.tensors[i].dimensions())) return false;
  auto out = nbit::atomic_file::create(path);
  if (!out) return false;
  auto stream = w.begin(*out);
  if (!stream) return false;
  for (const auto& t : w.tensors())
    for (std::size_t i = 0; i < to.names.size(); ++i)
      if (to.names[i] == t.name && !stream->write(t.name, to.tensors[i].bytes.span())) return false;
  return stream->finish() && out->commit();
}

/// Prints how many values are equal. `round` is what the peer rounds its own values to.
template <class Read>
bool compare(const nbit::safetensors::file& f, const char* kind, const Read& read, float (*round)(float)) {
  const nbit::stored_tensor expected = nbit::find_stored(f, kind, "values");
  if (!expected.present) {
    std::printf("  %-8s not in the file: skipped\n", kind);
    return true;
  }
  if (!read) {
    std::printf("  %-8s refused: %s %s (%s)\n", kind, read.error().subject, read.error().what, read.error().allowed);
    return false;
  }
  const auto v = values(*read);
  std::size_t equal = 0;
  for (std::size_t i = 0; i < v.size(); ++i)
    equal += round(v[i]) == nbit::load_f32(expected.bytes.data() + 4 * i) ? 1u : 0u;
  std::printf("  %-8s %zu of %zu values equal\n", kind, equal, v.size());
  return equal == v.size();
}

bool read(const char* path) {
  const auto file = nbit::safetensors::open(path);
  if (!file) return false;
  const auto& f = *file;
  const auto get = [&f](const char* kind, const char* name) { return nbit::find_stored(f, kind, name); };
  const auto half = [](float v) { return float(nbit::f16::from(v)); };
  const auto same = [](float v) { return v; };
  bool all = true;
  for (const char* const kind : {"gptq_v1", "gptq_v2"}) {
    const nbit::gptq_linear t{size.cols,
                              size.rows,
                              2,
                              get(kind, "qweight").bytes,
                              get(kind, "qzeros").bytes,
                              get(kind, "scales").bytes,
                              get(kind, "g_idx").bytes};
    all &= compare(
        f, kind,
        nbit::unpack_gptq<nbit::w4g128a>(t, kind[6] == '2' ? nbit::gptq_zeros::plain : nbit::gptq_zeros::minus_one),
        half);
  }
  all &= compare(f, "planar",
                 nbit::unpack_gptq_planar<w5g128>({get("planar", "qweight"), get("planar", "qzeros"),
                                                   get("planar", "scales"), get("planar", "g_idx")}),
                 half);
  all &= compare(f, "awq",
                 nbit::unpack_awq<nbit::w4g128a>({get("awq", "qweight"), get("awq", "qzeros"), get("awq", "scales")}),
                 half);
  all &= compare(f, "ct",
                 nbit::unpack_ct<nbit::w4g128a>({get("ct", "weight_packed"),
                                                 get("ct", "weight_scale"),
                                                 get("ct", "weight_zero_point"),
                                                 get("ct", "weight_shape"),
                                                 {}}),
                 half);
  auto bnb = nbit::unpack_bnb<nbit::nf4>({get("nf4", "weight"),
                                          get("nf4", "weight.absmax"),
                                          get("nf4", "weight.quant_map"),
                                          get("nf4", "weight.quant_state.bitsandbytes__nf4"),
                                          {},
                                          {}});
  all &= compare(f, "nf4",
                 bnb ? nbit::result<nbit::coded_matrix<nbit::nf4>>(std::move(bnb->weights))
                     : nbit::result<nbit::coded_matrix<nbit::nf4>>(bnb.error()),
                 same);
  all &= compare(f, "int8", nbit::unpack_bnb_int8({get("int8", "weight"), get("int8", "SCB"), {}}), same);
  const auto linear = nbit::find_hqq(f, "hqq");
  if (linear) {
    auto h = nbit::unpack_hqq<hqq4>(*linear);
    all &=
        compare(f, "hqq", h ? nbit::hqq_rows(*std::move(h)) : nbit::result<nbit::coded_matrix<hqq4>>(h.error()), same);
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const bool done = std::string(argv[1]) == "write" ? write(argv[2]) : read(argv[2]);
  return done ? 0 : 1;
}
