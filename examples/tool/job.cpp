// tool/job.cpp — writes what the solvers make, tensor by tensor, into a GGUF file.
// SPDX-License-Identifier: MIT
#include "job.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <nbit/io/gguf_split.hpp>
#include <nbit/io/gguf_writer.hpp>

#include "job_parts.hpp"
#include "output.hpp"
#include "tokenizer.hpp"

namespace tool {
namespace {

/// Rows of equal length in another order.
bytes reordered(std::span<const std::byte> from, const std::vector<std::size_t>& order) {
  if (order.empty()) return {from.begin(), from.end()};
  const std::size_t row = from.size() / order.size();
  bytes out(from.size());
  for (std::size_t i = 0; i < order.size(); ++i) std::memcpy(out.data() + i * row, from.data() + order[i] * row, row);
  return out;
}

/// A tensor without statistics: copied, converted, or rounded.
bytes plain_bytes(const target& t, const source& from, const job& what, const engine::workers& pool) {
  const source_tensor& s = *t.from;
  if (t.type == s.type) return reordered(s.bytes, s.order);
  const engine::linear w = as_linear(s, from);
  std::vector<float> values(s.rows() * s.cols());
  const nbit::matrix_view<float> view(values.data(), s.rows(), s.cols());
  w.decode(view);
  bytes made;
  if (t.quantized) {
    std::vector<float> importance;
    if (what.importance != nullptr && what.importance->find(s.name) != nullptr) {
      if (s.ne.size() > 2 && s.ne[2] > 1)
        throw failure{bad_input,
                      "'" + s.name + "': experts with an importance matrix; nbit convert --imatrix does them"};
      importance = need(nbit::importance(*what.importance, s.name, s.cols()));
    }
    made = need(find_block_type(t.type)->solve(method::rtn, {view, nullptr, importance}, what.settings, pool),
                "'" + s.stored_name + "'");
  } else if (t.type == nbit::ggml_type::f32) {
    made = as_bytes_of(values);
  } else {
    made.resize(values.size() * 2);
    for (std::size_t i = 0; i < values.size(); ++i)
      nbit::store_u16(made.data() + 2 * i, t.type == nbit::ggml_type::f16 ? nbit::f16::from(values[i]).bits
                                                                          : nbit::bf16::from(values[i]).bits);
  }
  return reordered(made, s.order);
}

}  // namespace

job_report run_gguf(const job& what, const source& from, const engine::model* model, const engine::workers& pool,
                    const engine::progress& told) {
  std::vector<target> plan = make_plan(from, what.types);
  const bool calibrated = what.how != solver::rtn;
  std::map<std::string, target*> by_name;
  std::set<std::string> awaited;
  std::vector<std::string> order;
  job_report report;
  for (target& t : plan) {
    const std::string& name = t.from->name;
    // Folded norms are not what the source stored any more, and f32 holds them.
    if (what.how == solver::awq && is_block_norm(name)) t.type = nbit::ggml_type::f32;
    by_name[name] = &t, order.push_back(name);
    if (calibrated && ((is_block_matrix(model, name) && (t.quantized || what.how == solver::awq)) ||
                       (what.how == solver::awq && is_block_norm(name))))
      awaited.insert(name);
  }

  nbit::gguf::writer header;
  if (from.kind == container::gguf) {
    need(header.copy_keys(*from.gguf));
    nbit::gguf::erase_split_keys(header);
  } else {
    const engine::config c = config_of(from);
    std::filesystem::path folder = std::filesystem::weakly_canonical(from.folder);
    write_model_keys(header, c, folder.filename().string());
    if (what.tokenizer) write_tokenizer_keys(header, read_json(from.folder + "/tokenizer.json"), c);
  }
  if (std::any_of(plan.begin(), plan.end(), [](const target& t) { return !is_float(t.type); }))
    need(header.set("general.quantization_version", std::uint32_t{2}));
  if (what.importance != nullptr) {
    need(header.set("quantize.imatrix.file", what.importance_file));
    if (!what.importance->datasets.empty())
      need(header.set("quantize.imatrix.dataset", what.importance->datasets.front()));
    need(header.set("quantize.imatrix.entries_count", static_cast<std::int32_t>(what.importance->entries.size())));
    need(header.set("quantize.imatrix.chunks_count", static_cast<std::int32_t>(what.importance->chunk_count)));
  }
  need(header.set("general.file_type", file_type_of(what.types.type)));
  for (const target& t : plan) {
    need(header.declare(t.from->name, t.from->ne, t.type));
    if (!t.quantized) continue;
    report.quantized_bytes += header.tensors().back().bytes;
    report.quantized_weights += t.from->rows() * t.from->cols();
  }

  output_file file(what.output);
  auto stream = need(header.begin(file), "writing " + what.output);
  std::size_t written = 0;
  ordered_output out(
      order, awaited, [&](const std::string& name) { return plain_bytes(*by_name.at(name), from, what, pool); },
      [&](const std::string& name, std::span<const std::byte> b) {
        need(stream.write(name, b), "writing " + what.output);
        if (!calibrated && told) told(++written, order.size());
      });
  if (calibrated) {
    solved_sink to;
    to.matrix = [&](const std::string& name, method how, const problem& p) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) throw failure{bad_input, "'" + name + "': the source lacks this tensor"};
      const target& t = *found->second;
      if (!t.quantized) {
        if (awaited.count(name) == 0) return engine::linear();
        // Kept as floats, but AWQ has scaled it.
        std::vector<float> values;
        for (std::size_t r = 0; r < p.weights.rows; ++r)
          values.insert(values.end(), p.weights.row(r).begin(), p.weights.row(r).end());
        source_tensor scaled{name, name, t.from->ne, nbit::ggml_type::f32, {}, t.from->order};
        const bytes raw = as_bytes_of(values);
        scaled.bytes = raw;
        out.offer(name, plain_bytes({&scaled, t.type, false}, from, what, pool));
        return engine::linear();
      }
      auto made =
          std::make_shared<bytes>(need(find_block_type(t.type)->solve(how, p, what.settings, pool), "'" + name + "'"));
      out.offer(name, reordered(*made, t.from->order));
      return packed_linear(t.type, *made, p.weights.shape(), made, name);
    };
    to.norm = [&](const std::string& name, const std::vector<float>& values) { out.offer(name, as_bytes_of(values)); };
    to.awq = [&](const std::string& name) -> awq_search {
      const auto found = by_name.find(name);
      return found == by_name.end() || !found->second->quantized ? nullptr : find_block_type(found->second->type)->awq;
    };
    solve_blocks_of(what, *model, pool, told, to);
  }
  out.finish();
  need(stream.finish(), "writing " + what.output);
  need(file.commit(), "writing " + what.output);
  report.file_bytes = std::filesystem::file_size(what.output);
  return report;
}

job_report run(const job& what, const source& from, const engine::model* model, const engine::workers& pool,
               const engine::progress& told) {
  if (from.kind == container::gptq)
    throw failure{bad_input, "'" + from.path + "': the model is a GPTQ checkpoint already"};
  return what.checkpoint ? run_checkpoint(what, from, *model, pool, told) : run_gguf(what, from, model, pool, told);
}

}  // namespace tool
