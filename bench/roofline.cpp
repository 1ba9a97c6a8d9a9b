// SPDX-License-Identifier: Apache-2.0
#include "charts.hpp"
#include "svg.hpp"

#include <algorithm>

namespace xmoe_bench {

namespace {

constexpr double left = 72.0;
constexpr double top = 74.0;
constexpr double plot_width = 800.0;
constexpr double plot_height = 380.0;

struct Box {
  double x;
  double y;
  double width;
  double height;

  bool meets(const Box& b) const {
    return x < b.x + b.width && b.x < x + width && y < b.y + b.height && b.y < y + height;
  }
};

/// Puts words beside points where nothing else is.
class Labels {
 public:
  explicit Labels(Svg& svg) : svg_(svg) {}

  void keep_free(const Box& box) { taken_.push_back(box); }
  void add(double x, double y, const std::string& words, const char* color) {
    const double width = Svg::width_of(words, 12.0);
    for (double distance = 10.0; distance < 70.0; distance += 6.0) {
      for (const auto& [dx, dy] : {std::pair{1.0, 0.0},
                                   {-1.0, 0.0},
                                   {0.0, -1.0},
                                   {0.0, 1.0},
                                   {0.7, -0.7},
                                   {-0.7, -0.7},
                                   {0.7, 0.7},
                                   {-0.7, 0.7}}) {
        const double cx = x + dx * (distance + width / 2);
        const double cy = y + dy * (distance + 6.0);
        const Box box{cx - width / 2, cy - 7.0, width, 14.0};
        const bool inside = box.x > left && box.x + width < left + plot_width && box.y > top &&
                            box.y + 14.0 < top + plot_height;
        if (inside && std::none_of(taken_.begin(), taken_.end(),
                                   [&](const Box& other) { return box.meets(other); })) {
          if (distance > 17.0) {
            svg_.line(x, y, cx, cy, color::grid, 1.0);
          }
          svg_.text(dx > 0.9    ? box.x
                    : dx < -0.9 ? box.x + width
                                : cx,
                    cy + 4.0, words,
                    {.color = color,
                     .anchor = dx > 0.9    ? "start"
                               : dx < -0.9 ? "end"
                                           : "middle",
                     .bold = true});
          taken_.push_back(box);
          return;
        }
      }
    }
  }

 private:
  Svg& svg_;
  std::vector<Box> taken_;
};

}  // namespace

std::string roofline(const std::string& title, const Machine& machine,
                     const std::vector<const Row*>& rows) {
  double x_low = 1e30;
  double x_high = 0.0;
  double y_low = 1e30;
  for (const Row* row : rows) {
    x_low = std::min(x_low, row->flops / row->bytes);
    x_high = std::max(x_high, row->flops / row->bytes);
    y_low = std::min(y_low, row->flops / row->ours.median() * 1e-9);
  }
  const double y_high = 2.0 * std::max(machine.f32_gflops, machine.bf16_gflops);
  x_low = std::min(x_low, machine.f32_gflops / machine.read_gbytes) / 2.0;  // both roofs show
  x_high = std::max(4.0 * x_high, 4.0 * machine.bf16_gflops / machine.read_gbytes);
  y_low = std::min(y_low, x_low * machine.read_gbytes) / 1.5;
  const auto x = [&](double v) {
    return left + plot_width * std::log(v / x_low) / std::log(x_high / x_low);
  };
  const auto y = [&](double v) {
    return top + plot_height * (1.0 - std::log(v / y_low) / std::log(y_high / y_low));
  };

  Svg svg(left + plot_width + 28.0, top + plot_height + 60.0);
  svg.text(18, 24, title, {.size = 15.0, .bold = true});
  svg.dot(left + 6, 46, 5.0, color::f32);
  svg.text(left + 18, 50, "f32 weights", {});
  svg.dot(left + 126, 46, 5.0, color::bf16);
  svg.text(left + 138, 50, "bf16 weights", {});
  svg.text(left + 250, 50, "dots: ours; lines: best of three measurements, dots are medians",
           {.color = color::quiet});
  for (const double decade : {0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0}) {
    for (const double m : {1.0, 2.0, 5.0}) {
      const double v = decade * m;
      if (v >= x_low && v <= x_high) {
        svg.line(x(v), top, x(v), top + plot_height, color::grid);
        svg.text(x(v), top + plot_height + 18, short_number(v),
                 {.color = color::quiet, .anchor = "middle"});
      }
      if (v >= y_low && v <= y_high) {
        svg.line(left, y(v), left + plot_width, y(v), color::grid);
        svg.text(left - 8, y(v) + 4, short_number(v), {.color = color::quiet, .anchor = "end"});
      }
    }
  }
  svg.text(left + plot_width / 2, top + plot_height + 42,
           "FLOP per byte of weights (and gradients) that has to move",
           {.color = color::quiet, .anchor = "middle"});
  svg.text(18, top + plot_height / 2, "GFLOP/s",
           {.color = color::quiet, .anchor = "middle", .turn = -90.0});

  Labels labels(svg);
  const auto ceiling = [&](double gflops, const char* stroke, const std::string& name) {
    const double ridge = gflops / machine.read_gbytes;
    svg.path(
        {{x(x_low), y(x_low * machine.read_gbytes)}, {x(ridge), y(gflops)}, {x(x_high), y(gflops)}},
        stroke, 2.0);
    const std::string words =
        std::string(name).append(" ").append(short_number(gflops)).append(" GFLOP/s");
    const double width = Svg::width_of(words, 12.0);
    labels.keep_free({left + plot_width - width - 6, y(gflops) - 20.0, width, 24.0});
    svg.text(left + plot_width - 6, y(gflops) - 6, words, {.color = stroke, .anchor = "end"});
  };
  ceiling(machine.bf16_gflops, color::bf16, "bf16 products:");
  ceiling(machine.f32_gflops, color::f32, "f32 multiply-adds:");
  const double slope =
      -std::atan2(plot_height / std::log(y_high / y_low), plot_width / std::log(x_high / x_low)) *
      180.0 / 3.14159265;
  const double at = x_low * std::sqrt(machine.f32_gflops / machine.read_gbytes / x_low);
  svg.text(x(at) - 8, y(at * machine.read_gbytes) - 10,
           std::string("memory: ").append(short_number(machine.read_gbytes)).append(" GB/s read"),
           {.color = color::quiet, .anchor = "middle", .turn = slope});

  for (const Row* row : rows) {
    const double px = x(row->flops / row->bytes);
    const double py = y(row->flops / row->ours.median() * 1e-9);
    labels.keep_free({px - 6, py - 6, 12, 12});
    svg.dot(px, py, 5.5, row->scalar == "bf16" ? color::bf16 : color::f32,
            std::string(row->workload).append(" ").append(row->scalar));
  }
  for (const Row* row : rows) {
    labels.add(x(row->flops / row->bytes), y(row->flops / row->ours.median() * 1e-9), row->workload,
               row->scalar == "bf16" ? color::bf16 : color::f32);
  }
  return svg.str();
}

}  // namespace xmoe_bench
