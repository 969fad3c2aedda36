// nbit/io/json_value.hpp — a JSON value that keeps what it does not understand: key order, unknown keys, digits.
//
// Numbers stay text until somebody asks for a type, so that 64-bit integers and long decimals survive a round trip. The
// type lives inside the flag-tagged namespace because even its destructor loops: units built with different flags have
// their own.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_JSON_VALUE_HPP
#define NBIT_IO_JSON_VALUE_HPP

#include <charconv>  // brings std::errc, too
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>  // strtod, where from_chars lacks floating point
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>

namespace nbit {

/// The kinds of JSON value.
enum class json_kind : std::uint8_t { null, boolean, number, string, array, object };

inline namespace NBIT_TAG {

/// Any JSON value; null unless made otherwise. Objects keep the order of their members.
class json_value {
 public:
  json_value() = default;

  [[nodiscard]] static json_value boolean(bool v) {
    json_value made(json_kind::boolean);
    made.truth_ = v;
    return made;
  }
  [[nodiscard]] static json_value string(std::string_view v) {
    json_value made(json_kind::string);
    made.text_ = v;
    return made;
  }
  /// A number. Infinities and NaN, which JSON cannot say, become null.
  template <class T>
    requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>)
  [[nodiscard]] static json_value number(T v) {
    json_value made(json_kind::number);
    char digits[40];
    if constexpr (std::is_floating_point_v<T>) {
      if (!(v - v == T{0})) return {};
      const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), v);
      made.text_.assign(digits, end.ptr);
    } else {
      const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), v);
      made.text_.assign(digits, end.ptr);
    }
    return made;
  }
  /// A number with exactly these digits.  Needs: the text is a JSON number.
  [[nodiscard]] static json_value number_text(std::string_view digits) {
    json_value made(json_kind::number);
    made.text_ = digits;
    return made;
  }
  [[nodiscard]] static json_value array() { return json_value(json_kind::array); }
  [[nodiscard]] static json_value object() { return json_value(json_kind::object); }

  [[nodiscard]] json_kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool is(json_kind k) const noexcept { return kind_ == k; }
  /// The characters of a string, or the digits of a number; else empty.
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  /// Where the value began in the text it was read from; 0 for a value made here.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

  /// The value as bool, integer, floating point or std::string_view.
  /// Errors: malformed when it is of another kind or an integer is written with a fraction; overflow. At offset().
  template <class T>
    requires(std::is_arithmetic_v<T> || std::same_as<T, std::string_view>)
  [[nodiscard]] result<T> get() const {
    if constexpr (std::is_same_v<T, std::string_view>) {
      if (kind_ == json_kind::string) return std::string_view(text_);
      return wrong("a string");
    } else if constexpr (std::is_same_v<T, bool>) {
      if (kind_ == json_kind::boolean) return truth_;
      return wrong("true or false");
    } else if constexpr (std::is_floating_point_v<T>) {
      if (kind_ != json_kind::number) return wrong("a number");
      return static_cast<T>(real());
    } else {
      if (kind_ != json_kind::number) return wrong("a whole number");
      T v{};
      const char* const end = text_.data() + text_.size();
      const std::from_chars_result read = std::from_chars(text_.data(), end, v);
      if (read.ec == std::errc::result_out_of_range)
        return make_error(errc::overflow, "a JSON number does not fit the type asked for").at(offset_).about(text_);
      if (read.ec != std::errc() || read.ptr != end) return wrong("a whole number in range");
      return v;
    }
  }

  /// Members of an object or elements of an array; 0 for everything else.
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  /// The elements of an array, or the values of an object's members.
  [[nodiscard]] std::span<const json_value> items() const noexcept { return {items_.data(), items_.size()}; }
  [[nodiscard]] std::span<json_value> items() noexcept { return {items_.data(), items_.size()}; }
  /// The names of an object's members, in the order of items().
  [[nodiscard]] std::span<const std::string> names() const noexcept { return {names_.data(), names_.size()}; }

  /// A member of an object, or nullptr.  Cost: linear in the members.
  [[nodiscard]] const json_value* find(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (names_[i] == name) return &items_[i];
    return nullptr;
  }
  [[nodiscard]] json_value* find(std::string_view name) noexcept {
    return const_cast<json_value*>(std::as_const(*this).find(name));
  }
  /// A member of an object as T.  Errors: missing, and those of get(); the name is the subject.
  template <class T>
  [[nodiscard]] result<T> get(std::string_view name) const {
    const json_value* const v = find(name);
    if (v == nullptr) return make_error(errc::missing, "the JSON object lacks this member").about(name).at(offset_);
    result<T> got = v->template get<T>();
    if (!got) return got.error().about(name);
    return got;
  }

  /// Sets a member; an existing one keeps its place. A value that is no object becomes one.
  json_value& set(std::string_view name, json_value v) {
    become(json_kind::object);
    if (json_value* const there = find(name)) return *there = std::move(v);
    return add(name, std::move(v));
  }
  /// Adds a member at the end.  Needs: no member has this name.  Cost: constant.
  json_value& add(std::string_view name, json_value v) {
    become(json_kind::object);
    names_.emplace_back(name);
    return items_.emplace_back(std::move(v));
  }
  /// Removes a member; true if it was there.
  bool erase(std::string_view name) {
    const json_value* const there = find(name);
    if (there == nullptr) return false;
    const std::ptrdiff_t i = there - items_.data();
    items_.erase(items_.begin() + i);
    names_.erase(names_.begin() + i);
    return true;
  }
  /// Adds an element at the end. A value that is no array becomes one.
  json_value& push(json_value v) {
    become(json_kind::array);
    return items_.emplace_back(std::move(v));
  }

  /// Records where the value began.
  void set_offset(std::uint64_t offset) noexcept { offset_ = offset; }

 private:
  explicit json_value(json_kind k) : kind_(k) {}

  void become(json_kind k) {
    if (kind_ == k) return;
    *this = json_value(k);
  }
  [[nodiscard]] error wrong(const char* allowed) const {
    return make_error(errc::malformed, "a JSON value is of another kind than asked for", allowed).at(offset_);
  }
  [[nodiscard]] double real() const {
#if defined(__cpp_lib_to_chars)
    double v = 0;
    const std::from_chars_result read = std::from_chars(text_.data(), text_.data() + text_.size(), v);
    // Out of range leaves v alone; strtod then says whether that is 0 or infinity.
    if (read.ec == std::errc()) return v;
#endif
    return std::strtod(text_.c_str(), nullptr);
  }

  json_kind kind_ = json_kind::null;
  bool truth_ = false;
  std::uint64_t offset_ = 0;
  std::string text_;
  std::vector<json_value> items_;
  std::vector<std::string> names_;
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
