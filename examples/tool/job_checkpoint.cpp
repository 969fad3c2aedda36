// tool/job_checkpoint.cpp — writes a GPTQ checkpoint: a folder with safetensors and the configs that other programs
// read.
// SPDX-License-Identifier: MIT
#include <filesystem>

#include <nbit/io/json.hpp>
#include <nbit/io/safetensors_writer.hpp>

#include "job_parts.hpp"
#include "output.hpp"

namespace tool {

job_report run_checkpoint(const job& what, const source& from, const engine::model& model, const engine::workers& pool,
                          const engine::progress& told) {
  if (from.kind != container::safetensors)
    throw failure{bad_input,
                  "'" + from.path + "': a GPTQ checkpoint is made from a safetensors folder that is not quantized yet"};
  const uniform_type* const format = find_uniform_type(what.bits, what.group, what.symmetric);
  if (format == nullptr)
    throw failure{wrong_usage, "--bits, --group, --symmetric: " + std::to_string(what.bits) + ", " +
                                   std::to_string(what.group) + (what.symmetric ? ", symmetric" : ", asymmetric") +
                                   " is not compiled in; allowed: 3, 4 and 8 bits in groups of 32, 64, 128 or -1; "
                                   "2 bits in groups of 64 or 128; symmetric: 4 and 8 bits in groups of 128"};
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
      const std::uint64_t groups =
          what.group < 0 ? 1
                         : (k + static_cast<std::uint64_t>(what.group) - 1) / static_cast<std::uint64_t>(what.group);
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
    declare(t.stored_name,
            folded || t.type == nbit::ggml_type::f32 ? dtype::f32
            : t.type == nbit::ggml_type::f16         ? dtype::f16
                                                     : dtype::bf16,
            {t.ne.rbegin(), t.ne.rend()});
    if (folded) awaited.insert(t.stored_name);
  }

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
    solved_sink to;
    to.matrix = [&](const std::string& name, method how, const problem& p) {
      const nbit::gptq_tensors made = need(format->solve(how, p, what.settings, pool), "'" + name + "'");
      const std::string stem = checkpoint_name(name);
      for (const auto& [part, b] : {std::pair{".qweight", made.qweight.span()},
                                    {".qzeros", made.qzeros.span()},
                                    {".g_idx", made.g_idx.span()},
                                    {".scales", made.scales.span()}})
        out.offer(stem + part, {b.begin(), b.end()});
      return how == method::gptq ? gptq_dense(made.view(), config, name) : engine::linear();
    };
    to.norm = [&](const std::string& name, const std::vector<float>& values) {
      out.offer(checkpoint_name(name) + ".weight", as_bytes_of(values));
    };
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

}  // namespace tool
