// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "results.hpp"

namespace xmoe_bench {

/// One line of a plot.
struct Series {
  std::string name;
  const char* color;
  bool dashed = false;
  std::vector<std::pair<double, double>> points = {};
};

/// What an axis shows.
struct Axis {
  std::string title;
  bool logarithmic = false;
  double base = 10.0;  ///< of the marks of a logarithmic one
  bool percent = false;
  bool whole = false;  ///< no marks between whole numbers
};

/// Lines over numbers.
std::string line_chart(const std::string& title, const Axis& x, const Axis& y,
                       const std::vector<Series>& series);

/// Groups of bars: values[series][category], negative = absent.
struct Bars {
  std::vector<std::string> categories;
  std::vector<Series> series;  ///< names and colors
  std::vector<std::vector<double>> values;
};
/// `mark` draws a line across at that value, which bars of a logarithmic axis start from.
std::string bar_chart(const std::string& title, const Axis& y, const Bars& bars, double mark,
                      const std::string& mark_name);

/// Rate over intensity, under what the machine allows.
std::string roofline(const std::string& title, const Machine& machine,
                     const std::vector<const Row*>& rows);

}  // namespace xmoe_bench
