// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/interop/metrics_fields.hpp>

#include <charconv>
#include <ostream>
#include <string>
#include <string_view>

namespace xmoe::inline XMOE_ABI::interop {

namespace text {

/// Digits that read back as the same number; independent of any locale. JSON has no NaN and no
/// infinity: null.
template <class N>
void number(std::string& to, N value, bool json) {
  if constexpr (std::is_floating_point_v<N>) {
    if (!is_finite(value)) {
      to += json ? "null" : is_nan(value) ? "nan" : value > 0 ? "inf" : "-inf";
      return;
    }
  }
  char digits[32];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, value);
  to.append(digits, end.ptr);
}
inline void json_string(std::string& to, std::string_view from) {
  constexpr char hex[] = "0123456789abcdef";
  to += '"';
  for (const char c : from) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20) {
      to += "\\u00";
      to += hex[code >> 4];
      to += hex[code & 15];
    } else {
      to.append(c == '"' || c == '\\' ? "\\" : "");
      to += c;
    }
  }
  to += '"';
}
inline void csv_cell(std::string& to, std::string_view from) {
  if (from.find_first_of(",\"\r\n") == std::string_view::npos) {
    to += from;
    return;
  }
  to += '"';
  for (const char c : from) {
    to.append(c == '"' ? 2 : 1, c);
  }
  to += '"';
}

/// body(i) for 0 .. n-1, commas between.
template <class F>
void list(std::string& to, index n, F&& body) {
  for (index i = 0; i < n; ++i) {
    to += i > 0 ? "," : "";
    body(i);
  }
}
template <class V>
void json(std::string& to, const V& value) {
  if constexpr (MetricsStruct<V>) {
    const char* separator = "{";
    fields::each(value, [&](const char* name, const auto& field) {
      to += separator;
      json_string(to, name);
      to += ':';
      json(to, field);
      separator = ",";
    });
    to += '}';
  } else if constexpr (std::is_arithmetic_v<V>) {
    number(to, value, true);
  } else {
    to += '[';
    list(to, static_cast<index>(value.size()),
         [&](index i) { number(to, value[static_cast<std::size_t>(i)], true); });
    to += ']';
  }
}
/// Rows of name,value; parts of a field are field.part, field.0, field.1.
template <class V>
void csv(std::string& to, const std::string& name, const V& value) {
  if constexpr (MetricsStruct<V>) {
    fields::each(value, [&](const char* part, const auto& field) {
      csv(to, name.empty() ? part : name + "." + part, field);
    });
  } else if constexpr (std::is_arithmetic_v<V>) {
    to += name + ",";
    number(to, value, false);
    to += '\n';
  } else {
    for (std::size_t i = 0; i < value.size(); ++i) {
      csv(to, name + "." + std::to_string(i), value[i]);
    }
  }
}

using Labels = std::span<const std::string>;

/// The label of a row or column; its number where there are none.
inline std::string label(Labels labels, index i) {
  return labels.empty() ? std::to_string(i) : labels[static_cast<std::size_t>(i)];
}
inline void check(const char* function, In<double> values, Labels rows, Labels columns) {
  if ((!rows.empty() && static_cast<index>(rows.size()) != values.rows()) ||
      (!columns.empty() && static_cast<index>(columns.size()) != values.cols())) {
    detail::fail<shape_error>("%s: %zu and %zu labels for %td rows and %td columns", function,
                              rows.size(), columns.size(), values.rows(), values.cols());
  }
}
inline void write(const char* function, std::ostream& out, const std::string& all) {
  out.write(all.data(), static_cast<std::streamsize>(all.size()));
  if (!out.good()) {
    detail::fail<io_error>("%s: the stream does not take %zu bytes", function, all.size());
  }
}

}  // namespace text

/// One JSON object, on one line without its end: a field a name, parts as objects, vectors as
/// arrays, NaN and infinities as null. Numbers read back as the same double.
///
///   throws  io_error if the stream is not good afterwards
template <MetricsStruct M>
void write_json(std::ostream& out, const M& metrics) {
  std::string all;
  text::json(all, metrics);
  text::write("xmoe::interop::write_json", out, all);
}

/// CSV: a line `name,value`, then a line a number, e.g. `load.median,3` or `claims.0,7`. NaN is
/// nan, infinities are inf and -inf.
///
///   throws  io_error if the stream is not good afterwards
template <MetricsStruct M>
void write_csv(std::ostream& out, const M& metrics) {
  std::string all = "name,value\n";
  text::csv(all, "", metrics);
  text::write("xmoe::interop::write_csv", out, all);
}

/// A heat map, e.g. CoActivation::shares or LabelCounts::shares, as one JSON object:
/// {"rows":["de","en"],"columns":["0","1"],"values":[[0.5,0.5],[1,0]]}.
///
///   in      rows, columns   labels in UTF-8; empty = numbers from 0
///   throws  shape_error if the labels do not fit; io_error if the stream is not good afterwards
inline void write_json(std::ostream& out, In<double> values, std::span<const std::string> rows = {},
                       std::span<const std::string> columns = {}) {
  const char* const name = "xmoe::interop::write_json";
  text::check(name, values, rows, columns);
  std::string all = "{\"rows\":[";
  text::list(all, values.rows(), [&](index i) { text::json_string(all, text::label(rows, i)); });
  all += "],\"columns\":[";
  text::list(all, values.cols(), [&](index j) { text::json_string(all, text::label(columns, j)); });
  all += "],\"values\":[";
  text::list(all, values.rows(), [&](index i) {
    all += '[';
    text::list(all, values.cols(), [&](index j) { text::number(all, values(i, j), true); });
    all += ']';
  });
  all += "]}";
  text::write(name, out, all);
}

/// The same as CSV: a line of column labels behind an empty cell, then a line a row behind its
/// label. Labels with commas, quotes or ends of line are quoted (RFC 4180).
inline void write_csv(std::ostream& out, In<double> values, std::span<const std::string> rows = {},
                      std::span<const std::string> columns = {}) {
  const char* const name = "xmoe::interop::write_csv";
  text::check(name, values, rows, columns);
  std::string all;
  for (index j = 0; j < values.cols(); ++j) {
    all += ',';
    text::csv_cell(all, text::label(columns, j));
  }
  all += '\n';
  for (index i = 0; i < values.rows(); ++i) {
    text::csv_cell(all, text::label(rows, i));
    for (index j = 0; j < values.cols(); ++j) {
      all += ',';
      text::number(all, values(i, j), false);
    }
    all += '\n';
  }
  text::write(name, out, all);
}

}  // namespace xmoe::inline XMOE_ABI::interop
