// nbit/plan/allocation.hpp — which format each tensor gets, so that the measured loss is least within a budget of
// bytes.
//
// Losses are measured once for every tensor and format and added up; a measurement serves any budget. The choice is a
// multiple-choice knapsack: for a price per byte every tensor takes the format with the least loss + price * bytes; the
// price is bisected until the budget holds (such a choice is optimal for the bytes it takes), then the bytes that are
// left are spent exactly, by dynamic programming where the problem is small and by the best exchanges of one or two
// tensors otherwise. Tied tensors are one item; a floor forbids formats to an item.
// Ref: Shoham and Gersho 1988 (bit allocation by Lagrange multipliers).
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_ALLOCATION_HPP
#define NBIT_PLAN_ALLOCATION_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>

namespace nbit {

/// One format for one item: what it costs and what it loses.
struct allocation_choice {
  std::string format;  // a name the caller understands: a GGUF type, "w4g128", a mix of widths
  std::uint64_t bytes = 0;
  double loss = 0;
};

/// Tensors that must have one format: one tensor, or several that are tied or stored together.
struct allocation_item {
  std::vector<std::string> tensors;
  std::uint64_t weights = 0;
  std::string role;  // "ffn_down", "output", ...: floors go by it
  std::vector<allocation_choice> choices;
};

/// The least bits per weight that a role may get; formats below it are not chosen.
struct allocation_floor {
  std::string role;
  double bits_per_weight = 0;
};

/// The budget: bytes of all items together, or bits per weight when that is not 0.
struct allocation_options {
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  std::span<const allocation_floor> floors = {};
};

/// The chosen format of every item, and the sums.
struct allocation {
  std::vector<std::size_t> choice;  // index into each item's choices
  std::uint64_t bytes = 0;
  double loss = 0;
  double price = 0;        // loss per byte at the budget: what one more byte would save
  double lower_bound = 0;  // no choice within the budget loses less than this
};

inline namespace NBIT_TAG {
namespace detail {

/// An item's choices that may be best for some price, cheapest first: the lower convex hull of (bytes, loss).
struct allocation_hull {
  std::vector<std::size_t> allowed;  // by bytes; dominated ones left out
  std::vector<std::size_t> corners;
};

inline allocation_hull hull_of(const allocation_item& item, double least_bits) {
  allocation_hull h;
  for (std::size_t k = 0; k < item.choices.size(); ++k)
    if (8.0 * static_cast<double>(item.choices[k].bytes) >= least_bits * static_cast<double>(item.weights) - 1e-9)
      h.allowed.push_back(k);
  const auto& c = item.choices;
  sort(h.allowed.data(), h.allowed.size(), [&c](std::size_t a, std::size_t b) {
    if (c[a].bytes != c[b].bytes) return c[a].bytes < c[b].bytes;
    return c[a].loss < c[b].loss || (c[a].loss == c[b].loss && a < b);
  });
  std::vector<std::size_t> kept;
  for (const std::size_t k : h.allowed)
    if (kept.empty() || c[k].loss < c[kept.back()].loss) kept.push_back(k);
  h.allowed = kept;
  const auto slope = [&c](std::size_t a, std::size_t b) {  // loss saved per byte from a to b
    return (c[a].loss - c[b].loss) / static_cast<double>(c[b].bytes - c[a].bytes);
  };
  for (const std::size_t k : h.allowed) {
    while (h.corners.size() >= 2 &&
           slope(h.corners[h.corners.size() - 2], h.corners.back()) <= slope(h.corners.back(), k))
      h.corners.pop_back();
    h.corners.push_back(k);
  }
  return h;
}

/// Spends the bytes that are left: all states of (bytes, loss) worth keeping, item after item, while there are few.
inline bool finish_exactly(std::span<const allocation_item> items, std::span<const allocation_hull> hulls,
                           std::uint64_t budget, allocation& best) {
  constexpr std::size_t most_states = 1 << 18;
  struct state {
    std::uint64_t bytes;
    double loss;
    std::uint32_t before, choice;
  };
  // What the items behind cost and lose at least, to drop states that cannot win.
  std::vector<std::uint64_t> rest_bytes(items.size() + 1, 0);
  std::vector<double> rest_score(items.size() + 1, 0.0);
  for (std::size_t i = items.size(); i-- > 0;) {
    std::uint64_t bytes = UINT64_MAX;
    double score = 1e300;
    for (const std::size_t k : hulls[i].allowed) {
      const allocation_choice& c = items[i].choices[k];
      bytes = c.bytes < bytes ? c.bytes : bytes;
      const double priced = c.loss + best.price * static_cast<double>(c.bytes);
      score = priced < score ? priced : score;
    }
    rest_bytes[i] = rest_bytes[i + 1] + bytes, rest_score[i] = rest_score[i + 1] + score;
  }
  std::vector<std::vector<state>> levels{{{0, 0.0, 0, 0}}};
  for (std::size_t i = 0; i < items.size(); ++i) {
    // Every choice moves the states before, which rise in bytes, by the same bytes: the lists are merged as they are.
    const std::vector<state>& before = levels.back();
    const std::vector<std::size_t>& allowed = hulls[i].allowed;
    std::vector<std::size_t> at(allowed.size(), 0);
    std::vector<state> kept;
    for (;;) {
      std::size_t from = allowed.size();
      state least{};
      for (std::size_t k = 0; k < allowed.size(); ++k) {
        if (at[k] == before.size()) continue;
        const allocation_choice& c = items[i].choices[allowed[k]];
        const state s{before[at[k]].bytes + c.bytes, before[at[k]].loss + c.loss, static_cast<std::uint32_t>(at[k]),
                      static_cast<std::uint32_t>(allowed[k])};
        if (from == allowed.size() || s.bytes < least.bytes || (s.bytes == least.bytes && s.loss < least.loss))
          from = k, least = s;
      }
      // The rest takes at least its bytes.
      if (from == allowed.size() || least.bytes > budget || budget - least.bytes < rest_bytes[i + 1]) break;
      ++at[from];
      // Within the budget the rest loses at least its score less the price of the bytes it may take.
      if (least.loss + rest_score[i + 1] - best.price * static_cast<double>(budget - least.bytes) > best.loss) continue;
      if (!kept.empty() && !(least.loss < kept.back().loss)) continue;
      if (kept.size() == most_states) return false;
      kept.push_back(least);
    }
    if (kept.empty()) return true;  // nothing beats what is there
    levels.push_back(std::move(kept));
  }
  std::size_t at = levels.back().size() - 1;  // the most bytes and the least loss
  if (levels.back()[at].loss > best.loss) return true;
  best.loss = levels.back()[at].loss, best.bytes = levels.back()[at].bytes;
  for (std::size_t i = items.size(); i-- > 0;) {
    best.choice[i] = levels[i + 1][at].choice;
    at = levels[i + 1][at].before;
  }
  return true;
}

/// Exchanges of one or two items' choices that fit the budget and lower the loss, until none is left.
inline void finish_by_exchange(std::span<const allocation_item> items, std::span<const allocation_hull> hulls,
                               std::uint64_t budget, allocation& best) {
  for (int round = 0; round < 1000; ++round) {
    double gain = 0;
    std::size_t at[2] = {}, to[2] = {};
    const auto change = [&](std::size_t i, std::size_t k, std::int64_t& bytes, double& loss) {
      const auto &was = items[i].choices[best.choice[i]], &is = items[i].choices[k];
      bytes = static_cast<std::int64_t>(is.bytes) - static_cast<std::int64_t>(was.bytes), loss = is.loss - was.loss;
    };
    const auto left = static_cast<std::int64_t>(budget - best.bytes);
    for (std::size_t i = 0; i < items.size(); ++i)
      for (const std::size_t k : hulls[i].allowed) {
        std::int64_t bytes = 0;
        double loss = 0;
        change(i, k, bytes, loss);
        if (bytes <= left && loss < gain) gain = loss, at[0] = at[1] = i, to[0] = to[1] = k;
        for (std::size_t j = 0; j < i; ++j)
          for (const std::size_t l : hulls[j].allowed) {
            std::int64_t other = 0;
            double also = 0;
            change(j, l, other, also);
            if (bytes + other <= left && loss + also < gain)
              gain = loss + also, at[0] = i, to[0] = k, at[1] = j, to[1] = l;
          }
      }
    if (!(gain < -1e-12 * best.loss)) return;
    for (int side = 0; side < (at[0] == at[1] ? 1 : 2); ++side) {
      std::int64_t bytes = 0;
      double loss = 0;
      change(at[side], to[side], bytes, loss);
      best.bytes += static_cast<std::uint64_t>(bytes), best.loss += loss, best.choice[at[side]] = to[side];
    }
  }
}

}  // namespace detail

/// Chooses a format for every item.
/// Errors: invalid_option when no choice fits (found = the bytes needed), when an item has no choice left or a loss is
/// no finite number >= 0; overflow.
[[nodiscard]] inline result<allocation> allocate(std::span<const allocation_item> items, const allocation_options& o) {
  std::uint64_t weights = 0, least = 0, all = 0;
  std::vector<detail::allocation_hull> hulls;
  for (const allocation_item& item : items) {
    const std::string_view name = item.tensors.empty() ? std::string_view(item.role) : item.tensors.front();
    double floor = 0;
    for (const allocation_floor& f : o.floors)
      if (f.role == item.role) floor = f.bits_per_weight > floor ? f.bits_per_weight : floor;
    std::uint64_t most = 0;
    for (const allocation_choice& c : item.choices) {
      most = c.bytes > most ? c.bytes : most;
      if (!(c.loss >= 0 && c.loss <= 1e300))
        return make_error(errc::invalid_option, "a measured loss is no finite number", "0 or more").about(name);
    }
    hulls.push_back(detail::hull_of(item, floor));
    if (hulls.back().allowed.empty())
      return make_error(errc::invalid_option, "no format is left for a tensor", "one at or above the floor of its role")
          .about(name);
    const std::uint64_t bytes = item.choices[hulls.back().allowed.front()].bytes;
    if (weights + item.weights < weights || all + most < all || all + most > UINT64_MAX / 4)
      return make_error(errc::overflow, "the tensors' bytes do not fit 62 bits").about(name);
    weights += item.weights, least += bytes, all += most;
  }
  std::uint64_t budget = o.bytes;
  if (o.bits_per_weight != 0) {
    if (!(o.bits_per_weight > 0 && o.bits_per_weight <= 64))
      return make_error(errc::invalid_option, "bits per weight are out of range", "above 0, up to 64");
    budget = static_cast<std::uint64_t>(o.bits_per_weight * static_cast<double>(weights) / 8.0);
  }
  if (budget < least)
    return make_error(errc::invalid_option, "the budget is below the smallest choice of all tensors (in bytes)")
        .with(static_cast<std::int64_t>(least));

  // Steps between the corners of all hulls, the ones that save most per byte first: each prefix is optimal for its
  // price.
  struct step {
    double price;
    std::size_t item, corner;
  };
  std::vector<step> steps;
  allocation a;
  a.bytes = least;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto& corners = hulls[i].corners;
    a.choice.push_back(corners.front());
    a.loss += items[i].choices[corners.front()].loss;
    for (std::size_t k = 1; k < corners.size(); ++k) {
      const allocation_choice &from = items[i].choices[corners[k - 1]], &to = items[i].choices[corners[k]];
      steps.push_back({(from.loss - to.loss) / static_cast<double>(to.bytes - from.bytes), i, k});
    }
  }
  detail::sort(steps.data(), steps.size(), [](const step& x, const step& y) {
    if (x.price != y.price) return x.price > y.price;
    return x.item < y.item || (x.item == y.item && x.corner < y.corner);
  });
  a.lower_bound = a.loss;
  std::vector<unsigned char> stopped(items.size(), 0);
  bool bounded = false;
  for (const step& s : steps) {
    const auto& corners = hulls[s.item].corners;
    const allocation_choice &from = items[s.item].choices[corners[s.corner - 1]],
                            &to = items[s.item].choices[corners[s.corner]];
    const std::uint64_t more = to.bytes - from.bytes;
    if (!bounded && more > budget - a.bytes) {
      // The first step that does not fit, taken in part: the bound of the relaxed problem.
      bounded = true, a.price = s.price;
      a.lower_bound = a.loss - s.price * static_cast<double>(budget - a.bytes);
    }
    if (stopped[s.item] != 0 || more > budget - a.bytes) {
      stopped[s.item] = 1;
      continue;
    }
    a.bytes += more, a.loss -= from.loss - to.loss, a.choice[s.item] = corners[s.corner];
  }
  if (!bounded) a.lower_bound = a.loss;
  if (bounded && !detail::finish_exactly(items, hulls, budget, a)) detail::finish_by_exchange(items, hulls, budget, a);
  a.bytes = 0, a.loss = 0;
  for (std::size_t i = 0; i < items.size(); ++i)
    a.bytes += items[i].choices[a.choice[i]].bytes, a.loss += items[i].choices[a.choice[i]].loss;
  return a;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
