// examples/04_gguf.cpp — write a GGUF file, map it, and multiply with the weights where they lie.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#include <nbit/nbit.hpp>

namespace {

nbit::result<void> write_file(const char* path, const nbit::packed_matrix<nbit::q4_k>& weights) {
  nbit::gguf::writer writer;
  if (auto set = writer.set("general.architecture", "example"); !set) return set;
  const std::uint64_t ne[] = {weights.cols, weights.rows};  // GGUF counts columns first
  if (auto declared = writer.declare("blk.0.ffn_up.weight", ne, nbit::ggml_type::q4_k); !declared) return declared;
  auto file = nbit::atomic_file::create(path);  // a temporary beside the target until commit()
  if (!file) return file.error();
  auto stream = writer.begin(*file);
  if (!stream) return stream.error();
  if (auto written = stream->write("blk.0.ffn_up.weight", weights.bytes.span()); !written) return written;
  if (auto finished = stream->finish(); !finished) return finished;
  return file->commit();
}

int fail(const nbit::error& e) { return std::printf("error: %s %s (allowed: %s)\n", e.what, e.subject, e.allowed), 1; }

}  // namespace

int main() {
  constexpr std::size_t rows = 32, cols = 512;
  nbit::random_stream numbers(4);
  std::vector<float> weights(rows * cols), x(cols, 0.5f), y(rows);
  for (float& v : weights) v = 0.2f * numbers.uniform() - 0.1f;

  const auto q = nbit::quantize<nbit::q4_k>({weights.data(), rows, cols});
  if (!q) return fail(q.error());
  const char* const path = "example_04.gguf";
  if (auto written = write_file(path, *q); !written) return fail(written.error());

  const auto file = nbit::gguf::open(path);  // mapped and validated; no weight is copied
  if (!file) return fail(file.error());
  const auto w = file->tensor("blk.0.ffn_up.weight").as<nbit::q4_k>();
  if (!w) return fail(w.error());
  nbit::gemv(*w, x, y);
  std::printf("%s: %zu x %zu, first output %.4f\n", path, w->rows, w->cols, double(y[0]));

  const auto wrong = file->tensor("blk.0.ffn_up.weight").as<nbit::q6_k>();
  std::printf("asked for Q6_K: %s, allowed here: %s\n", wrong ? "accepted" : wrong.error().what, wrong ? "" : "Q4_K");
  std::remove(path);
  return wrong ? 1 : 0;
}
