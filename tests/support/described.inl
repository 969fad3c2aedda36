// tests/support/described.inl — kernels that only say what they are; stamped by kernel/describe_test.cpp.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct gemv_kernel<NBIT_ARCH, packed_view<nbit_test::own_format>> {
  static constexpr kernel_about about = own_kernel("floats");
  static constexpr kernel_about about_int8 = own_kernel("integers", "one row at a time");
};
template <>
struct quantize_kernel<NBIT_ARCH, nbit_test::own_format, linear> {
  static constexpr kernel_about about = own_kernel("encoder");
};
template <>
struct row_decoder<NBIT_ARCH, packed_view<nbit_test::decoded_format>> {
  static constexpr kernel_about about = own_kernel("sixteen codes at a time");
};

}  // namespace NBIT_TAG
}  // namespace nbit
