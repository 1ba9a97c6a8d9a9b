// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/metrics/choices.hpp>
#include <xmoe/metrics/distribution.hpp>

namespace xmoe::inline XMOE_ABI::metrics {

/// Assignments by expert. Those of several calls add up with +=.
struct Load {
  index tokens = 0;          ///< without padding
  std::vector<index> count;  ///< [E] assignments

  /// Throws shape_error if both have experts, and not the same number.
  Load& operator+=(const Load& other) {
    if (count.empty()) {
      count.resize(other.count.size(), 0);
    }
    if (other.count.size() != count.size() && !other.count.empty()) {
      detail::fail<shape_error>("xmoe::metrics::Load: %zu experts and %zu do not add up",
                                count.size(), other.count.size());
    }
    tokens += other.tokens;
    for (std::size_t e = 0; e < other.count.size(); ++e) {
      count[e] += other.count[e];
    }
    return *this;
  }
};

/// Counts the assignments of a routing, before any capacity.
///
///   in      valid [T]      0 = padding; empty = no padding
///           placeholders   outputs in front that are no expert and are not counted
///   cost    O(T + N)
///   throws  shape_error if the mask does not fit
template <class R>
Load load(const RoutingView<R>& routing, VectorView<const std::uint8_t> valid = {},
          index placeholders = 0) {
  detail::check_mask("xmoe::metrics::load", valid, routing.tokens);
  Load result;
  const index experts = routing.experts - placeholders;
  result.count.assign(static_cast<std::size_t>(experts > 0 ? experts : 0), 0);
  for (index t = 0; t < routing.tokens; ++t) {
    if (!is_real(valid, t)) {
      continue;
    }
    ++result.tokens;
    for (index a = routing.begin(t); a < routing.end(t); ++a) {
      if (routing.expert[a] >= placeholders) {
        ++result.count[static_cast<std::size_t>(routing.expert[a] - placeholders)];
      }
    }
  }
  return result;
}

/// Jain's fairness of the loads: 1 when all are equal, 1/E when one expert gets everything, 0 when
/// nobody gets anything.
inline double jain_index(const std::vector<index>& load) {
  double sum = 0.0, squares = 0.0;
  for (const index n : load) {
    sum += static_cast<double>(n);
    squares += static_cast<double>(n) * static_cast<double>(n);
  }
  return squares > 0.0 ? sum * sum / (static_cast<double>(load.size()) * squares) : 0.0;
}

/// How evenly the experts are used. Of no load at all: zeros, but for experts and unused.
struct Balance {
  index experts = 0;
  index total = 0;           ///< assignments
  index unused = 0;          ///< experts that nobody chose
  double cv_squared = 0.0;   ///< population variance over squared mean: 0 .. E-1
  double max_to_mean = 0.0;  ///< 1 .. E
  double gini = 0.0;         ///< sum over all pairs |n_i - n_j| / (2 E^2 mean): 0 .. 1 - 1/E
  double jain_index = 0.0;   ///< 1/E .. 1
  double entropy = 0.0;      ///< nats, of the shares n_e / sum n: 0 .. ln E
  double perplexity = 0.0;   ///< e^entropy, experts that are used in effect: 1 .. E
  double evenness = 0.0;     ///< entropy / ln E: 0 .. 1; 1 for a single expert
  Distribution load;         ///< of the counts
};

/// Figures of a load, e.g. `balance(load(routing.view()).count)`, or Statistics::load and ::claims.
///
///   cost    O(E log E)
///   source  cv^2: arXiv 1701.06538, section 4
inline Balance balance(const std::vector<index>& load) {
  Balance b;
  std::vector<double> sorted(load.begin(), load.end());
  b.experts = static_cast<index>(load.size());
  for (const index n : load) {
    b.total += n;
    b.unused += n == 0 ? 1 : 0;
  }
  if (b.total == 0) {
    return b;
  }
  b.load = distribution(sorted);
  const double experts = static_cast<double>(b.experts), total = static_cast<double>(b.total);
  const double mean = total / experts;
  b.cv_squared = variance(sorted) / (mean * mean);
  b.max_to_mean = sorted.back() / mean;
  for (std::size_t i = 0; i < sorted.size(); ++i) {  // |n_i - n_j| over sorted pairs, by place
    b.gini += (2.0 * static_cast<double>(i) + 1.0 - experts) * sorted[i] / (experts * total);
  }
  b.jain_index = metrics::jain_index(load);
  b.entropy = metrics::entropy(VectorView<const double>{sorted.data(), b.experts});
  b.perplexity = std::exp(b.entropy);
  b.evenness = b.experts > 1 ? b.entropy / std::log(experts) : 1.0;
  return b;
}

/// The load below which a share of the experts lies: `load_quantile(count, 0.95)`.
inline double load_quantile(const std::vector<index>& load, double share) {
  std::vector<double> sorted(load.begin(), load.end());
  std::sort(sorted.begin(), sorted.end());
  return quantile(sorted, share);
}

/// The load of the busiest device over the mean of all devices: how much longer a step takes than
/// it would if all devices had the same work. 1 .. devices; 0 without load.
///
///   in      load [E]        assignments of an expert
///           device_of [E]   where it lives: 0 .. devices-1
///   throws  shape_error, value_error naming the expert
inline double straggler_factor(const std::vector<index>& load,
                               std::span<const std::int32_t> device_of, index devices) {
  if (device_of.size() != load.size()) {
    detail::fail<shape_error>("xmoe::metrics::straggler_factor: %zu places for %zu experts",
                              device_of.size(), load.size());
  }
  std::vector<index> work(static_cast<std::size_t>(devices > 0 ? devices : 0), 0);
  index total = 0, most = 0;
  for (std::size_t e = 0; e < load.size(); ++e) {
    if (device_of[e] < 0 || device_of[e] >= devices) {
      detail::fail<value_error>(
          "xmoe::metrics::straggler_factor: expert %zu lives on device %d, must be in 0 .. %td", e,
          static_cast<int>(device_of[e]), devices - 1);
    }
    index& here = work[static_cast<std::size_t>(device_of[e])];
    here += load[e];
    total += load[e];
    most = here > most ? here : most;
  }
  return total > 0
             ? static_cast<double>(most) * static_cast<double>(devices) / static_cast<double>(total)
             : 0.0;
}

}  // namespace xmoe::inline XMOE_ABI::metrics
