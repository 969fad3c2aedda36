// nbit/kernel/tile_dot.inl — reading tiles, and their dots with int8 activations; included once per target.
//
// Sums of a register tile (AVX-512: 32 rows x 6 tokens, AVX2: 16 x 4) stay in registers: every loop over them is
// unrolled.
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 0
#define NBIT_TILE_UNROLL  // arrays of scalars do not become registers: loops are smaller, and compile faster
#else
#define NBIT_TILE_UNROLL NBIT_UNROLL
#endif

namespace nbit {
inline namespace NBIT_TAG {

template <tile_form W>
struct tile_reader<NBIT_ARCH, W> {
  using vec = lanes<NBIT_ARCH>;
  using code = code_lanes<NBIT_ARCH>;
  using real = vec::type;

  NBIT_INLINE static real scale(const std::byte* head, std::size_t slot) {
    if constexpr (W.scale == tile_number::f16_times_i8)
      return vec::mul(f16s(head), code::from_i8(head + 32 + 16 * slot));
    else if constexpr (W.scale == tile_number::f16_times_low4)
      return vec::mul(f16s(head), code::template from_nibble<0>(head + 32 + 16 * slot));
    else
      return plain<W.scale>(head, slot);
  }
  /// Needs: scale is what scale() gives for the slot.
  NBIT_INLINE static real offset(const std::byte* head, std::size_t slot, real scale) {
    const std::byte* const second = head + W.bytes_of(W.scale);
    if constexpr (W.offset == tile_number::f16_times_u8) {
      return vec::mul(f16s(second), code::from_u8(second + 32 + 16 * slot));
    } else if constexpr (W.offset == tile_number::f16_times_high4) {
      return vec::mul(f16s(second), code::template from_nibble<4>(head + 32 + 16 * slot));
    } else if constexpr (W.offset == tile_number::zero_u8) {
      const real zero = code::from_u8(second + 16 * slot);
      return vec::mul(scale,
                      vec::add(vec::broadcast(static_cast<float>(W.bias)), vec::mul(zero, vec::broadcast(-1.0f))));
    } else {
      return plain<W.offset>(second, slot);
    }
  }
  /// Step S of a block: codes, and bytes 0 .. W.top.
  template <int S>
  NBIT_INLINE static code::bytes codes(const std::byte* block) {
    if constexpr (W.bits == 8) {
      return code::load(block + 64 * S);
    } else {
      constexpr int four = W.bits & 4, two = W.bits & 2, one = W.bits & 1;
      auto v = plane < S, four != 0 ? 4 : two != 0 ? 2 : 1, 0 > (block);
      if constexpr (four != 0 && two != 0) v = code::join(v, plane<S, 2, 4>(block));
      if constexpr (one != 0 && four + two != 0) v = code::join(v, plane<S, 1, four + two>(block));
      return v;
    }
  }
  template <int S>
  NBIT_INLINE static code::bytes step(const std::byte* block) {
    if constexpr (W.uneven)
      return code::lookup(levels.data(), codes<S>(block));
    else
      return codes<S>(block);
  }
  /// Fetches what lies `next` bytes from steps First ... First + Count - 1 of a block, or from the lines before a
  /// chunk's blocks, into a cache that is not the nearest. A line at a time between the dots: a whole chunk at once
  /// makes them wait.
  template <int First, int Count>
  NBIT_INLINE static void fetch(const std::byte* block, std::ptrdiff_t next) {
    fetch_lines<First * W.bits / 8, (First + Count) * W.bits / 8>(block, next);
  }
  NBIT_INLINE static void fetch_head(const std::byte* chunk, std::ptrdiff_t next) {
    fetch_lines<0, int(W.head_bytes() / 64)>(chunk, next);
  }

 private:
  static constexpr std::array<std::uint8_t, 16> levels = W.table;  // clang 14 crashes on the address of W's own
  template <int First, int End>
  NBIT_INLINE static void fetch_lines([[maybe_unused]] const std::byte* from, [[maybe_unused]] std::ptrdiff_t next) {
#if NBIT_TARGET == 2  // the others' panels are fetched before they are unpacked
    const std::size_t ahead = static_cast<std::size_t>(next);
    NBIT_UNROLL
    for (int i = First; i < End; ++i) detail::prefetch_ahead<2>(from, ahead + 64 * static_cast<std::size_t>(i));
#endif
  }
  // the vectors of a plane stand behind as many as the bits before it
  template <int S, int Width, int Low>
  NBIT_INLINE static code::bytes plane(const std::byte* block) {
    constexpr int per = 8 / Width;
    return code::template field<S % per * Width, Width, Low>(code::load(block + 64 * (Low + S / per)));
  }
  NBIT_INLINE static real f16s(const std::byte* p) { return vec::load_f16(reinterpret_cast<const f16*>(p)); }
  template <tile_number N>
  NBIT_INLINE static real plain(const std::byte* p, std::size_t slot) {
    if constexpr (N == tile_number::f32)
      return vec::load(reinterpret_cast<const float*>(p + 64 * slot));
    else if constexpr (N == tile_number::f16)
      return f16s(p + 32 * slot);
    else if constexpr (N == tile_number::bf16)
      return code::from_bf16(p + 32 * slot);
    else
      return vec::zero();
  }
};

template <tile_form W, int Group>
struct tile_dot<NBIT_ARCH, W, int8_activations<Group>> {
  using vec = lanes<NBIT_ARCH>;
  using code = code_lanes<NBIT_ARCH>;
  using reader = tile_reader<NBIT_ARCH, W>;
  using real = vec::type;
  static constexpr std::size_t chunk = W.chunk, run = std::size_t(W.run),
                               act = std::gcd(std::size_t(Group == per_row ? 0 : Group), chunk),
                               segment = run < act ? run : act, wide = run < act ? act : run;
  static constexpr std::size_t side_by_side = segment < W.block ? 2 : 1;  // segments that share a block
  static constexpr bool offsets = W.offset != tile_number::none, fine_weights = run <= act;
  static constexpr int bias = W.bias - code::template centre<W.top>;
  // tokens up to which codes are unpacked for every few of them; with many registers that costs little
  static constexpr std::size_t direct = NBIT_TARGET == 2 ? std::size_t(-1) : 12;
  static constexpr std::size_t chains = 1;  // tiles that one token wants side by side
  static constexpr int panel_bits = 8;      // of a code in a panel
  static constexpr std::size_t panel_span = 512, panel_tiles = 8;

  /// Step S of a block from a tile's codes to a panel's.
  template <int S>
  NBIT_INLINE static void unpack(const std::byte* block, std::byte* to) {
    code::store(to + 64 * S, reader::template step<S>(block));
  }
  /// Fetches what tokens::set reads of token m.
  NBIT_INLINE static void prefetch(const int8_activations<Group>& x, std::size_t m, std::size_t c, std::size_t n) {
    for (std::size_t i = 0; i < n; i += 64) __builtin_prefetch(x.row_codes(m) + c + i);
    __builtin_prefetch(x.row_sums(m) + c / 16);
  }

  /// What a kernel needs to know of T tokens over Span columns, whatever the rows.
  template <std::size_t T, std::size_t Span>
  struct tokens {
    static constexpr std::size_t stride = Span + 64;
    alignas(64) std::int8_t codes[T][stride];
    int start[T][Span / segment];  // takes the bias out of the integer sums
    float scale[T][Span / act], sum[T][offsets ? Span / run : 1];

    NBIT_INLINE void set(const int8_activations<Group>& x, std::size_t m, std::size_t count, std::size_t c,
                         std::size_t n) {
      for (std::size_t t = 0; t < count; ++t) {
        const std::int8_t* const from = x.row_codes(m + t) + c;
        for (std::size_t i = 0; i < n; i += 64) code::store(&codes[t][i], code::load(from + i));
        set_token(x, m + t, c, n, t);
      }
    }
    void set_token(const int8_activations<Group>& x, std::size_t m, std::size_t c, std::size_t n, std::size_t t) {
      n = (n + W.block - 1) / W.block * W.block;  // whole blocks are multiplied: zeros stand behind the last column
      const std::int16_t* const sums = x.row_sums(m) + c / 16;
      const std::size_t known = (x.stride() - c) / 16, segments = (n + segment - 1) / segment;
      int total[Span / segment];
      constexpr std::size_t parts = segment / 16;
      const std::size_t whole = known / parts < segments ? known / parts : segments;
      if constexpr (parts == 1) {
        for (std::size_t s = 0; s < whole; ++s) total[s] = sums[s];
      } else {  // pair by pair: loops that compilers turn into vectors
        int pairs[Span / 32], fewer[Span / 32];
        for (std::size_t b = 0; b < whole * parts / 2; ++b) pairs[b] = sums[2 * b] + sums[2 * b + 1];
        for (std::size_t left = parts / 2; left > 1; left /= 2) {
          for (std::size_t b = 0; b < whole * left / 2; ++b) fewer[b] = pairs[2 * b] + pairs[2 * b + 1];
          std::memcpy(pairs, fewer, whole * left / 2 * sizeof(int));
        }
        std::memcpy(total, pairs, whole * sizeof(int));
      }
      for (std::size_t s = whole; s < segments; ++s) {  // the activations end inside
        total[s] = 0;
        for (std::size_t b = s * parts; b < known; ++b) total[s] += sums[b];
      }
      for (std::size_t s = 0; s < segments; ++s) start[t][s] = -bias * total[s];
      for (std::size_t a = 0; a * act < n; ++a) scale[t][a] = x.scale16(m, (c + a * act) / 16);
      if constexpr (offsets) {
        if constexpr (fine_weights) {
          for (std::size_t s = 0; s < segments; ++s) sum[t][s] = static_cast<float>(total[s]);
        } else {
          for (std::size_t g = 0; g * run < n; ++g) {
            float v = 0.0f;
            for (std::size_t s = g * run / act; s < (g + 1) * run / act && s < segments; ++s)
              v = nbit::fma(scale[t][s], static_cast<float>(total[s]), v);
            sum[t][g] = v;
          }
        }
      }
    }
  };

  /// outer[t * V + v] += the dots of token t with tile v over n columns; heads: where the span begins in each tile;
  /// next: from there to what will be read next.
  template <std::size_t T, std::size_t V, class K>
  NBIT_INLINE static void span(const std::byte* const (&heads)[V], std::ptrdiff_t next, std::size_t n, const K& k,
                               real (&outer)[T * V]) {
    const std::byte* head[V];
    for (std::size_t v = 0; v < V; ++v) head[v] = heads[v];
    for (std::size_t c = 0; c < n; c += chunk) {
      const std::size_t blocks = ((n - c < chunk ? n - c : chunk) + W.block - 1) / W.block;
      for (std::size_t v = 0; v < V; ++v) reader::fetch_head(head[v], next);
      for (std::size_t w = 0; w < chunk / wide && w * wide < blocks * W.block; ++w)
        piece<T, V>(head, next, blocks, w, k, c, outer);
      for (std::size_t v = 0; v < V; ++v) head[v] += W.chunk_bytes();
    }
  }

 private:
  template <std::size_t N, class F>
  NBIT_INLINE static void each(F f) {
    register_tile<NBIT_ARCH>::template each<N>(f);
  }
  // one link of a chain; the first may multiply only: fma from zero differs in the sign of a zero, which ends in outer
  template <bool First>
  NBIT_INLINE static void chain(real a, real b, real& c) {
    if constexpr (First)
      c = vec::mul(a, b);
    else
      c = vec::fma(a, b, c);
  }

  template <std::size_t T, std::size_t V, class K>
  NBIT_INLINE static void piece(const std::byte* const (&head)[V], std::ptrdiff_t next, std::size_t blocks,
                                std::size_t w, const K& k, std::size_t c, real (&outer)[T * V]) {
    constexpr std::size_t segments = wide / segment;
    constexpr bool single = segments == 1;
    real inner[T * V];
    if constexpr (single) {
      if (side_by_side == 1 || w % 2 == 0)
        segment_dot<true, 0, T, V>(head, next, blocks, w, k, c, inner);
      else if constexpr (side_by_side == 2)
        segment_dot<true, 4, T, V>(head, next, blocks, w, k, c, inner);
    } else {
      NBIT_TILE_UNROLL
      for (std::size_t i = 0; i < T * V; ++i) {
        inner[i] = vec::zero();
      }
      for (std::size_t s = w * segments; s < (w + 1) * segments && s * segment < blocks * W.block; s += side_by_side) {
        segment_dot<false, 0, T, V>(head, next, blocks, s, k, c, inner);
        if constexpr (side_by_side == 2) segment_dot<false, 4, T, V>(head, next, blocks, s + 1, k, c, inner);
      }
    }
    if constexpr (fine_weights) {
      NBIT_TILE_UNROLL
      for (std::size_t i = 0; i < T * V; ++i) {
        outer[i] = vec::fma(inner[i], vec::broadcast(k.scale[i / V][c / act + w]), outer[i]);
      }
    } else {
      NBIT_TILE_UNROLL
      for (std::size_t v = 0; v < V; ++v) {
        const real scale = reader::scale(head[v], w);
        NBIT_TILE_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          real& out = outer[t * V + v];
          out = vec::fma(inner[t * V + v], scale, out);
        }
        if constexpr (offsets) {
          const real offset = reader::offset(head[v], w, scale);
          NBIT_TILE_UNROLL
          for (std::size_t t = 0; t < T; ++t) {
            real& out = outer[t * V + v];
            out = vec::fma(offset, vec::broadcast(k.sum[t][c / run + w]), out);
          }
        }
      }
    }
  }

  // Segment s of a chunk, which begins at step First of its block, into inner.
  template <bool Single, int First, std::size_t T, std::size_t V, class K>
  NBIT_INLINE static void segment_dot(const std::byte* const (&head)[V], std::ptrdiff_t next, std::size_t blocks,
                                      std::size_t s, const K& k, std::size_t c, real (&inner)[T * V]) {
    constexpr std::size_t stride = K::stride;
    typename code::sums sum[T * V];
    NBIT_TILE_UNROLL
    for (std::size_t i = 0; i < T * V; ++i) {
      sum[i] = code::start(bias == 0 ? 0 : k.start[i / V][c / segment + s]);
    }
    if constexpr (segment > W.block) {
      for (std::size_t b = s * segment / W.block; b < (s + 1) * segment / W.block && b < blocks; ++b)
        steps<0, 8, T, V, stride>(head, next, b, &k.codes[0][c + b * W.block], sum);
    } else {
      steps<First, 8 / int(side_by_side), T, V, stride>(head, next, s / side_by_side, &k.codes[0][c + s * segment],
                                                        sum);
    }
    if constexpr (fine_weights) {
      NBIT_TILE_UNROLL
      for (std::size_t v = 0; v < V; ++v) {
        const real scale = reader::scale(head[v], s);
        NBIT_TILE_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          chain<Single>(code::to_float(sum[t * V + v]), scale, inner[t * V + v]);
        }
        if constexpr (offsets) {
          const real offset = reader::offset(head[v], s, scale);
          NBIT_TILE_UNROLL
          for (std::size_t t = 0; t < T; ++t) {
            real& in = inner[t * V + v];
            in = vec::fma(offset, vec::broadcast(k.sum[t][c / run + s]), in);
          }
        }
      }
    } else {
      NBIT_TILE_UNROLL
      for (std::size_t i = 0; i < T * V; ++i) {
        chain<Single>(code::to_float(sum[i]), vec::broadcast(k.scale[i / V][c / act + s]), inner[i]);
      }
    }
  }

