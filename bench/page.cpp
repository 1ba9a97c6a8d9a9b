// SPDX-License-Identifier: Apache-2.0
#include "charts.hpp"
#include "svg.hpp"

#include <fstream>
#include <functional>

namespace xmoe_bench {

namespace {

constexpr const char* head = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>xmoe: measured</title>
<style>
body { font: 15px/1.5 system-ui, "DejaVu Sans", Arial, sans-serif; color: #1f2937;
       background: #f8fafc; max-width: 980px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; }
figure { margin: 1em 0; background: #fff; border: 1px solid #e5e7eb; border-radius: 8px;
         padding: 12px; overflow-x: auto; }
svg { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; font-size: 12.5px; background: #fff; width: 100%; }
th, td { padding: 3px 7px; text-align: right; border-bottom: 1px solid #e5e7eb;
         white-space: nowrap; }
th:nth-child(-n+5), td:nth-child(-n+5) { text-align: left; }
p { color: #374151; }
</style></head><body>
)";

constexpr const char* rival_colors[] = {"#d97706", "#059669", "#7c3aed", "#dc2626", "#9ca3af"};

using Rows = std::vector<const Row*>;

Rows select(const std::vector<Row>& rows, const std::function<bool(const Row&)>& wanted) {
  Rows result;
  for (const Row& row : rows) {
    if (wanted(row)) {
      result.push_back(&row);
    }
  }
  return result;
}
/// Different values of something, in the order of their first row.
std::vector<std::string> distinct(const Rows& rows,
                                  const std::function<std::string(const Row&)>& what) {
  std::vector<std::string> result;
  for (const Row* row : rows) {
    const std::string value = what(*row);
    if (std::find(result.begin(), result.end(), value) == result.end()) {
      result.push_back(value);
    }
  }
  return result;
}
const char* color_of(const std::string& scalar) {
  return scalar == "bf16" ? color::bf16 : color::f32;
}
double more(const Row& row, const std::string& name) {
  const auto found = std::find_if(row.more.begin(), row.more.end(),
                                  [&](const auto& m) { return m.first == name; });
  return found == row.more.end() ? -1.0 : found->second;
}

class Page {
 public:
  Page(std::ostream& out, const Machine& machine, const std::vector<Row>& rows)
      : out_(out), machine_(machine), rows_(rows) {}

  void write() {
    out_ << head;
    out_ << "<h1>xmoe: measured</h1>\n<p>" << escaped(machine_.processor) << ", "
         << machine_.hardware_threads << " threads at once; " << escaped(machine_.compiler)
         << ", vectors of " << machine_.vector_bytes << " bytes. Limits of " << machine_.threads
         << " threads: " << short_number(machine_.f32_gflops) << " GFLOP/s f32, "
         << short_number(machine_.bf16_gflops) << " GFLOP/s bf16; memory in GB/s: read "
         << short_number(machine_.read_gbytes) << ", write " << short_number(machine_.write_gbytes)
         << ", copy " << short_number(machine_.copy_gbytes)
         << ". All numbers are medians over rounds in which everybody takes a turn; limits are "
            "measured in the same rounds.</p>\n";
    table_charts();
    sweep_charts();
    table();
    out_ << "</body></html>\n";
  }

 private:
  void section(const char* title, const char* text) {
    out_ << "<h2>" << title << "</h2>\n<p>" << text << "</p>\n";
  }
  void figure(const std::string& svg) { out_ << "<figure>" << svg << "</figure>\n"; }

  void table_charts() {
    const Rows all = select(rows_, [&](const Row& r) {
      return r.sweep.empty() && r.skew == rows_.front().skew && r.threads == machine_.threads;
    });
    if (all.empty()) {
      return;
    }
    section("Under the roof",
            "A dot on a line cannot be faster on this machine. Backward: twice the multiply-adds; "
            "weights are read once and gradients written once.");
    for (const char* pass : {"forward", "backward"}) {
      const Rows some = having(all, pass, "");
      if (!some.empty()) {
        figure(roofline(std::string("Roofline, ").append(pass), machine_, some));
      }
    }
    share_of_limit(all);
    section("Beside others",
            "Their time over ours, on a logarithmic scale: above the line they are slower. All "
            "compute the same y. Dense: our own layer with one expert of equal work.");
    for (const char* pass : {"forward", "backward"}) {
      for (const char* scalar : {"f32", "bf16"}) {
        rivals(having(all, pass, scalar), pass, scalar);
      }
    }
  }
  static Rows having(const Rows& rows, const std::string& pass, const std::string& scalar) {
    Rows result;
    for (const Row* row : rows) {
      if (row->pass == pass && (scalar.empty() || row->scalar == scalar)) {
        result.push_back(row);
      }
    }
    return result;
  }
  void share_of_limit(const Rows& all) {
    Bars bars;
    bars.categories = distinct(all, [](const Row& r) { return r.workload; });
    const auto kind = [](const Row& r) { return std::string(r.scalar).append(" ").append(r.pass); };
    for (const std::string& name : distinct(all, kind)) {
      const bool narrow = name.starts_with("bf16");
      const bool backward = name.ends_with("backward");
      bars.series.push_back({name, narrow ? (backward ? "#5eead4" : color::bf16)
                                          : (backward ? "#93c5fd" : color::f32)});
      bars.values.emplace_back(bars.categories.size(), -1.0);
      for (std::size_t c = 0; c < bars.categories.size(); ++c) {
        for (const Row* row : all) {
          if (row->workload == bars.categories[c] && kind(*row) == name) {
            bars.values.back()[c] = row->share_of_limit();
          }
        }
      }
    }
    section("Share of the limit", "The time that the machine's limits allow, over ours.");
    figure(bar_chart("Share of the limit, %", {.title = "limit / time", .percent = true}, bars, 1.0,
                     "limit"));
  }
  void rivals(const Rows& rows, const std::string& pass, const std::string& scalar) {
    Bars bars;
    for (const Row* row : rows) {
      bars.categories.push_back(row->workload);
    }
    for (std::size_t i = 0; i < std::size(rival_names); ++i) {
      std::vector<double> values;
      bool any = false;
      for (const Row* row : rows) {
        const Rival* rival = row->rival(rival_names[i]);
        values.push_back(rival == nullptr ? -1.0 : rival->ratio());
        any = any || rival != nullptr;
      }
      if (any) {
        bars.series.push_back({rival_title(rival_names[i]), rival_colors[i]});
        bars.values.push_back(std::move(values));
      }
    }
    if (!bars.series.empty()) {
      figure(bar_chart(std::string("Time over ours, ").append(scalar).append(" ").append(pass),
                       {.title = "their time / ours", .logarithmic = true, .base = 2.0}, bars, 1.0,
                       "ours"));
    }
  }

  void sweep_charts();
  void sweep_lines(const char* sweep, const Axis& x, const char* title);
  void sweep_bars(const char* sweep, const char* title, const Axis& y, double mark,
                  const char* mark_name, const std::function<std::string(const Row&)>& category,
                  const std::function<std::string(const Row&)>& series,
                  const std::function<double(const Row&)>& value);
  void threshold_lines();
  void speedup_lines();
  void table();

  std::ostream& out_;
  const Machine& machine_;
  const std::vector<Row>& rows_;
};

void Page::sweep_charts() {
  if (select(rows_, [](const Row& r) { return !r.sweep.empty(); }).empty()) {
    return;
  }
  section(
      "Sweeps",
      "One thing varies, the rest stays. Where a limit is beaten, part of the weights came from "
      "a cache.");
  sweep_lines("tokens", {.title = "tokens", .logarithmic = true, .base = 2.0}, "Tokens in a call");
  sweep_lines("experts", {.title = "experts", .logarithmic = true, .base = 2.0},
              "Experts at equal work: 512 tokens, 8 experts a token, 512 x 128");
  sweep_bars(
      "skew", "How unevenly tokens choose: time over that of a uniform choice",
      {.title = "time / uniform"}, 1.0, "uniform",
      [](const Row& r) { return std::string(r.workload).append(" ").append(r.scalar); },
      [](const Row& r) { return r.skew; }, [](const Row& r) { return more(r, "relative"); });
  speedup_lines();
  sweep_bars(
      "granularity", "Few wide experts or many narrow ones, equal work: ms", {.title = "ms"}, 0.0,
      "", [](const Row& r) { return std::string(r.scalar).append(" ").append(r.pass); },
      [](const Row& r) { return r.workload; }, [](const Row& r) { return r.ours.median() * 1e3; });
  threshold_lines();
  sweep_bars(
      "router", "Share of the router (gate, softmax, selection) in a forward, %",
      {.title = "share", .percent = true}, 0.0, "",
      [](const Row& r) {
        return r.value < 1.5 && r.workload == "W1" ? std::string("W1, T = 1") : r.workload;
      },
      [](const Row& r) { return r.scalar; }, [](const Row& r) { return more(r, "router_share"); });
}

/// Time over the sweep's value, one chart a workload, with limits and the Eigen loop.
void Page::sweep_lines(const char* sweep, const Axis& x, const char* title) {
  const Rows rows = select(rows_, [&](const Row& r) { return r.sweep == sweep; });
  const bool by_workload = std::string(sweep) == "tokens";
  const auto names = distinct(rows, [](const Row& r) { return r.workload; });
  std::vector<Series> series;
  for (const std::string& name : names) {
    for (const char* scalar : {"f32", "bf16"}) {
      Series ours{std::string("ours ").append(scalar), color_of(scalar)};
      Series limit{std::string("limit ").append(scalar), color_of(scalar), true};
      Series eigen{"Eigen loop f32", rival_colors[0]};
      if (!by_workload && name != names.front()) {
        ours.name.append(", ").append(name);
        ours.color = "#db2777";
      }
      for (const Row* row : rows) {
        if (row->workload == name && row->scalar == scalar) {
          ours.points.emplace_back(row->value, row->ours.median() * 1e3);
          limit.points.emplace_back(row->value, row->limit() * 1e3);
          if (const Rival* rival = row->rival("eigen")) {
            eigen.points.emplace_back(row->value, rival->seconds.median() * 1e3);
          }
        }
      }
      const bool extra = ours.points.size() == 1;
      for (Series* s : {&ours, &limit, &eigen}) {
        if (!s->points.empty() && (s == &ours || !extra)) {
          series.push_back(std::move(*s));
        }
      }
    }
    if (by_workload || name == names.back()) {
      figure(line_chart(by_workload ? std::string(title).append(", ").append(name) : title, x,
                        {.title = "ms", .logarithmic = true}, series));
      series.clear();
    }
  }
}

void Page::speedup_lines() {
  const Rows rows = select(rows_, [](const Row& r) { return r.sweep == "threads"; });
  if (rows.empty()) {
    return;
  }
  constexpr const char* shades[] = {"#2563eb", "#0d9488", "#7c3aed",
                                    "#db2777", "#d97706", "#65a30d"};
  std::vector<Series> series{{"ideal", color::quiet, true}};
  const auto kind = [](const Row& r) {
    return std::string(r.workload).append(" ").append(r.scalar);
  };
  for (const std::string& name : distinct(rows, kind)) {
    series.push_back({name, shades[(series.size() - 1) % std::size(shades)]});
    for (const Row* row : rows) {
      if (kind(*row) == name) {
        series.back().points.emplace_back(row->value, more(*row, "speedup"));
      }
    }
  }
  for (const auto& [n, speedup] : series[1].points) {
    series[0].points.emplace_back(n, n);
  }
  figure(line_chart("Threads: speed over one thread", {.title = "threads", .whole = true},
                    {.title = "speedup"}, series));
}

void Page::threshold_lines() {
  const Rows rows = select(rows_, [](const Row& r) { return r.sweep == "threshold"; });
  std::vector<Series> series;
  for (const std::string& scalar : distinct(rows, [](const Row& r) { return r.scalar; })) {
    Series layer{std::string("layer ").append(scalar), color_of(scalar)};
    Series router{std::string("router in it, ").append(scalar), color_of(scalar), true};
    for (const Row* row : rows) {
      if (row->scalar == scalar) {
        layer.points.emplace_back(more(*row, "r_use"), row->ours.median() * 1e3);
        router.points.emplace_back(more(*row, "r_use"),
                                   row->rival("route")->seconds.median() * 1e3);
      }
    }
    series.push_back(std::move(layer));
    series.push_back(std::move(router));
  }
  if (!series.empty()) {
    figure(line_chart("Threshold router on W1: time over work, thresholds 0.1 to 0.99",
                      {.title = "r_use: FLOPs over those of a top-1 layer of 8 x 3072"},
                      {.title = "ms"}, series));
  }
}

void Page::sweep_bars(const char* sweep, const char* title, const Axis& y, double mark,
                      const char* mark_name, const std::function<std::string(const Row&)>& category,
                      const std::function<std::string(const Row&)>& series,
                      const std::function<double(const Row&)>& value) {
  constexpr const char* shades[] = {"#2563eb", "#0d9488", "#d97706", "#7c3aed"};
  const Rows rows = select(rows_, [&](const Row& r) { return r.sweep == sweep; });
  if (rows.empty()) {
    return;
  }
  Bars bars;
  bars.categories = distinct(rows, category);
  for (const std::string& name : distinct(rows, series)) {
    bars.series.push_back({name, shades[bars.series.size() % std::size(shades)]});
    bars.values.emplace_back(bars.categories.size(), -1.0);
    for (std::size_t c = 0; c < bars.categories.size(); ++c) {
      for (const Row* row : rows) {
        if (category(*row) == bars.categories[c] && series(*row) == name) {
          bars.values.back()[c] = value(*row);
        }
      }
    }
  }
  figure(bar_chart(title, y, bars, mark, mark_name));
}

void Page::table() {
  const Rows rows = select(rows_, [](const Row& r) { return r.sweep.empty(); });
  if (rows.empty()) {
    return;
  }
  section("All numbers",
          "Ours in ms with half the distance of the quartiles; others: their time over ours; "
          "error: relative difference of all results to the Eigen loop in float.");
  out_ << "<figure><table><tr><th>workload<th>weights<th>pass<th>skew<th>threads<th>ours<th>+-"
          "<th>limit<th>of it<th>GFLOP/s<th>GB/s";
  for (const char* name : rival_names) {
    out_ << "<th>" << (std::string(name) == "dense" ? "dense" : rival_title(name));
  }
  out_ << "<th>error</tr>\n";
  for (const Row* row : rows) {
    const double time = row->ours.median();
    char text[400];
    std::snprintf(text, sizeof(text), "<td>%.3f<td>%.1f %%<td>%.3f<td>%.0f %%<td>%.1f<td>%.1f",
                  time * 1e3, row->ours.spread() * 100.0, row->limit() * 1e3,
                  row->share_of_limit() * 100.0, row->flops / time * 1e-9,
                  row->bytes / time * 1e-9);
    out_ << "<tr><td>" << row->workload << "<td>" << row->scalar << "<td>" << row->pass << "<td>"
         << row->skew << "<td>" << row->threads << text;
    for (const char* name : rival_names) {
      const Rival* rival = row->rival(name);
      std::snprintf(text, sizeof(text), "%.2f", rival == nullptr ? 0.0 : rival->ratio());
      out_ << "<td>" << (rival == nullptr ? "" : text);
    }
    std::snprintf(text, sizeof(text), "<td>%.1e</tr>\n", row->error);
    out_ << text;
  }
  out_ << "</table></figure>\n";
}

}  // namespace

bool write_html(const std::string& path, const Machine& machine, const std::vector<Row>& rows) {
  std::ofstream out(path);
  Page(out, machine, rows).write();
  return static_cast<bool>(out.flush());
}

}  // namespace xmoe_bench
