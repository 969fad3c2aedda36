// nbit/kernel/encode_lanes.inl — sixteen groups turned into lanes and back; included by kernel/encode.hpp once per
// target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2

template <>
struct group_lanes<NBIT_ARCH> {
  using m = lane_math<NBIT_ARCH>;
  using search = lane_search<NBIT_ARCH>;
  static constexpr std::size_t groups = encode_batch::width;

  /// Runs 16 * v + lane, counted through all groups, as lanes.
  template <int Group, int Run>
  static void gather(const float* const* group, int v, float* out) {
    constexpr int runs = Group / Run;
    const float* start[16];
    for (int lane = 0; lane < 16; ++lane) start[lane] = group[(16 * v + lane) / runs] + (16 * v + lane) % runs * Run;
    search::columns<Run>(start, out);
  }
  /// factor * the sum of squares of each group, in the reference's order, / divisor.
  template <int Group>
  static void variances(const float* const* group, float factor, float divisor, float* out) {
    const auto sum = search::template sums_of_squares<Group>(group);
    m::store(out, m::div(m::mul(m::broadcast(factor), sum), m::broadcast(divisor)));
  }
  /// importance * sqrt(variance + x^2) for the runs of gather.
  template <int Group, int Run>
  static void weights(const float* const* importance, int v, const float* variance, const float* x, float* out) {
    alignas(64) float of_run[16];
    for (int lane = 0; lane < 16; ++lane) of_run[lane] = variance[(16 * v + lane) * Run / Group];
    gather<Group, Run>(importance, v, out);
    search::importance_weights<Run>(x, of_run, out);
  }
  /// per_run[runs * group + s] as lanes: out[16 * s + group].
  template <int Runs>
  static void turn(const float* per_run, float* out) {
    const float* rows[groups];
    for (std::size_t g = 0; g < groups; ++g) rows[g] = per_run + std::size_t(Runs) * g;
    search::columns<Runs>(rows, out);
  }
  /// found[16 * s + group] of one group.
  template <int Runs>
  static void of_group(const std::uint8_t* found, std::size_t group, std::uint8_t* out) {
    for (std::size_t s = 0; s < std::size_t(Runs); ++s) out[s] = found[16 * s + group];
  }
  /// Codes of run r, counted through all groups, for stored parameters: level_of((x + lowered) / step) + offset; with
  /// a step of 0 those that the search found.
  template <int Run>
  static void recode(const float* x, float step, float lowered, int low, int high, int offset,
                     const std::uint8_t* found, std::size_t r, std::uint8_t* codes) {
    if (step == 0.0f) {
      for (std::size_t i = 0; i < std::size_t(Run); ++i) codes[i] = found[r / 16 * (16 * Run) + 16 * i + r % 16];
      return;
    }
    for (int i = 0; i < Run; i += 16)
      m::store_levels(codes + i, m::div(m::add(m::load(x + i), m::broadcast(lowered)), m::broadcast(step)), low, high,
                      offset);
  }
  /// The definition.
  template <class F>
  static void encode_one(const encode_batch& b, std::size_t g) {
    typename F::params p;
    std::uint8_t codes[F::group];
    F::encode_block(b.x[g], b.importance[g], b.mean_square[g], p, codes);
    F::store(b.to[g], p, codes);
  }
};

#endif
}  // namespace NBIT_TAG
}  // namespace nbit
