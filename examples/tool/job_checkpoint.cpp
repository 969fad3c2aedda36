// tool/job_checkpoint.cpp — writes a checkpoint of integers: a folder with safetensors and the configs that other
// programs read.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <filesystem>

#include <nbit/io/json.hpp>
#include <nbit/io/safetensors_writer.hpp>

#include "effort.hpp"
#include "job_parts.hpp"
#include "output.hpp"

namespace tool {
namespace {

/// A solved linear for the state of a run: rows, columns, codes, zeros, scales.
bytes integer_bytes(const integer_linear& q) {
  bytes out(16 + q.codes.size() + q.zeros.size() + 4 * q.scales.size());
  nbit::store_u64(out.data(), q.rows), nbit::store_u64(out.data() + 8, q.cols);
  std::memcpy(out.data() + 16, q.codes.data(), q.codes.size());
  std::memcpy(out.data() + 16 + q.codes.size(), q.zeros.data(), q.zeros.size());
  for (std::size_t i = 0; i < q.scales.size(); ++i)
    nbit::store_f32(out.data() + 16 + q.codes.size() + q.zeros.size() + 4 * i, q.scales[i]);
  return out;
}

integer_linear integers_from(const bytes& in, const linear_format& f) {
  integer_linear q;
  q.rows = static_cast<std::size_t>(nbit::load_u64(in.data())),
  q.cols = static_cast<std::size_t>(nbit::load_u64(in.data() + 8));
  q.bits = f.bits, q.group = f.group;
  q.codes.resize(q.rows * q.cols), q.zeros.resize(q.rows * q.groups()), q.scales.resize(q.zeros.size());
  std::memcpy(q.codes.data(), in.data() + 16, q.codes.size());
  std::memcpy(q.zeros.data(), in.data() + 16 + q.codes.size(), q.zeros.size());
  for (std::size_t i = 0; i < q.scales.size(); ++i)
    q.scales[i] = nbit::load_f32(in.data() + 16 + q.codes.size() + q.zeros.size() + 4 * i);
  return q;
}

/// Failure: a width that no solver is compiled for.
const uniform_type& uniform_of(const linear_format& f) {
  if (const uniform_type* const found = find_uniform_type(f.bits, f.group, f.symmetric)) return *found;
  throw failure{wrong_usage, "--bits, --group, --symmetric: " + std::to_string(f.bits) + ", " +
                                 std::to_string(f.group) + (f.symmetric ? ", symmetric" : ", asymmetric") +
                                 " is not compiled in; allowed: 3, 4 and 8 bits in groups of 32, 64, 128 or -1; "
                                 "2 bits in groups of 64 or 128; symmetric: 4 and 8 bits in groups of 128"};
}

}  // namespace

job_report run_checkpoint(const job& what, const source& from, const engine::model& model, const engine::workers& pool,
                          const engine::progress& told, bool dry) {
  if (from.kind != container::safetensors)
    throw failure{bad_input,
                  "'" + from.path + "': a checkpoint is made from a safetensors folder that is not quantized yet"};
  if (!what.widths.empty() && what.linears->spelling != spelling::gptq_v1 &&
      what.linears->spelling != spelling::gptq_v2)
    throw failure{wrong_usage, "--format: '" + std::string(name_of(what.linears->spelling)) +
                                   "' has one width for all linears; allowed with mixed ones: gptq, gptq_v2"};
  // By the name of a tensor in GGUF.
  const auto format_of = [&](const std::string& name) -> const linear_format& {
    const auto found = what.widths.find(checkpoint_name(name));
    return found == what.widths.end() ? *what.linears : found->second;
  };
  using nbit::safetensors::dtype;
  nbit::safetensors::writer header;
  header.set_metadata("format", "pt");
  std::map<std::string, const source_tensor*> kept;
  std::set<std::string> awaited;
  std::vector<std::string> order;
  job_report report;
  const auto declare = [&](const std::string& name, dtype type, std::span<const std::uint64_t> shape) {
    need(header.declare(name, type, shape), name);
    order.push_back(name);
  };
  for (const source_tensor& t : from.tensors) {
    if (is_block_matrix(&model, t.name)) {
      const linear_format& spelt = format_of(t.name);
      (void)uniform_of(spelt);
      // A linear of zeros says which tensors there are, and how large.
      integer_linear zeros{t.rows(), t.cols(), spelt.bits, spelt.group, {}, {}, {}, {}, nbit::scale_type::f16};
      zeros.codes.resize(t.rows() * t.cols());
      zeros.scales.resize(t.rows() * zeros.groups());
      zeros.zeros.resize(zeros.scales.size(), static_cast<std::uint8_t>(1u << (spelt.bits - 1)));
      const std::string stem = checkpoint_name(t.name);
      for (const nbit::owned_tensor& part : write_integers(spelt, zeros, t.stored_name).tensors) {
        declare(stem + "." + part.name, part.type, part.dimensions());
        awaited.insert(stem + "." + part.name);
        report.quantized_bytes += part.bytes.size();
      }
      report.quantized_weights += t.rows() * t.cols();
      continue;
    }
    const bool folded = what.how == method::awq && is_block_norm(t.name);
    kept[t.stored_name] = &t;
    const std::vector<std::uint64_t> shape(t.ne.rbegin(), t.ne.rend());
    declare(t.stored_name,
            folded || t.type == nbit::ggml_type::f32 ? dtype::f32
            : t.type == nbit::ggml_type::f16         ? dtype::f16
                                                     : dtype::bf16,
            shape);
    if (folded) awaited.insert(t.stored_name);
  }
  nbit::memory_sink head;
  (void)need(header.begin(head));
  report.file_bytes = head.bytes.size();
  for (const auto& t : header.tensors()) report.file_bytes += t.bytes;
  if (dry) return report;

  output_folder folder(what.output);
  {
    output_file file(folder.inside("model.safetensors"));
    auto stream = need(header.begin(file), "writing " + what.output);
    ordered_output out(
        order, awaited,
        [&](const std::string& name) { return bytes(kept.at(name)->bytes.begin(), kept.at(name)->bytes.end()); },
        [&](const std::string& name, std::span<const std::byte> b) {
          need(stream.write(name, b), "writing " + what.output);
        });
    effort solver(what, report);
    for (const source_tensor& t : from.tensors)
      if (is_block_matrix(&model, t.name) && !(what.state != nullptr && what.state->has(t.name)))
        solver.expect(t.rows(), t.cols());
    solved_sink to;
    to.known = [&](const std::string& name) { return what.state != nullptr && what.state->has(name); };
    to.matrix = [&](const std::string& name, const problem& p) {
      const linear_format& spelt = format_of(name);
      const bytes flat = recalled(what.state, name, [&] {
        return solver(name, p, [&](const problem& asked, const solver_settings& s) {
          return integer_bytes(need(uniform_of(spelt).solve(what.how, asked, s, pool), "'" + name + "'"));
        });
      });
      const integer_linear made = integers_from(flat, spelt);
      for (nbit::owned_tensor& part : write_integers(spelt, made, name).tensors)
        out.offer(checkpoint_name(name) + "." + part.name, {part.bytes.begin(), part.bytes.end()});
      return what.how == method::gptq ? engine::linear(made.values(), {made.rows, made.cols}) : engine::linear();
    };
    to.norm = [&](const std::string& name, const std::vector<float>& values) {
      out.offer(checkpoint_name(name) + ".weight", as_bytes_of(values));
    };
    to.awq = [&](const std::string& name) { return uniform_of(format_of(name)).awq; };
    if (what.calibrated()) {
      solve_blocks_of(what, model, pool, told, to);
    } else {
      std::size_t done = 0;
      for (const source_tensor& t : from.tensors) {
        if (told) told(++done, from.tensors.size());
        if (!is_block_matrix(&model, t.name)) continue;
        std::vector<float> values(t.rows() * t.cols()), importance;
        as_linear(t, from).decode({values.data(), t.rows(), t.cols()});
        if (what.importance != nullptr && what.importance->find(t.name) != nullptr)
          importance = need(nbit::importance(*what.importance, t.name, t.cols()));
        to.matrix(t.name, {{values.data(), t.rows(), t.cols()}, nullptr, importance});
      }
    }
    out.finish();
    need(stream.finish(), "writing " + what.output);
    need(file.commit(), "writing " + what.output);
  }
  nbit::json_value json = from.config;
  nbit::json_value about = format_json(*what.linears, {});
  add_widths(about, what.widths);
  json.set("quantization_config", about);
  write_text(folder.inside("config.json"), nbit::json_text(json, 1) + "\n");
  if (is_gptq(what.linears->spelling))
    write_text(folder.inside("quantize_config.json"), nbit::json_text(about, 1) + "\n");
  if (std::filesystem::exists(from.folder + "/tokenizer.json"))
    write_text(folder.inside("tokenizer.json"), read_text(from.folder + "/tokenizer.json"));
  folder.commit();
  return report;
}

}  // namespace tool
