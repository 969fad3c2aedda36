// engine/load.hpp — a model by path: a .gguf file, a .safetensors file with config.json beside it, or a folder with both.
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

namespace engine {

/// The one safetensors file of a checkpoint folder whose name begins with "model".  Errors: missing, duplicate.
inline nbit::result<std::filesystem::path> model_file(const std::filesystem::path& folder) {
  std::filesystem::path found;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::filesystem::path& p = entry.path();
    if (p.extension() != ".safetensors" || p.filename().string().substr(0, 5) != "model") continue;
    if (!found.empty())
      return nbit::make_error(nbit::errc::duplicate, "the folder holds several model files; name one", "one model*.safetensors")
          .about(folder.string());
    found = p;
  }
  if (failed) return nbit::make_error(nbit::errc::io, "the folder cannot be read").about(folder.string()).with(failed.value());
  if (found.empty())
    return nbit::make_error(nbit::errc::missing, "the folder holds no model", "one model*.safetensors").about(folder.string());
  return found;
}

/// A model from a file or a folder.  Errors: those of load_gguf and load_safetensors; unsupported for other names.
inline nbit::result<model> load(const std::string& path) {
  std::filesystem::path file = path;
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) {
    const auto inside = model_file(file);
    if (!inside) return inside.error();
    file = *inside;
  }
  if (file.extension() == ".gguf") return load_gguf(file.string());
  if (file.extension() == ".safetensors") return load_safetensors(file.string(), (file.parent_path() / "config.json").string());
  return nbit::make_error(nbit::errc::unsupported, "this is no model's name", "a name ending in .gguf or .safetensors, or a folder")
      .about(path);
}

}  // namespace engine

#endif
