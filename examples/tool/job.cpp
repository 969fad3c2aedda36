// tool/job.cpp — writes what the solvers make, tensor by tensor, into a GGUF file.
// SPDX-License-Identifier: MIT
#include "job.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>

#include <nbit/io/gguf_split.hpp>
#include <nbit/io/gguf_writer.hpp>

#include "blocks.hpp"
#include "effort.hpp"
#include "job_parts.hpp"
#include "output.hpp"
#include "tokenizer.hpp"

namespace tool {
namespace {

using nbit::ggml_type;

/// Rows of equal length in another order.
bytes reordered(std::span<const std::byte> from, const std::vector<std::size_t>& order) {
  if (order.empty()) return {from.begin(), from.end()};
  const std::size_t row = from.size() / order.size();
  bytes out(from.size());
  for (std::size_t i = 0; i < order.size(); ++i) std::memcpy(out.data() + i * row, from.data() + order[i] * row, row);
  return out;
}

[[noreturn]] void refuse_method(method how, ggml_type type, const std::string& name) {
  throw failure{wrong_usage, "--solver: '" + std::string(info(how).name) + "' is not compiled in for " +
                                 type_name(type) + " ('" + name + "'); allowed: types whose weights are blocks"};
}

/// One matrix in a type. rtn and search: the type's own encoder, which searches too.
bytes in_type(ggml_type type, method how, const problem& p, const solver_settings& settings,
              const engine::workers& pool, const std::string& name) {
  if (is_float(type) || how == method::rtn || how == method::search)
    return encoded(type, p.weights, p.importance, pool, name);
  const block_type* const t = find_block_type(type);
  if (t == nullptr) refuse_method(how, type, name);
  return need(t->solve(how, p, settings, pool), "'" + name + "'");
}

/// A tensor that is not calibrated: copied, converted, or rounded.
bytes plain_bytes(const target& t, const source& from, const job& what, const engine::workers& pool) {
  const source_tensor& s = *t.from;
  if (t.type == s.type) return reordered(s.bytes, s.order);
  return recalled(what.state, s.name, [&] {
    const engine::linear w = as_linear(s, from);
    std::vector<float> values(s.rows() * s.cols()), importance;
    const nbit::matrix_view<float> view(values.data(), s.rows(), s.cols());
    w.decode(view);
    std::size_t matrices = 1;  // experts lie one below the other, each with an importance of its own
    for (std::size_t d = 2; d < s.ne.size(); ++d) matrices *= static_cast<std::size_t>(s.ne[d]);
    if (t.quantized && what.importance != nullptr && what.importance->find(s.name) != nullptr)
      importance = need(nbit::importance(*what.importance, s.name, s.cols(), matrices));
    const method how = t.quantized && what.how == method::hqq ? method::hqq : method::rtn;
    bytes made;
    for (std::size_t m = 0; m < matrices; ++m) {
      const std::size_t rows = s.rows() / matrices;
      problem p{view.row_range(m * rows, rows), nullptr, {}};
      if (!importance.empty()) p.importance = std::span<const float>(importance).subspan(m * s.cols(), s.cols());
      const bytes one = in_type(t.type, how, p, what.settings, pool, s.stored_name);
      made.insert(made.end(), one.begin(), one.end());
    }
    return reordered(made, s.order);
  });
}

}  // namespace

job_report run_gguf(const job& what, const source& from, const engine::model* model, const engine::workers& pool,
                    const engine::progress& told, bool dry) {
  job_report report;
  report.types = make_plan(from, what.types);
  std::map<std::string, target*> by_name;
  std::set<std::string> awaited;
  std::vector<std::string> order;
  const bool awq = what.how == method::awq;
  for (target& t : report.types) {
    const std::string& name = t.from->name;
    // Folded norms are not what the source stored any more, and f32 holds them.
    if (awq && is_block_norm(name)) t.type = t.wanted = ggml_type::f32;
    if (t.type != t.wanted) report.fallbacks.push_back({name, t.wanted, t.type});
    by_name[name] = &t, order.push_back(name);
    if (what.calibrated() && ((is_block_matrix(model, name) && (t.quantized || awq)) || (awq && is_block_norm(name))))
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
  if (std::any_of(report.types.begin(), report.types.end(), [](const target& t) { return !is_float(t.type); }))
    need(header.set("general.quantization_version", std::uint32_t{2}));
  if (what.importance != nullptr) {
    need(header.set("quantize.imatrix.file", what.importance_file));
    if (!what.importance->datasets.empty())
      need(header.set("quantize.imatrix.dataset", what.importance->datasets.front()));
    need(header.set("quantize.imatrix.entries_count", static_cast<std::int32_t>(what.importance->entries.size())));
    need(header.set("quantize.imatrix.chunks_count", static_cast<std::int32_t>(what.importance->chunk_count)));
  }
  need(header.set("general.file_type", static_cast<std::uint32_t>(what.types.mix->mix)));
  for (const target& t : report.types) {
    need(header.declare(t.from->name, t.from->ne, t.type));
    if (!t.quantized) continue;
    report.quantized_bytes += header.tensors().back().bytes;
    report.quantized_weights += t.from->rows() * t.from->cols();
  }
  report.file_bytes = need(header.file_bytes());
  if (dry) return report;

  output_file file(what.output);
  auto stream = need(header.begin(file), "writing " + what.output);
  std::size_t written = 0;
  ordered_output out(
      order, awaited, [&](const std::string& name) { return plain_bytes(*by_name.at(name), from, what, pool); },
      [&](const std::string& name, std::span<const std::byte> b) {
        need(stream.write(name, b), "writing " + what.output);
        if (!what.calibrated() && told) told(++written, order.size());
      });
  if (what.calibrated()) {
    effort solver(what, report);
    for (const std::string& name : awaited) {
      const target& t = *by_name.at(name);
      if (t.quantized && !(what.state != nullptr && what.state->has(name)))
        solver.expect(t.from->rows(), t.from->cols());
    }
    solved_sink to;
    to.known = [&](const std::string& name) { return what.state != nullptr && what.state->has(name); };
    to.matrix = [&](const std::string& name, const problem& p) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) throw failure{bad_input, "'" + name + "': the source lacks this tensor"};
      const target& t = *found->second;
      if (awaited.count(name) == 0) return engine::linear();
      const auto made = std::make_shared<const bytes>(recalled(what.state, name, [&] {
        return solver(name, p, [&](const problem& asked, const solver_settings& s) {
          return in_type(t.type, t.quantized ? what.how : method::rtn, asked, s, pool, name);
        });
      }));
      out.offer(name, reordered(*made, t.from->order));
      return t.quantized ? packed_linear(t.type, *made, {t.from->rows(), t.from->cols()}, made, name)
                         : engine::linear();
    };
    to.norm = [&](const std::string& name, const std::vector<float>& values) { out.offer(name, as_bytes_of(values)); };
    to.awq = [&](const std::string& name) -> awq_search {
      const auto found = by_name.find(name);
      if (found == by_name.end() || !found->second->quantized) return nullptr;
      const block_type* const t = find_block_type(found->second->type);
      if (t == nullptr) refuse_method(what.how, found->second->type, name);
      return t->awq;
    };
    solve_blocks_of(what, *model, pool, told, to);
  }
  out.finish();
  need(stream.finish(), "writing " + what.output);
  need(file.commit(), "writing " + what.output);
  return report;
}

job_report run(const job& what, const source& from, const engine::model* model, const engine::workers& pool,
               const engine::progress& told, bool dry) {
  if (from.kind == container::checkpoint)
    throw failure{bad_input, "'" + from.path + "': the model is a quantized checkpoint already"};
  return what.linears ? run_checkpoint(what, from, *model, pool, told, dry)
                      : run_gguf(what, from, model, pool, told, dry);
}

}  // namespace tool
