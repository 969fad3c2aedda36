// tool/job.cpp — writes what the solvers make, tensor by tensor, into a GGUF file or a GPTQ checkpoint.
// SPDX-License-Identifier: MIT
#include "job.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include <nbit/io/gguf_writer.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/safetensors_writer.hpp>

#include "failure.hpp"
#include "output.hpp"
#include "tokenizer.hpp"

namespace tool {
namespace {

using bytes = std::vector<std::byte>;

bytes as_bytes_of(const std::vector<float>& values) {
  bytes out(values.size() * sizeof(float));
  for (std::size_t i = 0; i < values.size(); ++i) nbit::store_f32(out.data() + i * sizeof(float), values[i]);
  return out;
}

/// Rows of equal length in another order.
bytes reordered(std::span<const std::byte> from, const std::vector<std::size_t>& order) {
  if (order.empty()) return {from.begin(), from.end()};
  const std::size_t row = from.size() / order.size();
  bytes out(from.size());
  for (std::size_t i = 0; i < order.size(); ++i) std::memcpy(out.data() + i * row, from.data() + order[i] * row, row);
  return out;
}

/// The tensors of an output in their declared order: what is solved arrives whenever it is ready, the rest is made when
/// its turn comes, so that no more than one block waits in memory.
class ordered_output {
 public:
  using writer = std::function<void(const std::string&, std::span<const std::byte>)>;
  using maker = std::function<bytes(const std::string&)>;

  ordered_output(std::vector<std::string> order, std::set<std::string> awaited, maker make, writer write)
      : order_(std::move(order)), awaited_(std::move(awaited)), make_(std::move(make)), write_(std::move(write)) {}

  void offer(const std::string& name, bytes made) {
    ready_[name] = std::move(made);
    drain(false);
  }
  /// Writes all that is left.
  void finish() { drain(true); }

 private:
  void drain(bool last) {
    for (; next_ < order_.size(); ++next_) {
      const std::string& name = order_[next_];
      if (const auto found = ready_.find(name); found != ready_.end()) {
        write_(name, found->second);
        ready_.erase(found);
      } else if (awaited_.count(name) == 0) {
        write_(name, make_(name));
      } else if (last) {
        throw failure{bad_input, "'" + name + "': the model does not run this matrix, so it has no inputs to calibrate with"};
      } else {
        return;
      }
    }
  }

  std::vector<std::string> order_;
  std::set<std::string> awaited_;
  maker make_;
  writer write_;
  std::map<std::string, bytes> ready_;
  std::size_t next_ = 0;
};

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
    made = need(find_block_type(t.type)->solve(method::rtn, {view, nullptr, {}}, what.settings, pool), "'" + s.stored_name + "'");
  } else if (t.type == nbit::ggml_type::f32) {
    made = as_bytes_of(values);
  } else {
    made.resize(values.size() * 2);
    for (std::size_t i = 0; i < values.size(); ++i)
      nbit::store_u16(made.data() + 2 * i, t.type == nbit::ggml_type::f16 ? nbit::f16::from(values[i]).bits : nbit::bf16::from(values[i]).bits);
  }
  return reordered(made, s.order);
}

/// The matrices of the blocks of a model that a solver with statistics takes care of.
bool is_block_matrix(const engine::model* m, const std::string& name) {
  return m != nullptr && name.substr(0, 4) == "blk." && m->find(name) != nullptr;
}

bool is_block_norm(const std::string& name) {
  return name.substr(0, 4) == "blk." && (name.find(".attn_norm.weight") != std::string::npos || name.find(".ffn_norm.weight") != std::string::npos);
}

job_report run_gguf(const job& what, const source& from, const engine::model* model, const engine::workers& pool, const engine::progress& told) {
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
    if (calibrated && ((is_block_matrix(model, name) && (t.quantized || what.how == solver::awq)) || (what.how == solver::awq && is_block_norm(name)))) awaited.insert(name);
  }

  nbit::gguf::writer header;
  if (from.kind == container::gguf) {
    need(header.copy_keys(*from.gguf));
  } else {
    const engine::config c = config_of(from);
    std::filesystem::path folder = std::filesystem::weakly_canonical(from.folder);
    write_model_keys(header, c, folder.filename().string());
    if (what.tokenizer) write_tokenizer_keys(header, read_json(from.folder + "/tokenizer.json"), c);
  }
  if (std::any_of(plan.begin(), plan.end(), [](const target& t) { return !is_float(t.type); }))
    need(header.set("general.quantization_version", std::uint32_t{2}));
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
        for (std::size_t r = 0; r < p.weights.rows; ++r) values.insert(values.end(), p.weights.row(r).begin(), p.weights.row(r).end());
        source_tensor scaled{name, name, t.from->ne, nbit::ggml_type::f32, {}, t.from->order};
        const bytes raw = as_bytes_of(values);
        scaled.bytes = raw;
        out.offer(name, plain_bytes({&scaled, t.type, false}, from, what, pool));
        return engine::linear();
      }
      auto made = std::make_shared<bytes>(need(find_block_type(t.type)->solve(how, p, what.settings, pool), "'" + name + "'"));
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

