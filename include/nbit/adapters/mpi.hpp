// nbit/adapters/mpi.hpp — statistics and layers over the ranks of an MPI communicator, with the bytes of one rank.
//
// The calibration text is cut into parts by its shape, never by the number of ranks; each part has statistics of its
// own. The running sum goes from rank to rank, each merges its parts in order, and the last tells all. So the order of
// additions is that of one rank that has all parts. Layers are independent: a rank solves every size-th of them.
// Not part of the umbrella header: needs <mpi.h> and its library.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ADAPTERS_MPI_HPP
#define NBIT_ADAPTERS_MPI_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <mpi.h>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/solver/calibration.hpp>

namespace nbit::mpi {

/// The half-open range of items [first, last) that a rank owns: all ranks' ranges in order make 0 .. n.
struct share {
  std::size_t first = 0, last = 0;
};

inline namespace NBIT_TAG {
namespace detail {

inline result<void> checked(int code, const char* what) {
  if (code == MPI_SUCCESS) return {};
  return make_error(errc::io, what, "an MPI call that succeeds").with(code);
}

/// Moves bytes in pieces that an int can count.
template <class Move>
inline result<void> in_pieces(std::byte* bytes, std::size_t size, Move&& move) {
  constexpr std::size_t most = std::size_t{1} << 28;
  for (std::size_t at = 0; at < size; at += most)
    if (auto done = move(bytes + at, static_cast<int>(size - at < most ? size - at : most)); !done) return done;
  return {};
}

/// Everything of merged statistics, array after array; both sides know the columns.
template <class Move>
inline result<void> all_arrays(hessian& h, Move&& move) {
  nbit::detail::gram_sums& g = nbit::detail::gram_access::of(h);
  nbit::detail::sequence_sums& q = g.by_sequence;
  std::uint64_t counts[6] = {g.tokens, g.sequences, g.blocks, g.magnitudes ? 1u : 0u, q.tokens, q.count};
  double sums[6] = {g.block_tokens_square, g.block_square, g.token_square, q.lengths_square, q.square, q.token_square};
  const auto array = [&](auto* first, std::size_t n) {
    return in_pieces(reinterpret_cast<std::byte*>(first), n * sizeof(*first), move);
  };
  if (auto done = array(counts, 6); !done) return done;
  if (auto done = array(sums, 6); !done) return done;
  if (auto done = array(q.sums.data(), q.sums.size()); !done) return done;  // merged: none is open
  if (auto done = array(g.f64.data(), g.f64.size()); !done) return done;
  if (auto done = array(g.f32.data(), g.f32.size()); !done) return done;
  if (auto done = array(g.two_f32.data(), g.two_f32.size()); !done) return done;
  if (auto done = array(g.sum_abs.data(), g.sum_abs.size()); !done) return done;
  if (auto done = array(g.max_abs.data(), g.max_abs.size()); !done) return done;
  g.tokens = counts[0], g.sequences = counts[1], g.blocks = counts[2], g.magnitudes = counts[3] != 0;
  g.block_tokens_square = sums[0], g.block_square = sums[1], g.token_square = sums[2];
  q.tokens = counts[4], q.count = counts[5];
  q.lengths_square = sums[3], q.square = sums[4], q.token_square = sums[5];
  return {};
}

}  // namespace detail

/// What this rank owns of n items.
inline share share_of(std::size_t n, MPI_Comm ranks) {
  int rank = 0, size = 1;
  MPI_Comm_rank(ranks, &rank);
  MPI_Comm_size(ranks, &size);
  const auto r = static_cast<std::size_t>(rank), s = static_cast<std::size_t>(size);
  return {n / s * r + (r < n % s ? r : n % s), n / s * (r + 1) + (r + 1 < n % s ? r + 1 : n % s)};
}

/// The sum of all ranks' parts, on every rank: parts in order, ranks in order, as one rank would merge them.
/// Needs: the same columns and storage everywhere; a rank may have no parts.  Errors: shape, out_of_memory, io.
/// Cost: one message of the triangle for each rank, one broadcast.
inline result<hessian> merge_parts(std::span<const hessian> mine, std::size_t cols, MPI_Comm ranks,
                                   gram_storage storage = gram_storage::f64) {
  int rank = 0, size = 1;
  MPI_Comm_rank(ranks, &rank);
  MPI_Comm_size(ranks, &size);
  auto sum = hessian::make(cols, storage);
  // A rank that fails must not leave the others waiting: the sum goes on, and then all hear of it.
  int failed = sum ? 0 : 1;
  if (MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, ranks) != MPI_SUCCESS || failed != 0)
    return sum ? make_error(errc::out_of_memory, "another rank has no memory for the statistics") : sum.error();
  if (rank != 0) {
    const auto received = detail::all_arrays(*sum, [&](std::byte* to, int n) {
      return detail::checked(MPI_Recv(to, n, MPI_BYTE, rank - 1, 0, ranks, MPI_STATUS_IGNORE), "receiving statistics");
    });
    if (!received) return received.error();
  }
  result<void> merged = {};
  for (const hessian& part : mine)
    if (auto done = sum->merge(part); !done && merged) merged = done;
  if (rank + 1 < size) {
    const auto sent = detail::all_arrays(*sum, [&](std::byte* from, int n) {
      return detail::checked(MPI_Send(from, n, MPI_BYTE, rank + 1, 0, ranks), "sending statistics");
    });
    if (!sent) return sent.error();
  }
  const auto told = detail::all_arrays(*sum, [&](std::byte* at, int n) {
    return detail::checked(MPI_Bcast(at, n, MPI_BYTE, size - 1, ranks), "broadcasting statistics");
  });
  if (!told) return told.error();
  failed = merged ? 0 : 1;
  if (auto done = detail::checked(MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, ranks), "merging"); !done)
    return done.error();
  if (!merged) return merged.error();
  if (failed != 0) return make_error(errc::shape, "another rank could not merge its statistics");
  return sum;
}

