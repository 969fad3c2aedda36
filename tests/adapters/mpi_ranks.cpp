// tests/adapters/mpi_ranks.cpp — run with any number of ranks; prints one line of hashes that must not depend on it.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include <nbit/format/presets.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/adapters/mpi.hpp>

#include "support/random.hpp"

namespace {

std::uint64_t hash(std::span<const std::byte> bytes, std::uint64_t h = 1469598103934665603u) {
  for (const std::byte b : bytes) h = (h ^ static_cast<std::uint64_t>(b)) * 1099511628211u;
  return h;
}

int fail(const char* what) {
  std::fprintf(stderr, "mpi_ranks: %s\n", what);
  MPI_Abort(MPI_COMM_WORLD, 1);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  // Ten parts of a text, each of a length of its own.
  constexpr std::size_t cols = 80, parts = 10, layers = 5, rows = 40;
  const nbit::mpi::share mine = nbit::mpi::share_of(parts, MPI_COMM_WORLD);
  std::vector<nbit::hessian> statistics;
  for (std::size_t p = mine.first; p < mine.last; ++p) {
    nbit_test::random rng(p + 1);
    const std::size_t tokens = 100 + 150 * p;
    const std::vector<float> x = rng.normals(tokens * cols);
    statistics.emplace_back(cols);
    if (!statistics.back().add({x.data(), tokens, cols})) return fail("add");
    statistics.back().end_sequence();
  }
  const auto all = nbit::mpi::merge_parts(statistics, cols, MPI_COMM_WORLD);
  if (!all) return fail(all.error().what);
  std::vector<float> gram(cols * cols);
  all->write({gram.data(), cols, cols});
  const double facts[] = {all->shrinkage(), double(all->tokens()), double(all->sequences()), all->mean_diagonal()};
  const std::uint64_t h = hash(std::as_bytes(std::span(facts)), hash(std::as_bytes(std::span(gram))));

  // Every rank solves its layers; rank 0 puts the codes together in order.
  std::uint64_t codes_hash = 0;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const int owner = static_cast<int>(layer % static_cast<std::size_t>(size));
    nbit::gptq_result<nbit::w4g128> solved;
    std::span<const std::byte> made;
    if (owner == rank) {
      nbit_test::random rng(100 + layer);
      const std::vector<float> w = rng.normals(rows * cols);
      auto done = nbit::gptq<nbit::w4g128>({w.data(), rows, cols}, *all);
      if (!done) return fail(done.error().what);
      solved = *std::move(done);
      made = std::as_bytes(solved.codes.codes.span());
    }
    const auto bytes = nbit::mpi::bring(made, owner, 0, MPI_COMM_WORLD);
    if (!bytes) return fail(bytes.error().what);
    codes_hash = hash(bytes->span(), codes_hash ^ bytes->size());
  }
  // Every rank must have the same sums.
  std::uint64_t least = h, most = h;
  MPI_Allreduce(MPI_IN_PLACE, &least, 1, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
  MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
  if (least != most) return fail("ranks have different sums");
  if (rank == 0) std::printf("gram %016llx codes %016llx\n", (unsigned long long)h, (unsigned long long)codes_hash);
  MPI_Finalize();
  return 0;
}
