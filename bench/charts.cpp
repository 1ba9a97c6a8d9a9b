// SPDX-License-Identifier: Apache-2.0
#include "charts.hpp"

#include "svg.hpp"

#include <algorithm>
#include <limits>

namespace xmoe_bench {

namespace {

constexpr double left = 72.0;
constexpr double right = 56.0;
constexpr double chart_width = 900.0;

/// Maps values to pixels and knows round values in between.
class Scale {
 public:
  Scale(const Axis& axis, double low, double high, double from, double to)
      : axis_(axis), from_(from), to_(to) {
    if (axis.logarithmic) {
      low_ = std::log(low);
      high_ = std::log(high);
    } else {
      const double raw = (high - low) / 6.0;
      const double unit = std::pow(10.0, std::floor(std::log10(raw)));
      step_ = (raw / unit > 5.0   ? 10.0
               : raw / unit > 2.0 ? 5.0
               : raw / unit > 1.0 ? 2.0
                                  : 1.0) *
              unit;
      step_ = axis.whole ? std::max(1.0, step_) : step_;
      low_ = std::floor(low / step_ + 1e-9) * step_;
      high_ = std::ceil(high / step_ - 1e-9) * step_;
    }
    if (!(high_ > low_)) {
      high_ = low_ + 1.0;
    }
  }
  double operator()(double value) const {
    const double v = axis_.logarithmic ? std::log(value) : value;
    return from_ + (v - low_) / (high_ - low_) * (to_ - from_);
  }
  std::vector<double> marks() const {
    std::vector<double> result;
    if (!axis_.logarithmic) {
      for (double v = low_; v <= high_ + 1e-9 * step_; v += step_) {
        result.push_back(std::fabs(v) < 1e-9 * step_ ? 0.0 : v);
      }
      return result;
    }
    const double base = std::log(axis_.base);
    const bool decimal = axis_.base > 9.0;
    const bool dense = decimal && (high_ - low_) / base < 3.0;
    const double every = std::max(1.0, std::ceil((high_ - low_) / base / 13.0));
    for (double n = std::floor(low_ / base); n * base <= high_ + 1e-9; n += every) {
      for (const double m : {1.0, 2.0, 5.0}) {
        const double v = n * base + std::log(m);
        if ((m < 1.5 || dense) && v >= low_ - 1e-9 && v <= high_ + 1e-9) {
          result.push_back(m * std::pow(axis_.base, n));
        }
      }
    }
    return result;
  }
  std::string label(double value) const {
    if (axis_.percent) {
      return short_number(std::round(value * 1000.0) / 10.0).append(" %");
    }
    if (axis_.logarithmic) {
      return short_number(value);
    }
    char text[32];
    const double digits = std::max(0.0, -std::floor(std::log10(step_) + 1e-9));
    std::snprintf(text, sizeof(text), "%.*f", static_cast<int>(digits), value);
    return text;
  }

 private:
  Axis axis_;
  double from_;
  double to_;
  double low_;
  double high_;
  double step_ = 1.0;
};

void draw_y(Svg& svg, const Scale& y, const Axis& axis, double top, double bottom) {
  for (const double v : y.marks()) {
    svg.line(left, y(v), svg.width() - right, y(v), color::grid);
    svg.text(left - 8, y(v) + 4, y.label(v), {.color = color::quiet, .anchor = "end"});
  }
  svg.text(18, (top + bottom) / 2, axis.title,
           {.color = color::quiet, .anchor = "middle", .turn = -90.0});
}

void draw_x(Svg& svg, const Scale& x, const Axis& axis, double top, double bottom) {
  for (const double v : x.marks()) {
    svg.line(x(v), top, x(v), bottom, color::grid);
    svg.text(x(v), bottom + 18, x.label(v), {.color = color::quiet, .anchor = "middle"});
  }
  svg.text((left + svg.width() - right) / 2, bottom + 38, axis.title,
           {.color = color::quiet, .anchor = "middle"});
}

/// Title and names of the series, in as many lines as it takes. Where the plot may start.
double draw_head(Svg& svg, const std::string& title, const std::vector<Series>& series) {
  svg.text(left - 54, 24, title, {.size = 15.0, .bold = true});
  double x = left;
  double y = 48.0;
  for (const Series& s : series) {
    const double width = 40.0 + Svg::width_of(s.name, 12.0);
    if (x + width > svg.width() - right && x > left) {
      x = left;
      y += 20.0;
    }
    if (s.points.empty()) {
      svg.rect(x, y - 9, 12, 12, s.color);
    } else {
      svg.line(x, y - 4, x + 18, y - 4, s.color, 2.5, s.dashed ? "5 4" : "");
    }
    svg.text(x + 24, y, s.name, {});
    x += width;
  }
  return y + 22.0;
}

/// The smallest and the largest of some numbers, with room around them.
struct Range {
  double low = std::numeric_limits<double>::max();
  double high = std::numeric_limits<double>::lowest();

