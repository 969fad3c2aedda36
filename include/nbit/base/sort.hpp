// nbit/base/sort.hpp — sorting in place, the same order with every standard library.
//
// Heap sort: no memory, n log n whatever the input. std::sort would bring <algorithm> into every unit, and puts equal
// items in an order of its own.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_SORT_HPP
#define NBIT_BASE_SORT_HPP

#include <cstddef>
#include <utility>

#include <nbit/base/config.hpp>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Sorts by before(a, b), a strict weak order, or rising; equal items end in no particular order.
template <class T, class Before>
void sort(T* items, std::size_t count, Before before) {
  const auto sink = [items, before](std::size_t at, std::size_t end) {
    T held = std::move(items[at]);
    for (std::size_t child = 2 * at + 1; child < end; child = 2 * at + 1) {
      if (child + 1 < end && before(items[child], items[child + 1])) ++child;
      if (!before(held, items[child])) break;
      items[at] = std::move(items[child]);
      at = child;
    }
    items[at] = std::move(held);
  };
  for (std::size_t at = count / 2; at-- > 0;) sink(at, count);
  for (std::size_t last = count; last-- > 1;) {
    std::swap(items[0], items[last]);
    sink(0, last);
  }
}
template <class T>
void sort(T* items, std::size_t count) {
  detail::sort(items, count, [](const T& a, const T& b) { return a < b; });
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
