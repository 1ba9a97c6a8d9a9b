// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace xmoe::inline XMOE_ABI {

/// What every error of the library derives from. The text names function, argument and numbers.
class error : public std::exception {
 public:
  const char* what() const noexcept override { return text_; }

  /// Room for one message; longer ones are cut.
  static constexpr std::size_t capacity = 512;
  char text_[capacity] = {};
};
/// Sizes that do not fit together: rows, columns, strides, buffers too short.
class shape_error : public error {};
/// A number outside of its range: k > E, a negative capacity, a NaN where none may be.
class value_error : public error {};
/// A file or a text that cannot be read or written.
class io_error : public error {};

namespace detail {

#if defined(__GNUC__)
#define XMOE_DETAIL_PRINTF __attribute__((format(printf, 1, 2), cold, noinline))
#else
#define XMOE_DETAIL_PRINTF
#endif

/// Throws Error with a printf-formatted text; without exceptions prints the text and aborts.
template <class Error>
[[noreturn]] XMOE_DETAIL_PRINTF inline void fail(const char* format, ...) {
  Error problem;
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(problem.text_, error::capacity, format, arguments);
  va_end(arguments);
#if XMOE_EXCEPTIONS
  throw problem;
#else
  std::fprintf(stderr, "%s\n", problem.text_);
  std::abort();
#endif
}
#undef XMOE_DETAIL_PRINTF

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI

/// Internal invariants: checked under XMOE_CHECKED, gone otherwise.
#if defined(XMOE_CHECKED)
#define XMOE_ASSERT(condition, text)                                                             \
  ((condition) ? void(0)                                                                         \
               : ::xmoe::detail::fail<::xmoe::error>("%s:%d: %s (%s)", __FILE__, __LINE__, text, \
                                                     #condition))
#else
#define XMOE_ASSERT(condition, text) void(0)
#endif