job_report run_checkpoint(const job& what, const source& from, const engine::model& model, const engine::workers& pool, const engine::progress& told) {
  if (from.kind != container::safetensors)
    throw failure{bad_input, "'" + from.path + "': a GPTQ checkpoint is made from a safetensors folder that is not quantized yet"};
  const uniform_type* const format = find_uniform_type(what.bits, what.group, what.symmetric);
  if (format == nullptr)
    throw failure{wrong_usage, "--bits, --group, --symmetric: " + std::to_string(what.bits) + ", " + std::to_string(what.group) +
                                   (what.symmetric ? ", symmetric" : ", asymmetric") +
                                   " is not compiled in; allowed: 3, 4 and 8 bits in groups of 32, 64, 128 or -1; 2 bits in groups of 64 or 128; symmetric: 4 and 8 bits in groups of 128"};
  const nbit::gptq_config config{what.bits, what.group, what.symmetric, false, nbit::gptq_zeros::minus_one};
  using nbit::safetensors::dtype;
  nbit::safetensors::writer header;
  header.set_metadata("format", "pt");
  std::map<std::string, const source_tensor*> kept;
  std::set<std::string> awaited;
  std::vector<std::string> order;
  job_report report;
  const auto declare = [&](const std::string& name, dtype type, std::vector<std::uint64_t> shape) {
    need(header.declare(name, type, shape), name);
    order.push_back(name);
  };
  for (const source_tensor& t : from.tensors) {
    if (is_block_matrix(&model, t.name)) {
      const std::uint64_t n = t.rows(), k = t.cols(), bits = static_cast<std::uint64_t>(what.bits);
      const std::uint64_t groups = what.group < 0 ? 1 : (k + static_cast<std::uint64_t>(what.group) - 1) / static_cast<std::uint64_t>(what.group);
      const std::string stem = checkpoint_name(t.name);
      declare(stem + ".qweight", dtype::i32, {k / 32 * bits, n});
      declare(stem + ".qzeros", dtype::i32, {groups, n * bits / 32});
      declare(stem + ".g_idx", dtype::i32, {k});
      declare(stem + ".scales", dtype::f16, {groups, n});
      for (const char* part : {".qweight", ".qzeros", ".g_idx", ".scales"}) awaited.insert(stem + part);
      report.quantized_weights += n * k;
      report.quantized_bytes += k / 32 * bits * n * 4 + groups * n * bits / 8 + k * 4 + groups * n * 2;
      continue;
    }
    const bool folded = what.how == solver::awq && is_block_norm(t.name);
    kept[t.stored_name] = &t;
    declare(t.stored_name, folded || t.type == nbit::ggml_type::f32 ? dtype::f32 : t.type == nbit::ggml_type::f16 ? dtype::f16 : dtype::bf16,
            {t.ne.rbegin(), t.ne.rend()});
    if (folded) awaited.insert(t.stored_name);
  }

  output_folder folder(what.output);
  {
    output_file file(folder.inside("model.safetensors"));
    auto stream = need(header.begin(file), "writing " + what.output);
    ordered_output out(
        order, awaited, [&](const std::string& name) { return bytes(kept.at(name)->bytes.begin(), kept.at(name)->bytes.end()); },
        [&](const std::string& name, std::span<const std::byte> b) { need(stream.write(name, b), "writing " + what.output); });
    solved_sink to;
    to.matrix = [&](const std::string& name, method how, const problem& p) {
      const nbit::gptq_tensors made = need(format->solve(how, p, what.settings, pool), "'" + name + "'");
      const std::string stem = checkpoint_name(name);
      for (const auto& [part, b] : {std::pair{".qweight", made.qweight.span()}, {".qzeros", made.qzeros.span()},
                                    {".g_idx", made.g_idx.span()}, {".scales", made.scales.span()}})
        out.offer(stem + part, {b.begin(), b.end()});
      return how == method::gptq ? gptq_dense(made.view(), config, name) : engine::linear();
    };
    to.norm = [&](const std::string& name, const std::vector<float>& values) { out.offer(checkpoint_name(name) + ".weight", as_bytes_of(values)); };
    to.awq = [&](const std::string&) { return format->awq; };
    if (what.how == solver::rtn) {
      for (const source_tensor& t : from.tensors) {
        if (!is_block_matrix(&model, t.name)) continue;
        std::vector<float> values(t.rows() * t.cols());
        as_linear(t, from).decode({values.data(), t.rows(), t.cols()});
        to.matrix(t.name, method::rtn, {{values.data(), t.rows(), t.cols()}, nullptr, {}});
      }
    } else {
      solve_blocks_of(what, model, pool, told, to);
    }
    out.finish();
    need(stream.finish(), "writing " + what.output);
    need(file.commit(), "writing " + what.output);
  }
  nbit::json_value json = from.config;
  json.set("quantization_config", nbit::gptq_config_json(config));
  write_text(folder.inside("config.json"), nbit::json_text(json, 1) + "\n");
  write_text(folder.inside("quantize_config.json"), nbit::json_text(nbit::gptq_config_json(config), 1) + "\n");
  if (std::filesystem::exists(from.folder + "/tokenizer.json"))
    write_text(folder.inside("tokenizer.json"), read_text(from.folder + "/tokenizer.json"));
  folder.commit();
  report.file_bytes = std::filesystem::file_size(what.output + "/model.safetensors");
  return report;
}

}  // namespace

job_report run(const job& what, const source& from, const engine::model* model, const engine::workers& pool, const engine::progress& told) {
  if (from.kind == container::gptq) throw failure{bad_input, "'" + from.path + "': the model is a GPTQ checkpoint already"};
  return what.checkpoint ? run_checkpoint(what, from, *model, pool, told) : run_gguf(what, from, model, pool, told);
}

}  // namespace tool