  void add(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  void widen(double factor) {
    low /= factor;
    high *= factor;
  }
};

}  // namespace

std::string line_chart(const std::string& title, const Axis& x_axis, const Axis& y_axis,
                       const std::vector<Series>& series) {
  Range in_x;
  Range in_y;
  for (const Series& s : series) {
    for (const auto& [x, y] : s.points) {
      in_x.add(x);
      in_y.add(y);
    }
  }
  if (y_axis.logarithmic) {
    in_y.widen(1.25);
  } else {
    in_y.low = 0.0;
  }
  Svg svg(chart_width, 420);
  const double top = draw_head(svg, title, series);
  const double bottom = svg.height() - 56.0;
  const Scale x(x_axis, in_x.low, in_x.high, left + 8, svg.width() - right - 8);
  const Scale y(y_axis, in_y.low, in_y.high, bottom, top);
  draw_y(svg, y, y_axis, top, bottom);
  draw_x(svg, x, x_axis, top, bottom);
  for (const Series& s : series) {
    std::vector<std::pair<double, double>> points;
    for (const auto& [vx, vy] : s.points) {
      points.emplace_back(x(vx), y(vy));
    }
    svg.path(points, s.color, s.dashed ? 1.5 : 2.5, s.dashed ? "5 4" : "");
    for (std::size_t i = 0; i < points.size() && !s.dashed; ++i) {
      svg.dot(points[i].first, points[i].second, 4.0, s.color,
              std::string(s.name)
                  .append(": ")
                  .append(short_number(s.points[i].first))
                  .append(", ")
                  .append(short_number(s.points[i].second)));
    }
  }
  return svg.str();
}

std::string bar_chart(const std::string& title, const Axis& y_axis, const Bars& bars, double mark,
                      const std::string& mark_name) {
  Range in_y;
  in_y.add(mark > 0.0 ? mark : 0.0);
  for (const auto& values : bars.values) {
    for (const double v : values) {
      if (v >= 0.0) {
        in_y.add(v);
      }
    }
  }
  if (y_axis.logarithmic) {
    in_y.widen(1.3);
  } else {
    in_y.low = 0.0;
    in_y.high *= 1.04;
  }
  Svg svg(chart_width, 380);
  const double top = draw_head(svg, title, bars.series) + 8.0;
  const double bottom = svg.height() - 36.0;
  const Scale y(y_axis, in_y.low, in_y.high, bottom, top);
  draw_y(svg, y, y_axis, top, bottom);
  const double base = y_axis.logarithmic ? y(mark) : y(0.0);
  const double group = (svg.width() - right - left) /
                       static_cast<double>(std::max<std::size_t>(1, bars.categories.size()));
  const double space = std::min(group * 0.84, 44.0 * static_cast<double>(bars.series.size()));
  const double width = space / static_cast<double>(bars.series.size());
  const auto each = [&](auto&& body) {  // body(series, category, value, left edge)
    for (std::size_t c = 0; c < bars.categories.size(); ++c) {
      for (std::size_t s = 0; s < bars.series.size(); ++s) {
        if (bars.values[s][c] >= 0.0) {
          const double middle = left + group * (static_cast<double>(c) + 0.5);
          body(s, c, bars.values[s][c], middle - space / 2 + width * static_cast<double>(s));
        }
      }
    }
  };
  const auto number = [&](double v) {
    const double percent = v * 100.0;
    return !y_axis.percent ? short_number(v)
                           : short_number(percent < 9.95 ? std::round(percent * 10.0) / 10.0
                                                         : std::round(percent));
  };
  each([&](std::size_t s, std::size_t c, double v, double x) {
    svg.rect(x + 1, std::min(base, y(v)), width - 2, std::max(1.0, std::fabs(y(v) - base)),
             bars.series[s].color,
             std::string(bars.categories[c])
                 .append(", ")
                 .append(bars.series[s].name)
                 .append(": ")
                 .append(number(v)));
  });
  if (mark > 0.0) {
    svg.line(left, y(mark), svg.width() - right, y(mark), color::ink, 1.2);
    svg.text(svg.width() - right + 4, y(mark) + 4, mark_name, {.color = color::ink, .size = 11.0});
  }
  each([&](std::size_t, std::size_t, double v, double x) {
    svg.text(x + width / 2, y(v) > base ? y(v) + 13 : y(v) - 4, number(v),
             {.color = color::ink,
              .size = std::min(11.0, width * 0.42 + 1.0),
              .anchor = "middle",
              .halo = true});
  });
  for (std::size_t c = 0; c < bars.categories.size(); ++c) {
    svg.text(left + group * (static_cast<double>(c) + 0.5), bottom + 20, bars.categories[c],
             {.anchor = "middle"});
  }
  return svg.str();
}

}  // namespace xmoe_bench