  // Steps First ... First + Count - 1 of block b; x: the activations of the first of them.
  template <int First, int Count, std::size_t T, std::size_t V, std::size_t Stride>
  NBIT_INLINE static void steps(const std::byte* const (&head)[V], std::ptrdiff_t next, std::size_t b,
                                const std::int8_t* x, typename code::sums (&sum)[T * V]) {
    const std::byte* block[V];
    NBIT_TILE_UNROLL
    for (std::size_t v = 0; v < V; ++v) {
      block[v] = head[v] + W.head_bytes() + b * W.block_bytes();
      reader::template fetch<First, Count>(block[v], next);
    }
    typename code::partial part[T * V];
    NBIT_TILE_UNROLL
    for (std::size_t i = 0; i < T * V; ++i) {
      part[i] = code::none();
    }
    each<std::size_t(Count)>([&](auto s) __attribute__((always_inline)) {
      constexpr int at = static_cast<int>(std::size_t(s)), flush_each = code::template steps<W.top>;
      typename code::bytes bytes[V];
      NBIT_TILE_UNROLL
      for (std::size_t v = 0; v < V; ++v) {
        bytes[v] = code::template centred<W.top>(reader::template step<First + at>(block[v]));
      }
      NBIT_TILE_UNROLL
      for (std::size_t i = 0; i < T * V; ++i) {
        code::template step<W.top>(sum[i], part[i], bytes[i % V], x + i / V * Stride + 4 * at);
      }
      if constexpr ((at + 1) % flush_each == 0) NBIT_TILE_UNROLL
      for (std::size_t i = 0; i < T * V; ++i) {
        code::template flush<W.top>(sum[i], part[i]);
      }
    });
    if constexpr (Count % code::template steps<W.top> != 0) NBIT_TILE_UNROLL
    for (std::size_t i = 0; i < T * V; ++i) {
      code::template flush<W.top>(sum[i], part[i]);
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#undef NBIT_TILE_UNROLL
