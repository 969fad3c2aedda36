// tool/convert_item.cpp — one tensor or linear on its way from one file to another.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <utility>

#include <nbit/io/gguf_byte_order.hpp>

#include <engine/load_safetensors.hpp>

#include "blocks.hpp"
#include "convert_model.hpp"
#include "failure.hpp"
#include "source.hpp"

namespace tool {
namespace {

using nbit::fidelity;
using nbit::ggml_type;
using nbit::safetensors::dtype;

dtype dtype_of_float(ggml_type t) {
  return t == ggml_type::f16 ? dtype::f16 : t == ggml_type::bf16 ? dtype::bf16 : dtype::f32;
}

/// The bytes in this machine-independent order, rows as the target wants them.
std::vector<std::byte> stored_bytes(const convert_item& i) {
  std::vector<std::byte> b(i.bytes.begin(), i.bytes.end());
  if (i.order != std::endian::little && i.type) nbit::gguf::swap_byte_order(*i.type, b);
  if (i.rows_in.empty()) return b;
  if (i.rows_in.size() != i.rows())
    throw failure{bad_input, "'" + i.name + "': rows (found " + std::to_string(i.rows()) +
                                 ", allowed: " + std::to_string(i.rows_in.size()) + ")"};
  const std::size_t row = b.size() / i.rows_in.size();
  std::vector<std::byte> out(b.size());
  for (std::size_t r = 0; r < i.rows_in.size(); ++r)
    std::memcpy(out.data() + r * row, b.data() + i.rows_in[r] * row, row);
  return out;
}

std::vector<float> stored_floats(const convert_item& i) {
  return floats_of(*i.type, stored_bytes(i), {i.rows(), i.cols()}, i.name);
}

template <class T>
void reorder(std::vector<T>& values, const std::vector<std::size_t>& order) {
  if (order.empty() || values.empty()) return;
  const std::size_t row = values.size() / order.size();
  std::vector<T> out;
  out.reserve(values.size());
  for (const std::size_t r : order)
    out.insert(out.end(), values.begin() + static_cast<std::ptrdiff_t>(r * row),
               values.begin() + static_cast<std::ptrdiff_t>((r + 1) * row));
  values.swap(out);
}

void check_rows(const convert_item& i, std::size_t rows) {
  if (!i.rows_in.empty() && i.rows_in.size() != rows)
    throw failure{bad_input, "'" + i.name + "': rows (found " + std::to_string(rows) +
                                 ", allowed: " + std::to_string(i.rows_in.size()) + ")"};
}

integer_linear ordered(integer_linear q, const convert_item& i) {
  check_rows(i, q.rows);
  reorder(q.codes, i.rows_in), reorder(q.scales, i.rows_in), reorder(q.zeros, i.rows_in);
  return q;
}

dense_linear ordered_floats(const convert_source& from, const convert_item& i) {
  dense_linear d = read_floats(*from.linears, i.find, i.name);
  check_rows(i, d.rows);
  reorder(d.values, i.rows_in);
  return d;
}

bool same_values(ggml_type type, const std::vector<std::byte>& bytes, nbit::shape s, const std::vector<float>& wanted,
                 const std::string& name) {
  const std::vector<float> now = floats_of(type, bytes, s, name);
  for (std::size_t i = 0; i < now.size(); ++i)
    if (now[i] != wanted[i] && !(now[i] != now[i] && wanted[i] != wanted[i])) return false;
  return true;
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw failure{bad_input, "'" + name + "': the numbers would change: " + why + "; --allow-lossy accepts that"};
}

}  // namespace

converter::converter(const convert_source& from, const convert_target& to, const engine::workers& pool)
    : from_(from), to_(to), pool_(pool) {
  if (to.types.mix == nullptr) return;
  std::vector<std::string> names;
  std::vector<nbit::mix_tensor> tensors;
  for (const convert_item& i : from.items) names.push_back(name_in_target(i));
  for (std::size_t n = 0; n < from.items.size(); ++n) {
    const convert_item& i = from.items[n];
    nbit::mix_tensor t;
    t.name = names[n], t.type = i.type.value_or(ggml_type::f32);
    if (i.linear) {
      const dense_linear d = read_floats(*from.linears, i.find, i.name);
      t.ne = {d.cols, d.rows, 1, 1};
    } else {
      if (i.shape.size() > 4) throw failure{bad_input, "'" + i.name + "': GGUF holds at most 4 dimensions"};
      std::copy(i.shape.rbegin(), i.shape.rend(), t.ne.begin());
    }
    tensors.push_back(t);
  }
  plan_ = plan_types(to.types, from.gguf == nullptr ? nullptr : &from.gguf->first(),
                     from.llama ? &*from.llama : nullptr, tensors);
}

std::string converter::name_in_target(const convert_item& i) const {
  if (!to_.model_names || !from_.llama) return i.name;
  if (to_.gguf && from_.gguf == nullptr) return engine::gguf_name(i.name);
  if (!to_.gguf && from_.gguf != nullptr) {
    const std::string stem = checkpoint_name(i.name);
    return stem.empty() ? i.name : stem + ".weight";
  }
  return i.name;
}

converted converter::convert(std::size_t item, bool plan_only) const {
  const convert_item& i = from_.items[item];
  const std::string name = name_in_target(i);
  // Without a name in the other container: rotary tables and the like, which its programs compute.
  if (name.empty()) return {{}, {i.name, i.kind, "nothing", "no program reads it there", "", "left out", 0, false}};
  const nbit::planned_tensor* const plan = plan_.empty() ? nullptr : &plan_[item];
  converted done = i.linear ? quantized(i, name, plan, plan_only) : plain(i, name, plan, plan_only);
  done.line.name = name, done.line.from = i.kind;
  if (plan != nullptr && plan->type != plan->wanted) done.line.wanted = type_name(plan->wanted);
  for (convert_tensor& t : done.tensors)
    if (t.size == 0) t.size = t.bytes.size();
  if (done.line.lossy && !to_.allow_lossy)
    refuse(name, done.line.from + " into " + done.line.to + (done.line.why.empty() ? "" : " (" + done.line.why + ")"));
  return done;
}

converted converter::as_type(const convert_item& i, const std::string& name, ggml_type type, nbit::shape s,
                             std::vector<std::uint64_t> shape, const std::vector<float>* values, bool plan_only) const {
  converted done;
  convert_tensor t;
  t.name = name, t.shape = std::move(shape);
  (to_.gguf ? (void)(t.type = type) : (void)(t.dtype = dtype_of_float(type)));
  done.line.to = type_name(type);
  const nbit::ggml_type_info info = *nbit::ggml_type_of(static_cast<std::uint32_t>(type));
  if (!nbit::ggml_bytes(info, s.cols, s.rows, t.size))
    throw failure{bad_input, "'" + name + "': rows of " + std::to_string(s.cols) + " columns do not fit " + info.name +
                                 " (allowed: " + nbit::block_rule(info) + ")"};
  std::vector<float> own;
  const auto get = [&]() -> const std::vector<float>& {
    if (values == nullptr && own.empty()) own = i.linear ? ordered_floats(from_, i).values : stored_floats(i);
    return values == nullptr ? own : *values;
  };
  const auto make = [&] {
    std::vector<float> importance;
    if (to_.importance != nullptr && !is_float(type)) {
      const std::size_t experts = t.shape.size() == 3 ? static_cast<std::size_t>(t.shape[0]) : 1;
      if (to_.importance->find(name) != nullptr)
        importance = need(nbit::importance(*to_.importance, name, s.cols, experts));
    }
    return encoded(type, {get().data(), s.rows, s.cols}, importance, pool_, name);
  };
  if (type == ggml_type::f32 && (i.linear || i.type != ggml_type::f64)) {
    done.line.verdict = "exact";
    if (!plan_only) t.bytes = make();
  } else if (is_float(type)) {
    t.bytes = make();
    if (same_values(type, t.bytes, s, get(), name)) {
      done.line.verdict = "exact";
    } else {
      done.line.verdict = "rounded", done.line.why = "more digits than the type has", done.line.lossy = true;
    }
  } else {
    done.line.verdict = "requantized", done.line.why = "quantized anew", done.line.lossy = true;
    if (!plan_only) t.bytes = make();
  }
  done.tensors.push_back(std::move(t));
  return done;
}

converted converter::plain(const convert_item& i, const std::string& name, const nbit::planned_tensor* plan,
                           bool plan_only) const {
  const nbit::shape s{i.rows(), i.cols()};
  const bool to_model = to_.gguf && to_.model_names && from_.llama && from_.gguf == nullptr;
  // What a target type is: the plan's; F32 for the vectors of a model that becomes GGUF; else as it is.
  std::optional<ggml_type> type = i.type;
  if (plan != nullptr && plan->reason != nbit::plan_reason::kept)
    type = plan->type;
  else if (to_model && i.shape.size() == 1 && (i.type && is_float(*i.type)))
    type = ggml_type::f32;
  else if (to_.floats && (i.type && is_float(*i.type)) && i.shape.size() > 1)
    type = to_.floats;
  if (to_.linears && from_.gguf != nullptr && i.type && s.rows > 1 && name.size() > 7 &&
      name != "model.embed_tokens.weight" && name != "lm_head.weight")
    if (auto q = integers_of_blocks(*i.type, stored_bytes(i), s, name); q && q->bits == to_.linears->bits)
      return spelt(i, name, *std::move(q));
  if (type && type != i.type && i.type && ((i.type && is_float(*i.type)) || !i.dtype)) {
    converted done = as_type(i, name, *type, s, i.shape, nullptr, plan_only);
    return done;
  }
  converted done;
  done.line.to = i.kind;
  convert_tensor t;
  t.name = name, t.shape = i.shape, t.type = i.type, t.dtype = i.dtype, t.size = i.bytes.size();
  if (to_.gguf && !i.type)
    throw failure{bad_input, "'" + i.name + "': GGUF has no such element type (found " + i.kind + ")"};
  if (!to_.gguf && !i.dtype)  // blocks have no place in safetensors: their numbers do
    return as_type(i, name, to_.floats.value_or(ggml_type::f32), s, i.shape, nullptr, plan_only);
  if (!plan_only) t.bytes = stored_bytes(i);
  done.tensors.push_back(std::move(t));
  return done;
}

converted converter::spelt(const convert_item& i, const std::string& name, integer_linear q) const {
  if (q.bits != to_.linears->bits || q.group != to_.linears->group)
    throw failure{bad_input, "'" + name + "': bits and group (found " + std::to_string(q.bits) + ", " +
                                 std::to_string(q.group) + "; allowed: those of the other linears, " +
                                 std::to_string(to_.linears->bits) + ", " + std::to_string(to_.linears->group) + ")"};
  if (to_.linears->symmetric && !q.symmetric())
    throw failure{bad_input, "'" + name + "': zeros that are not in the middle, in a checkpoint that says it has none"};
  written_linear w = write_integers(*to_.linears, q, i.name);
  const std::string stem = name.substr(0, name.size() - std::string_view(".weight").size());
  converted done;
  done.line.to = name_of(to_.linears->spelling), done.line.verdict = "exact";
  if (w.report.kind != fidelity::exact)
    done.line.verdict = "rounded", done.line.lossy = true, done.line.worst_steps = w.report.worst_steps,
    done.line.why = "scales have more digits than the checkpoint's";
  for (nbit::owned_tensor& o : w.tensors) {
    convert_tensor t;
    t.name = stem + "." + o.name, t.dtype = o.type;
    t.shape.assign(o.shape.begin(), o.shape.begin() + static_cast<std::ptrdiff_t>(o.rank));
    t.bytes.assign(o.bytes.begin(), o.bytes.end());
    done.tensors.push_back(std::move(t));
  }
  return done;
}

converted converter::quantized(const convert_item& i, const std::string& name, const nbit::planned_tensor* plan,
                               bool plan_only) const {
  auto integers = read_integers(*from_.linears, i.find, i.name);
  if (integers) integers = ordered(*std::move(integers), i);
  if (!to_.gguf && to_.linears) {
    if (!integers)
      throw failure{bad_input, "'" + i.name + "': the numbers of " + i.kind +
                                   " are no integers times a scale; convert to floats, then nbit quantize"};
    return spelt(i, name, *std::move(integers));
  }
  const bool mxfp4 = from_.linears->spelling == spelling::compressed_mxfp4 && i.rows_in.empty();
  dense_linear d;
  if (integers)
    d = {integers->rows, integers->cols, integers->values()};
  else
    d = ordered_floats(from_, i);
  const nbit::shape s{d.rows, d.cols};
  const std::vector<std::uint64_t> shape{d.rows, d.cols};
  if (!to_.gguf) return as_type(i, name, to_.floats.value_or(ggml_type::f32), s, shape, &d.values, plan_only);

  converted done;
  convert_tensor t;
  t.name = name, t.shape = shape;
  const auto finish = [&](ggml_type type, std::vector<std::byte> bytes, const nbit::transcode_report& report) {
    t.type = type, t.bytes = std::move(bytes);
    done.line.to = type_name(type), done.line.verdict = report.kind == fidelity::exact ? "exact" : "rounded";
    done.line.lossy = report.kind != fidelity::exact, done.line.worst_steps = report.worst_steps;
    if (done.line.lossy) done.line.why = "parameters had to be rounded";
    done.tensors.push_back(std::move(t));
    return done;
  };
  if (mxfp4 && (plan == nullptr || plan->type == ggml_type::mxfp4))
    return finish(ggml_type::mxfp4, mxfp4_blocks(i.find, i.name), {});
  if (integers && !to_.floats) {
    std::vector<ggml_type> tried{ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1, ggml_type::q8_0};
    if (plan != nullptr) tried = {plan->type};
    for (const fidelity accept : {fidelity::exact, fidelity::rounded}) {
      if (accept == fidelity::rounded && !to_.allow_lossy) break;
      for (const ggml_type type : tried) {
        written_blocks b = blocks_of_integers(type, *integers, i.name);
        if (b.report.kind == fidelity::refused || (accept == fidelity::exact && b.report.kind != fidelity::exact))
          continue;
        return finish(type, std::move(b.bytes), b.report);
      }
    }
  }
  if (plan != nullptr) return as_type(i, name, plan->type, s, shape, &d.values, plan_only);
  if (to_.floats) return as_type(i, name, *to_.floats, s, shape, &d.values, plan_only);
  // No block holds these numbers: F16 if it does, else F32, which always does.
  const std::vector<std::byte> half = encoded(ggml_type::bf16, {d.values.data(), s.rows, s.cols}, {}, pool_, name);
  const bool fits = same_values(ggml_type::bf16, half, s, d.values, name);
  return as_type(i, name, fits ? ggml_type::bf16 : ggml_type::f32, s, shape, &d.values, plan_only);
}

}  // namespace tool
