// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <functional>
#include <optional>
#include <string>

#include "catch.hpp"
#include "reference.hpp"
#include "tolerance.hpp"

namespace tests {

using reference::index;

inline double magnitude(const reference::Vector& values) {
  double m = 0.0;
  for (double v : values) {
    m = std::max(m, std::abs(v));
  }
  return m;
}

/// The worst disagreement of two lists of numbers.
struct Difference {
  bool close = false;
  std::size_t place = 0;
  double got = 0.0;
  double want = 0.0;
};
inline Difference difference(const reference::Vector& got, const reference::Vector& want,
                             double allowed) {
  Difference worst;
  worst.close = got.size() == want.size();
  double largest = -1.0;
  for (std::size_t i = 0; worst.close && i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]);
    if (!(error <= largest)) {  // also for NaN
      largest = error;
      worst.place = i;
      worst.got = got[i];
      worst.want = want[i];
      if (std::isnan(error)) {
        worst.close = false;
      }
    }
  }
  worst.close = worst.close && largest <= allowed;
  return worst;
}

/// Numbers of a result, in double: a matrix view's rows, stride left out.
template <class View>
reference::Vector numbers(const View& view) {
  reference::Vector values;
  for (index i = 0; i < view.rows(); ++i) {
    for (index j = 0; j < view.cols(); ++j) {
      values.push_back(static_cast<double>(view(i, j)));
    }
  }
  return values;
}

/// Checks `got` against the true numbers; the tolerance comes from the true numbers.
template <class S>
void check_close(const std::string& name, const reference::Vector& got,
                 const reference::Vector& want, index chain) {
  const double allowed = tolerance<S>(chain, magnitude(want));
  const Difference d = difference(got, want, allowed);
  INFO(name << ": " << got.size() << " numbers, " << want.size() << " wanted; worst at " << d.place
            << ": " << d.got << ", wanted " << d.want << ", difference " << d.got - d.want
            << ", allowed " << allowed);
  CHECK(d.close);
}

/// A wrong setup that a good comparison must tell from the right one.
struct Mutation {
  std::string name;
  reference::Setup setup;
};

/// Zero output, doubled scale, two experts swapped, weights transposed, one assignment dropped.
/// Only those that apply: one expert cannot be swapped, a 1 x 1 matrix not transposed.
inline std::vector<Mutation> mutations(const reference::Setup& right, const reference::Forward& f) {
  using namespace reference;
  std::vector<Mutation> list;
  const auto add = [&](const char* name) -> Setup& {
    list.push_back({name, right});
    return list.back().setup;
  };
  add("zero output").router.scale = 0.0;
  add("doubled scale").router.scale *= 2.0;

  std::vector<Claim> kept;
  for (const auto& row : f.chosen) {
    for (const Claim& claim : row) {
      if (claim.kept) {
        kept.push_back(claim);
      }
    }
  }
  if (kept.empty()) {
    list.clear();
    return list;
  }
  std::sort(kept.begin(), kept.end(),
            [](const Claim& a, const Claim& b) { return std::abs(a.weight) < std::abs(b.weight); });
  const Claim middle = kept[kept.size() / 2];
  add("one assignment dropped").removed = Pair{middle.token, middle.output};

  const index experts = right.experts_count();
  if (experts > 1) {
    Experts& swapped = add("two experts swapped").experts;
    const index other = (middle.expert + 1) % experts;
    for (Stack* stack : {&swapped.up, &swapped.up_bias, &swapped.down, &swapped.down_bias}) {
      for (index i = 0; i < stack->rows; ++i) {
        for (index j = 0; j < stack->cols; ++j) {
          std::swap((*stack)(middle.expert, i, j), (*stack)(other, i, j));
        }
      }
    }
  }
  const auto transpose = [](Stack& stack) {
    const Stack before = stack;
    for (index e = 0; e < stack.count; ++e) {
      for (index i = 0; i < stack.rows; ++i) {
        for (index j = 0; j < stack.cols; ++j) {
          const index plain = i * stack.cols + j;  // the same numbers read as [cols, rows]
          stack(e, i, j) = before.values[static_cast<std::size_t>(
              e * stack.rows * stack.cols + (plain % stack.cols) * stack.rows +
              plain / stack.cols)];
        }
      }
    }
  };
  if (right.experts.up.rows > 1 && right.experts.up.cols > 1) {
    transpose(add("first weights transposed").experts.up);
  }
  if (right.experts.down.rows > 1 && right.experts.down.cols > 1) {
    transpose(add("second weights transposed").experts.down);
  }
  return list;
}

/// A named result and the length of its longest chain of additions.
struct Tensor {
  std::string name;
  reference::Vector values;
  index chain = 1;
};

/// All that the reference computes from a setup, in the order of a layer's results.
inline std::vector<Tensor> reference_results(const reference::Setup& s, const reference::Matrix& x,
                                             const reference::Matrix* dy) {
  const reference::Forward f = reference::forward(s, x);
  index most = 1;  // experts of one token
  for (const auto& row : f.chosen) {
    most = std::max(most, static_cast<index>(row.size()));
  }
  const index dim = x.cols;
  const index hidden = s.experts.down.cols;
  const index through = 2 * dim + hidden + most;  // gate, both products, combine
  std::vector<Tensor> all = {{"y", f.y.values, through}};
  if (dy != nullptr) {
    const reference::Gradients g = reference::backward(s, x, f, *dy);
    const index back = 2 * through + s.outputs();
    const index summed = back + x.rows;
    all.push_back({"x", g.dx.values, back});
    all.push_back({"router.gate.weight", g.gate.values, summed});
    if (!s.router.bias.empty()) {
      all.push_back({"router.gate.bias", g.gate_bias, summed});
    }
    const std::string up = s.experts.gated ? "expert.gate_up" : "expert.up";
    all.push_back({up + ".weight", g.experts.up.values, summed});
    if (s.experts.biases) {
      all.push_back({up + ".bias", g.experts.up_bias.values, summed});
    }
    all.push_back({"expert.down.weight", g.experts.down.values, summed});
    if (s.experts.biases) {
      all.push_back({"expert.down.bias", g.experts.down_bias.values, summed});
    }
  }
  return all;
}

/// Compares every result with the reference, and the reference of every wrong setup with the same
/// results under the same tolerance: each tensor that a mistake changes must be told apart.
template <class S>
void check_against_reference(const std::vector<Tensor>& got, const reference::Setup& right,
                             const reference::Matrix& x, const reference::Matrix* dy,
                             bool twins = true) {
  const std::vector<Tensor> want = reference_results(right, x, dy);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    REQUIRE(got[i].name == want[i].name);
    check_close<S>(want[i].name, got[i].values, want[i].values, want[i].chain);
  }
  if (!twins) {
    return;
  }
  for (const Mutation& wrong : mutations(right, reference::forward(right, x))) {
    const std::vector<Tensor> other = reference_results(wrong.setup, x, dy);
    bool any = false;
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (other[i].values == want[i].values) {
        continue;  // this tensor does not see the mistake: nothing to tell apart
      }
      any = true;
      const double allowed = tolerance<S>(want[i].chain, magnitude(want[i].values));
      INFO("mutation twin '" << wrong.name << "' passes as " << want[i].name);
      CHECK(!difference(got[i].values, other[i].values, allowed).close);
    }
    INFO("mutation twin '" << wrong.name << "' changes nothing");
    CHECK(any);
  }
}

}  // namespace tests
