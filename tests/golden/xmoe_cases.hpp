// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <vector>

#include "support/reference.hpp"

// Inputs of the golden cases of XMoE (arXiv 2403.18926), shared by the oracle's and the library's
// tests. The expected figures stand in the tests. They were made by an independent model and
// compared with the gate functions of github.com/ysngki/XMoE at commit 917d944.
namespace golden {

using reference::index;
using reference::Matrix;
using reference::Setup;

inline Matrix matrix(index rows, index cols, const std::vector<double>& values) {
  Matrix m(rows, cols);
  m.values = values;
  return m;
}
inline Matrix logarithms(Matrix p) {
  for (double& v : p.values) {
    v = std::log(v);
  }
  return p;
}

/// Probabilities of the small case, T = 4, E = 4.
inline Matrix small_probabilities() {
  return matrix(4, 4,
                {0.50, 0.25, 0.15, 0.10, 0.10, 0.62, 0.20, 0.08,  //
                 0.30, 0.28, 0.22, 0.20, 0.02, 0.03, 0.05, 0.90});
}
/// With a placeholder in column 0: T = 4, four real experts.
inline Matrix placeholder_probabilities() {
  return matrix(4, 5, {0.60, 0.20, 0.10, 0.06, 0.04, 0.05, 0.72, 0.13, 0.06, 0.04,
                       0.90, 0.04, 0.03, 0.02, 0.01, 0.30, 0.10, 0.35, 0.05, 0.20});
}
/// z_ij = 2.5 sin(1.3 i + 0.7 j^2 + 0.2 i j)
inline Matrix wave_logits(index tokens, index experts) {
  Matrix z(tokens, experts);
  for (index i = 0; i < tokens; ++i) {
    for (index j = 0; j < experts; ++j) {
      const double a = static_cast<double>(i);
      const double b = static_cast<double>(j);
      z(i, j) = 2.5 * std::sin(1.3 * a + 0.7 * b * b + 0.2 * a * b);
    }
  }
  return z;
}

/// A layer whose tokens are [features, logits]: the gate reads the logits unchanged, and expert e
/// multiplies the features by e + 1. The model width is features + outputs.
inline Setup given_logits(index features, index outputs, bool placeholder = false) {
  const index width = features + outputs;
  const index experts = outputs - (placeholder ? 1 : 0);
  Setup s;
  s.router.placeholder = placeholder;
  s.router.weight = Matrix(outputs, width);
  for (index e = 0; e < outputs; ++e) {
    s.router.weight(e, features + e) = 1.0;
  }
  const index hidden = features > 0 ? features : 1;
  s.experts.activation = reference::Activation::identity;
  s.experts.biases = false;
  s.experts.up = reference::Stack(experts, hidden, width);
  s.experts.up_bias = reference::Stack(experts, hidden, 1);
  s.experts.down = reference::Stack(experts, width, hidden);
  s.experts.down_bias = reference::Stack(experts, width, 1);
  for (index e = 0; e < experts; ++e) {
    for (index d = 0; d < features; ++d) {
      s.experts.up(e, d, d) = 1.0;
      s.experts.down(e, d, d) = static_cast<double>(e + 1);
    }
  }
  return s;
}
/// The tokens of such a layer.
inline Matrix join(const Matrix& features, const Matrix& logits) {
  Matrix x(logits.rows, features.cols + logits.cols);
  for (index t = 0; t < x.rows; ++t) {
    for (index d = 0; d < x.cols; ++d) {
      x(t, d) = d < features.cols ? features(t, d) : logits(t, d - features.cols);
    }
  }
  return x;
}
inline Matrix no_features(index tokens) { return Matrix(tokens, 0); }

/// The whole layer: T = 4, E = 4, D = 3, H = 2, threshold 0.7, loss 0.01 * balance.
inline Setup whole_layer(double factor, reference::Activation activation) {
  Setup s;
  s.router.threshold = 0.7;
  s.router.weight = Matrix(4, 3);
  s.capacity.limited = true;
  s.capacity.factor = factor;
  s.experts.activation = activation;
  s.experts.up = reference::Stack(4, 2, 3);
  s.experts.up_bias = reference::Stack(4, 2, 1);
  s.experts.down = reference::Stack(4, 3, 2);
  s.experts.down_bias = reference::Stack(4, 3, 1);
  s.balance = {{.coefficient = 0.01}};
  for (index e = 0; e < 4; ++e) {
    const double a = static_cast<double>(e);
    for (index d = 0; d < 3; ++d) {
      const double b = static_cast<double>(d);
      s.router.weight(e, d) = 1.5 * std::cos(a + 2.0 * b);
      s.experts.down_bias(e, d, 0) = 0.01 * (a + b);
      for (index h = 0; h < 2; ++h) {
        const double c = static_cast<double>(h);
        s.experts.up(e, h, d) = 0.1 * (a + 1.0) + 0.2 * c - 0.3 * b;
        s.experts.down(e, d, h) = 0.2 * (b + 1.0) - 0.1 * c + 0.05 * a;
        s.experts.up_bias(e, h, 0) = 0.05 * (c - a) + 0.1;
      }
    }
  }
  return s;
}
inline Matrix whole_layer_tokens() {
  Matrix x(4, 3);
  for (index t = 0; t < 4; ++t) {
    for (index d = 0; d < 3; ++d) {
      x(t, d) = std::sin(1.0 + 3.0 * static_cast<double>(t) + static_cast<double>(d));
    }
  }
  return x;
}

/// What the figures of the whole layer are.
struct WholeLayer {
  double factor;
  reference::Activation activation;
  std::vector<double> y;          ///< [4,3], 8 decimals
  double loss;                    ///< 10 decimals
  std::vector<double> dx;         ///< [4,3]
  std::vector<double> gate;       ///< [4,3]
  std::vector<double> up_sums;    ///< [4] sum of dW1 of an expert
  std::vector<double> up_bias;    ///< [4]
  std::vector<double> down_sums;  ///< [4]
  std::vector<double> down_bias;  ///< [4]
};
inline std::vector<WholeLayer> whole_layer_figures() {
  using reference::Activation;
  return {{1.0,
           Activation::relu,
           {.02038772, .06682475, .11326179, .00784159, .01176238, .01568318,  //
            .09243384, .15581676, .21919968, .02703299, .04939045, .07174790},
           0.0647136495,
           {.02966776, -.00008930, -.02959344, .00095513, -.00068735, -.00038305, -.03975037,
            .10490654, .04397871, .01129565, -.00787832, -.01256739},
           {-.01000676, -.01782671, -.00925687, -.01442626, -.02148829, -.00879408, -.00913963,
            -.01261748, -.00449488, .03357264, .05193247, .02254583},
           {.08431477, -.05750999, 0, .34836751},
           {.04456646, .02764127, 0, .16923669},
           {.04087213, .01385563, 0, .14050806},
           {.11350048, .05416079, .01383537, .15267534}},
          {2.0,
           Activation::relu,
           {.02038772, .06682475, .11326179, .02466010, .03962447, .05458884, .10012530, .18233314,
            .26454097, .03262200, .05777395, .08292590},
           0.0847407096,
           {.02966776, -.00008930, -.02959344, .00493934, -.00308213, -.00717790, -.00187234,
            .12176152, .00884038, .01152229, -.00925255, -.01293770},
           {-.00501117, -.01027650, -.00609366, -.01905208, -.02828488, -.01151268, -.01242524,
            -.01784437, -.00685748, .03648849, .05640575, .02446382},
           {.22388096, -.10080654, 0, .41197516},
           {.11236762, .04914759, 0, .20013723},
           {.08294440, .01981072, 0, .16441925},
           {.30177663, .09725159, .09504263, .20397330}},
          {2.0,
           Activation::gelu_tanh,
           {.00940549, .03753299, .06566049, -.02170179, -.04514907, -.06859635, .06575853,
            .11779533, .16983213, .01310593, .01971939, .02633285},
           0.0417014914,
           {.01404990, -.00314088, -.01948027, -.01709951, .00307985, .01341158, -.00072408,
            .05825638, .00437232, .00763117, -.00129926, -.00676076},
           {-.00574720, -.00998716, -.00504497, -.00493545, -.00765294, -.00333435, -.00604597,
            -.00849098, -.00312943, .01672862, .02613108, .01150875},
           {.16096520, .01050895, .01745920, .22322407},
           {.08094528, -.00573855, -.00901196, .10118960},
           {.01688086, .00379868, .00931942, .08469838},
           {.18538380, -.01699974, -.03657431, .08657459}}};
}

/// Kept tokens of every expert in the order in which they were served.
inline std::vector<std::vector<index>> kept_lists(const Setup& setup, const reference::Forward& f) {
  std::vector<std::vector<index>> lists;
  for (index e = 0; e < setup.experts_count(); ++e) {
    lists.emplace_back();
    for (const auto& claim : reference::claims_on(setup.capacity, e, f.chosen)) {
      if (claim.kept) {
        lists.back().push_back(claim.token);
      }
    }
  }
  return lists;
}

}  // namespace golden
