// tests/format/ggml_shells_test.cpp — neighbours off a lattice against their definition, for every place there is.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_neighbours.hpp>
#include <nbit/format/ggml_shells.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace {

/// Every place: on the lattice no neighbours and the right index, off it all points of the nearest shells and no other.
template <class Grid>
void check_every_place() {
  nbit::ggml_block::lattice_shells<Grid> found;
  for (int j = 0; j < Grid::points; ++j) {
    REQUIRE(nbit::ggml_block::lattice_rows<Grid>::index_of(Grid::keys[j]) == j);
    nbit::ggml_block::find_shells<Grid>(Grid::keys[j], found);
    REQUIRE(found.count == 0);
  }
  const int mask = (1 << Grid::bits) - 1, places = 1 << (Grid::bits * Grid::dims);
  int off = 0;
  for (int place = 0; place < places; ++place) {
    bool real = true;
    for (int i = 0; i < Grid::dims; ++i) real = real && (place >> (Grid::bits * i) & mask) < Grid::levels;
    // A ninth of the places of eight coordinates keeps the test short; the cuts of keys do not repeat every nine.
    if (!real || (Grid::dims == 8 && place % 9 != 4)) continue;
    std::vector<std::int32_t> expected;
    std::vector<int> distances;
    for (int j = 0; j < Grid::points; ++j) {
      int d = 0;
      for (int i = 0; i < Grid::dims; ++i) {
        const int diff = (place >> (Grid::bits * i) & mask) - (Grid::keys[j] >> (Grid::bits * i) & mask);
        d += diff * diff;
      }
      distances.push_back(d);
      expected.push_back(d << 16 | Grid::keys[j]);
    }
    std::sort(expected.begin(), expected.end());
    std::sort(distances.begin(), distances.end());
    if (distances[0] == 0) continue;
    distances.erase(std::unique(distances.begin(), distances.end()), distances.end());
    const int radius = distances[std::size_t(Grid::shells) - 1];
    expected.erase(std::find_if(expected.begin(), expected.end(), [&](std::int32_t r) { return r >> 16 > radius; }),
                   expected.end());
    nbit::ggml_block::find_shells<Grid>(static_cast<unsigned>(place), found);
    for (std::int32_t& rank : expected) rank &= 0xffff;  // in order of distance, then of index
    REQUIRE(std::vector<std::int32_t>(found.key, found.key + found.count) == expected);
    ++off;
  }
  REQUIRE(off > 300);
}

}  // namespace

TEST_CASE("the neighbours of every place off the 4-dimensional lattices are the points of the nearest shells") {
  check_every_place<nbit::iq3_xxs_grid>();
  check_every_place<nbit::iq3_s_grid>();
}

TEST_CASE("the neighbours of places off the 8-dimensional lattices are the points of the nearest shells") {
  check_every_place<nbit::iq2_xxs_grid>();
  check_every_place<nbit::iq2_xs_grid>();
  check_every_place<nbit::iq2_s_grid>();
  check_every_place<nbit::iq1_grid>();
}

TEST_CASE("of equally good neighbours the nearer shell wins, then the lower index") {
  using grid = nbit::iq3_s_grid;
  nbit::ggml_block::lattice_shells<grid> found;
  const float x[4] = {1, 1, 1, 1}, nothing[4] = {}, worth[8] = {1, 3, 5, 7, 9, 11, 13, 15};
  for (unsigned place = 0; place < 4096; ++place) {
    nbit::ggml_block::find_shells<grid>(place, found);
    if (found.count == 0) continue;
    const auto best =
        nbit::ggml_block::best_neighbours<grid>(found, x, nothing, nbit::ggml_block::four_floats{} + 1.0f, worth);
    for (int lane = 0; lane < 4; ++lane) REQUIRE(best[lane] == found.key[0]);
  }
}

namespace {

/// The memo has what find_shells finds, also after it forgot all, and its bound on the length of a list holds.
template <class Grid>
void check_memo() {
  using memo = nbit::ggml_block::neighbour_memo<Grid>;
  const auto known = std::make_unique<memo>();
  known->clear();
  nbit::ggml_block::lattice_shells<Grid> found;
  std::uint32_t before = 0;
  int forgotten = 0;
  for (int turn = 0; turn < 3; ++turn)
    for (unsigned place = 0; place < 1u << (Grid::bits * Grid::dims); ++place) {
      bool real = true;
      for (int i = 0; i < Grid::dims; ++i)
        real = real && int(place >> (Grid::bits * i) & ((1u << Grid::bits) - 1u)) < Grid::levels;
      if (!real) continue;
      known->make_room(1);
      forgotten += known->used < before;
      const auto list = known->at(place);
      before = known->used;
      nbit::ggml_block::find_shells<Grid>(place, found);
      if (found.count == 0) found.key[0] = static_cast<std::uint16_t>(place), found.count = 1;
      REQUIRE(found.count <= int(memo::longest));
      REQUIRE(std::vector<int>(list.keys, list.keys + list.count) ==
              std::vector<int>(found.key, found.key + found.count));
    }
  // IQ2_XS has more neighbours than there is room for.
  REQUIRE((forgotten > 0) == (Grid::points == 512 && Grid::dims == 8));
}

}  // namespace

TEST_CASE("a memo of neighbours answers as the search does") {
  check_memo<nbit::iq3_xxs_grid>();
  check_memo<nbit::iq3_s_grid>();
  check_memo<nbit::iq2_xxs_grid>();
  check_memo<nbit::iq2_xs_grid>();
  check_memo<nbit::iq2_s_grid>();
}
