// nbit/kernel/activations.inl — quantizes a row of activations; included by kernel/activations.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct activation_kernel<NBIT_ARCH> {
  template <int Group>
  static void quantize_row(std::span<const float> x, const int8_activations<Group>& out, std::size_t r) noexcept {
    const std::size_t cols = x.size(), stride = out.stride();
    std::int8_t* const codes = out.row_codes(r);
    const std::size_t groups = out.groups_for(cols), length = Group == per_row ? stride : std::size_t(Group);
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t first = g * length;
      const std::size_t n = first >= cols ? 0 : cols - first < length ? cols - first : length;
      out.row_scales(r)[g] = quantize_group(x.data() + first, n, codes + first);
      const std::size_t end = first + length < stride ? first + length : stride;
      for (std::size_t c = first + n; c < end; ++c) codes[c] = 0;
    }
    for (std::size_t b = 0; b < stride / 16; ++b) {
      int sum = 0;
      for (std::size_t i = 0; i < 16; ++i) sum += codes[16 * b + i];
      out.row_sums(r)[b] = static_cast<std::int16_t>(sum);
    }
  }

 private:
  static float quantize_group(const float* x, std::size_t n, std::int8_t* codes) noexcept {
    NBIT_EXACT
    float top = 0.0f;
    for (std::size_t i = 0; i < n; ++i) top = nbit::abs(x[i]) > top ? nbit::abs(x[i]) : top;
    top = top > 0x1.fffffep127f ? 0x1.fffffep127f : top;
    const float inverse = 127.0f / top;
    if (!is_finite(inverse)) {  // all zero, or too small for a float reciprocal
      for (std::size_t i = 0; i < n; ++i) codes[i] = 0;
      return 0.0f;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const float scaled = x[i] * inverse;
      codes[i] = static_cast<std::int8_t>(scaled == scaled ? round_clamped(scaled, -127, 127) : 0);
    }
    return top / 127.0f;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
