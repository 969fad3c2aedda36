// engine/load.hpp — a model by path: a .gguf file, a .safetensors file with config.json beside it, or a folder with
// both.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_LOAD_HPP
#define ENGINE_LOAD_HPP

#include <filesystem>
#include <string>
#include <system_error>

#include <nbit/base/result.hpp>

#include <engine/load_gguf.hpp>
#include <engine/load_safetensors.hpp>
#include <engine/model.hpp>
#include <engine/tokenizer.hpp>

namespace engine {

/// The one safetensors file of a checkpoint folder whose name begins with "model".  Errors: missing, duplicate.
inline nbit::result<std::filesystem::path> model_file(const std::filesystem::path& folder) {
  std::filesystem::path found;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::filesystem::path& p = entry.path();
    if (p.extension() != ".safetensors" || p.filename().string().substr(0, 5) != "model") continue;
    if (!found.empty())
      return nbit::make_error(nbit::errc::duplicate, "the folder holds several model files; name one",
                              "one model*.safetensors")
          .about(folder.string());
    found = p;
  }
  if (failed)
    return nbit::make_error(nbit::errc::io, "the folder cannot be read").about(folder.string()).with(failed.value());
  if (found.empty())
    return nbit::make_error(nbit::errc::missing, "the folder holds no model", "one model*.safetensors")
        .about(folder.string());
  return found;
}

/// The file that a model's path means: itself, or the model file of a folder.
inline nbit::result<std::filesystem::path> file_of(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return model_file(path);
  return std::filesystem::path(path);
}

/// A model from a file or a folder.  Errors: those of load_gguf and load_safetensors; unsupported for other names.
inline nbit::result<model> load(const std::string& path) {
  const auto file = file_of(path);
  if (!file) return file.error();
  if (file->extension() == ".gguf") return load_gguf(file->string());
  if (file->extension() == ".safetensors")
    return load_safetensors(file->string(), (file->parent_path() / "config.json").string());
  return nbit::make_error(nbit::errc::unsupported, "this is no model's name",
                          "a name ending in .gguf or .safetensors, or a folder")
      .about(path);
}

/// The tokenizer of a model: in the GGUF file, or tokenizer.json beside the checkpoint.
/// Errors: those of tokenizer::from_gguf and tokenizer::from_json.
inline nbit::result<tokenizer> load_tokenizer(const std::string& path) {
  const auto file = file_of(path);
  if (!file) return file.error();
  if (file->extension() == ".gguf") {
    const auto opened = nbit::gguf::open(file->string());
    if (!opened) return opened.error();
    return tokenizer::from_gguf(*opened);
  }
  const auto json = load_json((file->parent_path() / "tokenizer.json").string());
  if (!json) return json.error();
  return tokenizer::from_json(*json);
}

}  // namespace engine

#endif
