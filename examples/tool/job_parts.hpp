// tool/job_parts.hpp — what writing a GGUF file and writing a checkpoint share.
// SPDX-License-Identifier: MIT
#ifndef TOOL_JOB_PARTS_HPP
#define TOOL_JOB_PARTS_HPP

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nbit/base/bits.hpp>

#include "failure.hpp"
#include "job.hpp"

namespace tool {

using bytes = std::vector<std::byte>;

inline bytes as_bytes_of(const std::vector<float>& values) {
  bytes out(values.size() * sizeof(float));
  for (std::size_t i = 0; i < values.size(); ++i) nbit::store_f32(out.data() + i * sizeof(float), values[i]);
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

  /// Failure: a name that nobody awaits.
  void offer(const std::string& name, bytes made) {
    if (awaited_.count(name) == 0) throw failure{bad_input, "'" + name + "': made, but not declared"};
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
        throw failure{bad_input,
                      "'" + name + "': the model does not run this matrix, so it has no inputs to calibrate with"};
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

/// The matrices of the blocks of a model that a solver with statistics takes care of.
inline bool is_block_matrix(const engine::model* m, const std::string& name) {
  return m != nullptr && name.substr(0, 4) == "blk." && m->find(name) != nullptr;
}

inline bool is_block_norm(const std::string& name) {
  return name.substr(0, 4) == "blk." &&
         (name.find(".attn_norm.weight") != std::string::npos || name.find(".ffn_norm.weight") != std::string::npos);
}

/// The bytes that an earlier run left under this name, or those that make() makes, which are kept.
template <class Make>
bytes recalled(run_state* state, const std::string& name, const Make& make) {
  if (state != nullptr && state->has(name)) return {state->at(name).begin(), state->at(name).end()};
  bytes made = make();
  if (state != nullptr) state->keep(name, made);
  return made;
}

job_report run_gguf(const job& what, const source& from, const engine::model* model, const engine::workers& pool,
                    const engine::progress& told, bool dry);
job_report run_checkpoint(const job& what, const source& from, const engine::model& model, const engine::workers& pool,
                          const engine::progress& told, bool dry);

}  // namespace tool

#endif
