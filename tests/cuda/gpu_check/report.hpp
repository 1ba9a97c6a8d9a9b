// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "findings.hpp"

// What is measured, and how it is told. Plain C++.
namespace gpu_check {

using index = std::ptrdiff_t;

/// A layer and a call of it.
struct Workload {
  const char* name;
  const char* system;
  index dim, hidden, experts;
  index chosen;     ///< experts a token; the mean where it varies
  index shared;     ///< of the experts, those that every token takes, by a bias of the gate
  float threshold;  ///< of the XMoE layer, softmax and GELU; 0: the SwiGLU layer with top-k
  index most;       ///< of the XMoE layer: experts a token at most
  index tokens;

  bool gated() const { return threshold == 0.f; }
  /// Weights of one expert.
  double expert_size() const { return static_cast<double>((gated() ? 3 : 2) * dim * hidden); }
};
// clang-format off
inline constexpr Workload workloads[] = {
    {"W1",  "XMoE language model",       768,  192,  128, 8, 0, 0.27f, 15, 1024},
    {"W2",  "Switch Transformer",        768,  3072, 8,   1, 0, 0.9f,  1,  1024},
    {"W3",  "Mixtral, a quarter as wide", 1024, 3584, 8,   2, 0, 0.f,   0,  512},
    {"W4",  "Qwen3-30B-A3B, prefill",    2048, 768,  128, 8, 0, 0.f,   0,  512},
    {"W6b", "DeepSeek-16B, 128 tokens",  2048, 1408, 66,  8, 2, 0.f,   0,  128},
};
// clang-format on

/// Times of repeated calls, in milliseconds.
struct Times {
  double median = 0.0;
  double low = 0.0, high = 0.0;  ///< quartiles
  int count = 0;

  static Times of(std::vector<double> all) {
    if (all.empty()) {
      return {};
    }
    std::sort(all.begin(), all.end());
    const auto at = [&](double share) {
      return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1) + 0.5)];
    };
    return {at(0.5), at(0.25), at(0.75), static_cast<int>(all.size())};
  }
  /// Half the distance of the quartiles, in percent of the median.
  double spread() const { return median > 0.0 ? 50.0 * (high - low) / median : 0.0; }
};

/// What the card reached in this run.
struct Limits {
  std::string scalar;
  double flops = 0.0;  ///< a second, in a large product of cuBLAS
  double bytes = 0.0;  ///< a second, read and written, in a copy
};

struct Timing {
  const Workload* workload = nullptr;
  std::string scalar;
  bool training = false;  ///< forward and backward
  double rows = 0.0;      ///< (token, expert) pairs
  double active = 0.0;    ///< experts with rows
  int weight_bytes = 0, sum_bytes = 0;
  Times layer, cublas;
  std::string problem;  ///< not measured, and why

  double flops() const { return 2.0 * rows * workload->expert_size() * (training ? 3.0 : 1.0); }
  /// What has to move at least: weights of the experts that have rows, activations once; while
  /// training weights twice, and gradients of all experts are written.
  double bytes() const {
    const double batch = static_cast<double>(workload->tokens * workload->dim) * weight_bytes;
    const double read = active * workload->expert_size() * weight_bytes;
    const double written =
        static_cast<double>(workload->experts) * workload->expert_size() * sum_bytes;
    return training ? 5.0 * batch + 2.0 * read + written : 2.0 * batch + read;
  }
  double tokens_per_second() const {
    return static_cast<double>(workload->tokens) / layer.median * 1e3;
  }
  double flops_per_second() const { return flops() / layer.median * 1e3; }
  /// The time that the card's limits allow, as a share of the time that was taken.
  double share(const Limits& l) const {
    return 1e3 * std::max(flops() / l.flops, bytes() / l.bytes) / layer.median;
  }
  double ratio() const { return cublas.median / layer.median; }
};

