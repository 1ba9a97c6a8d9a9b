// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/core/parameters.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI {

/// How numeric gradients are taken.
struct GradientCheckOptions {
  double step = 1e-5;  ///< h of (f(w + h) - f(w - h)) / 2h
  index most = 200;    ///< elements tried per tensor, spread evenly; 0 = all
};

/// Where analytic and numeric gradients differ most.
struct GradientReport {
  double worst = 0.0;  ///< |analytic - numeric| / largest gradient of the tensor
  std::string name;    ///< tensor of the worst element
  index element = 0;   ///< its place in stored order
  double analytic = 0.0;
  double numeric = 0.0;
  index checked = 0;  ///< elements compared
};

/// Compares gradients with central differences. For policies of your own: make the layer with
/// Cpu<double>, let `objective` run it and return a scalar, fill `gradients` by backward.
///
///   in      objective: () -> double, reads the parameters; must not change the choice of experts
///           within one step (stay away from ties and thresholds)
///   out     the worst relative error, below 1e-6 in double for a correct gradient; NaN if a
///           gradient or the objective is
///   throws  shape_error if the lists differ; value_error for tensors that are not double
template <class F>
GradientReport gradient_check(F&& objective, const Parameters& parameters,
                              const Parameters& gradients, GradientCheckOptions options = {}) {
  if (parameters.size() != gradients.size()) {
    detail::fail<shape_error>("xmoe::gradient_check: %zu parameters, %zu gradients",
                              parameters.size(), gradients.size());
  }
  GradientReport report;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].role != Role::trained) {
      continue;
    }
    VectorView<double> w = parameters[i].as<double>().values();
    VectorView<double> g = gradients[i].as<double>().values();
    if (w.size() != g.size()) {
      detail::fail<shape_error>(
          "xmoe::gradient_check: parameter '%s' stores %td numbers, gradient '%s' %td",
          parameters[i].name.c_str(), w.size(), gradients[i].name.c_str(), g.size());
    }
    double largest = 1e-12;
    for (const double v : g) {
      largest = std::abs(v) > largest ? std::abs(v) : largest;
    }
    const index stride = options.most > 0 && w.size() > options.most ? w.size() / options.most : 1;
    for (index j = 0; j < w.size(); j += stride) {
      const double kept = w[j];
      w[j] = kept + options.step;
      const double above = objective();
      w[j] = kept - options.step;
      const double below = objective();
      w[j] = kept;
      const double numeric = (above - below) / (2.0 * options.step);
      const double wrong = std::abs(numeric - g[j]) / largest;
      ++report.checked;
      if (!(wrong <= report.worst) && !is_nan(report.worst)) {  // the first NaN stays
        report.worst = wrong;
        report.name = parameters[i].name;
        report.element = j;
        report.analytic = g[j];
        report.numeric = numeric;
      }
    }
  }
  return report;
}

}  // namespace xmoe::inline XMOE_ABI
