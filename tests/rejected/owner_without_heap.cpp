// tests/rejected/owner_without_heap.cpp — NBIT_NO_HEAP removes owning types; views stay.
// SPDX-License-Identifier: MIT
// expect: (packed_matrix|has not been declared|is not a member|no template named)
#define NBIT_NO_HEAP
#include <nbit/format/presets.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>

#ifdef NBIT_REJECT
std::size_t rows(const nbit::packed_matrix<nbit::w4g32>& m) { return m.rows; }
#else
std::size_t rows(const nbit::packed_view<nbit::w4g32>& m) { return m.rows; }
#endif
