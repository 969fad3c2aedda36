// nbit/arch/tile_registers.inl — the tiles of AMX; included by arch/matrix_unit.hpp. A test puts loops in their place.
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 2
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct tile_registers<NBIT_ARCH> {
  NBIT_INLINE static void configure(const void* p) { _tile_loadconfig(p); }
  NBIT_INLINE static void release() { _tile_release(); }
  NBIT_INLINE static void zero() { _tile_zero(0); }
  NBIT_INLINE static void multiply_add(const std::int8_t* tokens, std::size_t token_stride, const std::byte* rows,
                                       std::size_t row_stride) {
    _tile_loadd(1, tokens, token_stride);
    _tile_loadd(2, rows, row_stride);
    _tile_dpbsud(0, 1, 2);
  }
  NBIT_INLINE static void store(std::int32_t* to, std::size_t stride) { _tile_stored(0, to, stride); }
};

}  // namespace NBIT_TAG
}  // namespace nbit
#endif
