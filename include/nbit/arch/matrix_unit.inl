// nbit/arch/matrix_unit.inl — matrix_unit<Arch>; included by arch/matrix_unit.hpp.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 2

template <>
struct matrix_unit<NBIT_ARCH> {
  using tiles = tile_registers<NBIT_ARCH>;
  static constexpr std::size_t tokens = 16, least = 8;
  template <std::size_t Segment>
  static constexpr std::size_t depth = Segment < 64 ? Segment : 64;

  NBIT_INLINE static void weave(std::byte*) {}

  /// Tile 0: sums, 16 tokens x 16 rows. Tile 1: tokens x depth. Tile 2: depth / 4 steps of sixteen rows.
  template <std::size_t Segment>
  struct session {
    NBIT_INLINE session() {
      alignas(64) std::uint8_t config[64] = {1};  // palette 1; bytes 16 ...: bytes of a line, 48 ...: lines
      const std::uint16_t bytes[3] = {64, depth<Segment>, 64};
      std::memcpy(config + 16, bytes, sizeof bytes);
      config[48] = config[49] = tokens, config[50] = depth<Segment> / 4;
      barrier();
      tiles::configure(config);
    }
    NBIT_INLINE ~session() { tiles::release(); }
    session(const session&) = delete;
    session& operator=(const session&) = delete;
  };

  template <std::size_t Segment>
  NBIT_INLINE static void multiply(const std::byte* rows, const std::int8_t* x, std::size_t columns, std::size_t,
                                   std::int32_t* sums) {
    barrier();
    tiles::zero();
    for (std::size_t c = 0; c < columns; c += depth<Segment>)
      tiles::multiply_add(x + c * tokens, depth<Segment>, rows + c * 16, 64);
    tiles::store(sums, 64);
  }

 private:
  // g++'s intrinsics do not say that they read memory
  NBIT_INLINE static void barrier() { __asm__ volatile("" ::: "memory"); }
};

#elif NBIT_TARGET == 3

template <>
struct matrix_unit<NBIT_ARCH> {
  static constexpr std::size_t tokens = 6, least = 5;
  template <std::size_t>
  static constexpr std::size_t depth = 8;
  template <std::size_t>
  struct session {};

  /// Two steps at a time: eight columns of row 0, of row 1, ...
  NBIT_INLINE static void weave(std::byte* block) {
    for (std::size_t s = 0; s < 4; ++s, block += 128) {
      const int32x4x4_t first = sixteen_rows(block), second = sixteen_rows(block + 64);
      NBIT_UNROLL
      for (std::size_t q = 0; q < 4; ++q) {
        store(block + 32 * q, vzip1q_s32(first.val[q], second.val[q]));
        store(block + 32 * q + 16, vzip2q_s32(first.val[q], second.val[q]));
      }
    }
  }
  template <std::size_t>
  NBIT_INLINE static void multiply(const std::byte* rows, const std::int8_t* x, std::size_t columns, std::size_t count,
                                   std::int32_t* sums) {
    if (count > 4) return pairs<3>(rows, x, columns, sums);
    if (count > 2) return pairs<2>(rows, x, columns, sums);
    pairs<1>(rows, x, columns, sums);
  }

 private:
  // always as bytes: the compiler may take an access as words for one to other memory
  NBIT_INLINE static int32x4_t load(const std::byte* p) {
    return vreinterpretq_s32_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p)));
  }
  NBIT_INLINE static void store(std::byte* p, int32x4_t v) {
    vst1q_u8(reinterpret_cast<std::uint8_t*>(p), vreinterpretq_u8_s32(v));
  }
  NBIT_INLINE static int32x4x4_t sixteen_rows(const std::byte* p) {
    return {{load(p), load(p + 16), load(p + 32), load(p + 48)}};
  }
  template <std::size_t Pairs>
  static void pairs(const std::byte* rows, const std::int8_t* x, std::size_t columns, std::int32_t* sums) {
    int32x4_t sum[8 * Pairs];  // rows 2 r and 2 r + 1 with tokens 2 t and 2 t + 1
    NBIT_UNROLL
    for (std::size_t i = 0; i < 8 * Pairs; ++i) sum[i] = vdupq_n_s32(0);
    for (std::size_t c = 0; c < columns; c += 8, rows += 128, x += 8 * tokens) {
      int8x16_t pair[Pairs];
      NBIT_UNROLL
      for (std::size_t t = 0; t < Pairs; ++t) pair[t] = vld1q_s8(x + 16 * t);
      NBIT_UNROLL
      for (std::size_t i = 0; i < 8 * Pairs; ++i) {
        const int8x16_t two = vreinterpretq_s8_s32(load(rows + i / Pairs * 16));
        sum[i] = vmmlaq_s32(sum[i], two, pair[i % Pairs]);
      }
    }
    NBIT_UNROLL
    for (std::size_t i = 0; i < 4 * Pairs; ++i) {
      const std::size_t q = i / Pairs, t = i % Pairs;  // four rows, two tokens
      const int32x4_t low = sum[2 * q * Pairs + t], high = sum[(2 * q + 1) * Pairs + t];
      vst1q_s32(sums + 32 * t + 4 * q, vuzp1q_s32(low, high));
      vst1q_s32(sums + 32 * t + 16 + 4 * q, vuzp2q_s32(low, high));
    }
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit
