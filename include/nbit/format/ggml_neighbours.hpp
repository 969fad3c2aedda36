// nbit/format/ggml_neighbours.hpp — neighbours of places off a lattice that were found before, in memory of the caller.
//
// Encoders ask for the same few thousand places again and again; each is searched for once. Where room ends all is
// forgotten and found anew, so the size decides how fast that is and nothing else.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_NEIGHBOURS_HPP
#define NBIT_FORMAT_GGML_NEIGHBOURS_HPP

#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/format/ggml_shells.hpp>

#if !defined(__CUDACC_RTC__)  // for encoders on the host alone

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

template <class Grid>
struct neighbour_memo {
  using halves = half_rings<Grid::dims>;
  static constexpr std::uint32_t room = Grid::dims == 4 ? 48u << 10 : 160u << 10;  // all of most lattices
  static constexpr std::uint32_t longest = Grid::dims == 4 ? 40 : 296;             // ggml_shells_test looks

  /// The points that compete for a place, in the order of find_shells; a point has itself alone. Readable up to a
  /// multiple of 8.
  struct list {
    const std::uint16_t* keys;
    int count;
  };

  std::uint32_t found[halves::halves * halves::halves];  // start / 8 << 9 | count; 0: not asked for yet
  std::uint32_t used;
  std::uint16_t keys[room];

  void clear() {
    for (std::uint32_t& f : found) f = 0;
    used = 0;
  }
  /// Until `places` more were asked for, lists stay where they are.
  NBIT_HOST_INLINE void make_room(int places) {
    if (room - used < static_cast<std::uint32_t>(places) * longest) clear();
  }
  /// Needs: make_room.
  NBIT_HOST_INLINE list at(unsigned key) {
    const unsigned low = halves::rings.place[key & ((1u << halves::key_bits) - 1u)];
    std::uint32_t& f = found[low + unsigned(halves::halves) * halves::rings.place[key >> halves::key_bits]];
    if (f == 0) f = find(key);
    return {keys + (f >> 9) * 8, static_cast<int>(f & 511u)};
  }

 private:
  NBIT_NOINLINE std::uint32_t find(unsigned key) {
    lattice_shells<Grid> shells;
    find_shells<Grid>(key, shells);
    if (shells.count == 0) shells.key[0] = static_cast<std::uint16_t>(key), shells.count = 1;
    const std::uint32_t start = used, count = static_cast<std::uint32_t>(shells.count);
    for (std::uint32_t i = 0; i < count; ++i) keys[start + i] = shells.key[i];
    for (used += count; used % 8 != 0; ++used) keys[used] = 0;
    return start / 8 << 9 | count;
  }
};

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

#endif  // __CUDACC_RTC__

#endif
