// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace xmoe_bench {

inline std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    c == '<' ? result.append("&lt;") : c == '&' ? result.append("&amp;") : result.append(1, c);
  }
  return result;
}

/// About three digits.
inline std::string short_number(double value) {
  char text[32];
  const double size = std::fabs(value);
  std::snprintf(text, sizeof(text),
                size >= 99.95 || value == std::round(value) ? "%.0f"
                : size >= 9.995                             ? "%.1f"
                : size >= 0.1                               ? "%.2f"
                                                            : "%.2g",
                value);
  return text;
}

namespace color {
inline constexpr const char* ink = "#1f2937";
inline constexpr const char* quiet = "#6b7280";
inline constexpr const char* grid = "#e5e7eb";
inline constexpr const char* f32 = "#2563eb";
inline constexpr const char* bf16 = "#0d9488";
}  // namespace color

/// A drawing, element by element. Coordinates are pixels from the upper left.
class Svg {
 public:
  struct Style {
    const char* color = color::ink;
    double size = 12.0;
    const char* anchor = "start";
    bool bold = false;
    double turn = 0.0;  ///< degrees
    bool halo = false;  ///< white around it
  };

  Svg(double width, double height) : width_(width), height_(height) {}

  double width() const { return width_; }
  double height() const { return height_; }

  void text(double x, double y, const std::string& words, const Style& style) {
    put("<text x='%.1f' y='%.1f' fill='%s' font-size='%.1f' text-anchor='%s'%s", x, y, style.color,
        style.size, style.anchor, style.bold ? " font-weight='600'" : "");
    if (style.turn != 0.0) {
      put(" transform='rotate(%.0f %.1f %.1f)'", style.turn, x, y);
    }
    if (style.halo) {
      put(" paint-order='stroke' stroke='#fff' stroke-width='3' stroke-linejoin='round'");
    }
    body_.append(">").append(escaped(words)).append("</text>\n");
  }
  void line(double x1, double y1, double x2, double y2, const char* stroke, double width = 1.0,
            const char* dashes = "") {
    put("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s' stroke-width='%.1f' "
        "stroke-dasharray='%s'/>\n",
        x1, y1, x2, y2, stroke, width, dashes);
  }
  void rect(double x, double y, double width, double height, const char* fill,
            const std::string& hint = "") {
    put("<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'>", x, y, width, height, fill);
    body_.append("<title>").append(escaped(hint)).append("</title></rect>\n");
  }
  void dot(double x, double y, double radius, const char* fill, const std::string& hint = "") {
    put("<circle cx='%.1f' cy='%.1f' r='%.1f' fill='%s' stroke='#fff' stroke-width='1'>", x, y,
        radius, fill);
    body_.append("<title>").append(escaped(hint)).append("</title></circle>\n");
  }
  void path(const std::vector<std::pair<double, double>>& points, const char* stroke, double width,
            const char* dashes = "") {
    body_.append("<polyline fill='none' points='");
    for (const auto& [x, y] : points) {
      put("%.1f,%.1f ", x, y);
    }
    put("' stroke='%s' stroke-width='%.1f' stroke-dasharray='%s'/>\n", stroke, width, dashes);
  }

  std::string str() const {
    char head[300];
    std::snprintf(head, sizeof(head),
                  "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' width='%.0f' "
                  "height='%.0f' font-family='system-ui, \"DejaVu Sans\", Arial, sans-serif'>\n"
                  "<rect width='100%%' height='100%%' fill='#fff'/>\n",
                  width_, height_, width_, height_);
    return std::string(head).append(body_).append("</svg>\n");
  }

  /// How wide words are, roughly and rather too wide.
  static double width_of(const std::string& words, double size) {
    return 0.62 * size * static_cast<double>(words.size());
  }

 private:
  template <class... Arguments>
  void put(const char* format, Arguments... arguments) {
    char text[400];
    std::snprintf(text, sizeof(text), format, arguments...);
    body_.append(text);
  }
  void put(const char* text) { body_.append(text); }

  double width_;
  double height_;
  std::string body_;
};

}  // namespace xmoe_bench
