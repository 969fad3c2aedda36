// tests/support/simd_probe.inl — lets a test call the primitives of one instruction set; stamped by arch/simd_test.cpp.
// SPDX-License-Identifier: MIT
namespace {

template <>
struct probe<NBIT_ARCH> {
  using vec = nbit::lanes<NBIT_ARCH>;

  static sixteen fma(const sixteen& a, const sixteen& b, const sixteen& c) {
    sixteen out;
    vec::store(out.data(), vec::fma(vec::load(a.data()), vec::load(b.data()), vec::load(c.data())));
    return out;
  }
  static sixteen mul_add(const sixteen& a, const sixteen& b, const sixteen& c) {
    sixteen out;
    vec::store(out.data(), vec::add(vec::mul(vec::load(a.data()), vec::load(b.data())), vec::load(c.data())));
    return out;
  }
  static float plain_mul_add(float a, float b, float c) {
    NBIT_EXACT
    return a * b + c;
  }
  static float reduce(const sixteen& a) { return vec::reduce(vec::load(a.data())); }
  static sixteen dot4(const std::array<std::int8_t, 64>& w, const std::array<std::int8_t, 64>& x) {
    sixteen out;
    vec::store(out.data(), vec::dot4(w.data(), x.data()));
    return out;
  }
};

}  // namespace