inline std::string text(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

/// One row of a table: the same words for the screen and for Markdown.
using Row = std::vector<std::string>;
inline Row head() {
  return {"workload", "scalar",          "pass", "ms", "spread", "tokens/s", "TFLOP/s",
          "of limit", "cuBLAS loop, ms", "ratio"};
}
inline Row row_of(const Timing& t, const Limits& limits) {
  const Row first = {t.workload->name, t.scalar, t.training ? "forward + backward" : "forward"};
  Row row = first;
  if (!t.problem.empty()) {
    row.push_back("not timed: " + t.problem);
    row.resize(head().size());
    return row;
  }
  for (const std::string& cell :
       {text("%.3f", t.layer.median), text("+-%.1f %%", t.layer.spread()),
        text("%.0f", t.tokens_per_second()), text("%.2f", t.flops_per_second() * 1e-12),
        text("%.0f %%", 100.0 * t.share(limits)), text("%.3f", t.cublas.median),
        text("%.2f", t.ratio())}) {
    row.push_back(cell);
  }
  return row;
}
inline std::string line_of(const Row& row) {
  static constexpr int widths[] = {8, 9, 18, 10, 9, 12, 8, 8, 15, 6};
  std::string line;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const auto width = static_cast<std::size_t>(widths[i]);
    const std::string gap(row[i].size() < width ? width - row[i].size() : 0, ' ');
    line += (i == 0 ? "" : "  ") + (i < 3 ? row[i] + gap : gap + row[i]);
  }
  return line;
}
inline std::string markdown_of(const Row& row) {
  std::string line = "|";
  for (const std::string& cell : row) {
    line += ' ' + cell + " |";
  }
  return line + '\n';
}
inline std::string line_of(const Limits& l) {
  return l.scalar + ": " + text("%.1f TFLOP/s in a product of cuBLAS, ", l.flops * 1e-12) +
         text("%.0f GB/s in a copy", l.bytes * 1e-9);
}

struct Checked {
  std::string name;
  Outcome outcome;
};

/// Everything, as a Markdown page.
struct Page {
  std::vector<std::string> machine;
  std::vector<Checked> checks;
  std::vector<Limits> limits;
  std::vector<Timing> timings;
  std::string remark;

  const Limits& limits_of(const Timing& t) const {
    for (const Limits& l : limits) {
      if (l.scalar == t.scalar) {
        return l;
      }
    }
    static const Limits none;
    return none;
  }
  std::string markdown() const {
    std::string page = "# xmoe on a GPU\n\n";
    for (const std::string& line : machine) {
      page += "- " + line + '\n';
    }
    page +=
        "\n## Checks\n\n| check | result | comparisons | worst error, of what is allowed | s |\n"
        "|---|---|---|---|---|\n";
    for (const Checked& c : checks) {
      const Findings& f = c.outcome.findings;
      page += markdown_of({c.name, c.outcome.passed() ? "ok" : "**failed**",
                           std::to_string(f.comparisons()), text("%.2f", f.worst()),
                           text("%.2f", c.outcome.seconds)});
    }
    for (const Checked& c : checks) {
      for (const std::string& problem : c.outcome.findings.problems()) {
        page += "\n- " + c.name + ": " + problem;
      }
    }
    page += remark.empty() ? "" : "\n" + remark + "\n";
    if (timings.empty()) {
      return page;
    }
    page += "\n## Timings\n\nReached in this run:\n\n";
    for (const Limits& l : limits) {
      page += "- " + line_of(l) + '\n';
    }
    page += '\n' + markdown_of(head()) + markdown_of(Row(head().size(), "---"));
    for (const Timing& t : timings) {
      page += markdown_of(row_of(t, limits_of(t)));
    }
    page +=
        "\nMedian of repeated calls, caches cleared before each; spread: half the distance of "
        "the quartiles.\n\"of limit\": the larger of arithmetic at the product's rate and "
        "compulsory traffic at the copy's rate, over the time.\n\"cuBLAS loop\": the experts' "
        "products alone, one call an expert, with rows gathered and counts known beforehand; no "
        "router, no activation, no combine. Ratio: its time over the layer's.\n\n"
        "| workload | layer of | D | H | E | rows | experts with rows | T |\n"
        "|---|---|---|---|---|---|---|---|\n";
    for (const Timing& t : timings) {
      if (!t.training && t.scalar == timings.front().scalar) {
        const Workload& w = *t.workload;
        page += markdown_of({w.name, w.system, std::to_string(w.dim), std::to_string(w.hidden),
                             std::to_string(w.experts), text("%.0f", t.rows),
                             text("%.0f", t.active), std::to_string(w.tokens)});
      }
    }
    return page;
  }
};

}  // namespace gpu_check