/// The bytes that the owner of a layer made, on rank `root`; elsewhere nothing is returned.  All ranks call it for the
/// same layers in the same order.  Errors: out_of_memory, io.
inline result<buffer<std::byte>> bring(std::span<const std::byte> made, int owner, int root, MPI_Comm ranks) {
  int rank = 0;
  MPI_Comm_rank(ranks, &rank);
  std::uint64_t size = made.size();
  if (rank == owner && rank != root) {
    if (auto done = detail::checked(MPI_Send(&size, 1, MPI_UINT64_T, root, 1, ranks), "sending a layer"); !done)
      return done.error();
    const auto sent = detail::in_pieces(const_cast<std::byte*>(made.data()), made.size(), [&](std::byte* from, int n) {
      return detail::checked(MPI_Send(from, n, MPI_BYTE, root, 1, ranks), "sending a layer");
    });
    if (!sent) return sent.error();
  }
  if (rank != root) return buffer<std::byte>();
  if (rank != owner)
    if (auto done =
            detail::checked(MPI_Recv(&size, 1, MPI_UINT64_T, owner, 1, ranks, MPI_STATUS_IGNORE), "receiving a layer");
        !done)
      return done.error();
  auto bytes = buffer<std::byte>::make(static_cast<std::size_t>(size));
  if (!bytes) return bytes.error();
  if (rank == owner) {
    if (!made.empty()) __builtin_memcpy(bytes->data(), made.data(), made.size());
    return bytes;
  }
  const auto received = detail::in_pieces(bytes->data(), bytes->size(), [&](std::byte* to, int n) {
    return detail::checked(MPI_Recv(to, n, MPI_BYTE, owner, 1, ranks, MPI_STATUS_IGNORE), "receiving a layer");
  });
  if (!received) return received.error();
  return bytes;
}

}  // namespace NBIT_TAG
}  // namespace nbit::mpi

#endif
