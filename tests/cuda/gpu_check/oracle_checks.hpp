// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/tolerance.hpp"

#include "held_layer.hpp"

// Layers against the float64 oracle, forward and backward.
namespace gpu_check {

struct Wanted {
  std::string name;
  Vector values;
  index chain = 1;  ///< additions behind a number
};

/// All that the oracle computes, in the order of Pass::all.
inline std::vector<Wanted> wanted(const reference::Setup& s, const Case& c) {
  const reference::Forward f = reference::forward(s, c.x);
  const reference::Gradients g = reference::backward(s, c.x, f, c.dy);
  index most = 1;  // experts of one token
  for (const auto& row : f.chosen) {
    most = std::max(most, static_cast<index>(row.size()));
  }
  const index through = 2 * c.x.cols + s.experts.down.cols + most;  // gate, products, combine
  const index back = 2 * through + s.outputs();
  const index summed = back + c.x.rows;
  const std::string up = s.experts.gated ? "expert.gate_up" : "expert.up";
  std::vector<Wanted> all = {{"y", f.y.values, through},
                             {"x", g.dx.values, back},
                             {"router.gate.weight", g.gate.values, summed}};
  if (!s.router.bias.empty()) {
    all.push_back({"router.gate.bias", g.gate_bias, summed});
  }
  all.push_back({up + ".weight", g.experts.up.values, summed});
  if (s.experts.biases) {
    all.push_back({up + ".bias", g.experts.up_bias.values, summed});
  }
  all.push_back({"expert.down.weight", g.experts.down.values, summed});
  if (s.experts.biases) {
    all.push_back({"expert.down.bias", g.experts.down_bias.values, summed});
  }
  return all;
}

/// Sums of float or double: their rounding. Narrow numbers pass four roundings on their way (hidden
/// row, output, sum over experts, storage), gradients twice as many.
template <class S>
double allowed(const Wanted& w) {
  double scale = 0.0;
  for (const double v : w.values) {
    scale = std::fmax(scale, std::abs(v));
  }
  if constexpr (xmoe::NarrowWeight<S>) {
    return 8.0 * (std::is_same_v<S, xmoe::half> ? 0x1p-11 : 0x1p-8) * scale;
  } else {
    return tests::tolerance<S>(w.chain, scale);
  }
}

/// The layer's choice in place of the oracle's, where a tie within rounding separates the two.
template <class Kind, class S>
reference::Setup with_choice_of(Findings& findings, const HeldLayer<Kind, S>& held, const Case& c) {
  using R = typename HeldLayer<Kind, S>::L::routing_scalar;
  const auto routing = held.layer.route(held.tokens());
  const reference::Setup& s = c.setup;
  const reference::Forward f = reference::route(s, c.x);
  const double near = tests::tolerance<R>(c.x.cols + s.outputs(), 1.0);
  const auto key = [&](index t, index e) {
    return f.scores(t, e) +
           (s.router.selection_bias.empty() ? 0.0 : reference::at(s.router.selection_bias, e));
  };
  reference::Setup pinned = s;
  pinned.pinned.emplace();
  index strange = 0;
  for (index t = 0; t < c.x.rows; ++t) {
    const auto begin = static_cast<std::size_t>(routing.offsets()[static_cast<std::size_t>(t)]);
    const auto end = static_cast<std::size_t>(routing.offsets()[static_cast<std::size_t>(t) + 1]);
    const std::vector<index> want = reference::outputs_of(f.chosen[static_cast<std::size_t>(t)]);
    const std::vector<index> got(routing.expert().begin() + static_cast<std::ptrdiff_t>(begin),
                                 routing.expert().begin() + static_cast<std::ptrdiff_t>(end));
    double mass = 0.0;
    bool explained = true;
    const std::size_t both = std::min(got.size(), want.size());
    for (std::size_t r = 0; r < both; ++r) {
      mass += f.scores(t, want[r]);
      explained = explained && std::abs(key(t, want[r]) - key(t, got[r])) < near;
    }
    explained =
        explained && (got.size() == want.size() || std::abs(mass - s.router.threshold) < near);
    strange += explained ? 0 : 1;
    pinned.pinned->push_back(explained ? got : want);
  }
  findings.equal("tokens that choose other experts than the oracle", strange, 0);
  return pinned;
}

/// Two wrong oracles that the comparison of y must tell from the right one.
template <class S>
void check_twins(Findings& findings, const reference::Setup& right, const Case& c,
                 const std::vector<S>& y) {
  const reference::Forward f = reference::forward(right, c.x);
  const reference::Claim* heaviest = nullptr;
  for (const auto& row : f.chosen) {
    for (const reference::Claim& claim : row) {
      if (claim.kept && (heaviest == nullptr || claim.weight > heaviest->weight)) {
        heaviest = &claim;
      }
    }
  }
  if (heaviest == nullptr) {
    findings.problem("no token reaches an expert");
    return;
  }
  reference::Setup lighter = right, moved = right;
  lighter.removed = reference::Pair{heaviest->token, heaviest->output};
  for (index d = 0; d < c.x.cols; ++d) {  // one row of an expert, of the other sign
    moved.experts.down_bias(heaviest->expert, d, 0) *= -1.0;
    for (index h = 0; h < right.experts.down.cols; ++h) {
      moved.experts.down(heaviest->expert, d, h) *= -1.0;
    }
  }
  const double limit = allowed<S>({"y", f.y.values, 1 << 10});
  const auto told = [&](const reference::Setup& wrong) {
    const Vector other = reference::forward(wrong, c.x).y.values;
    for (std::size_t i = 0; i < other.size(); ++i) {
      if (std::abs(other[i] - number(y[i])) > limit) {
        return true;
      }
    }
    return false;
  };
  findings.that("an oracle that drops one assignment is told apart", told(lighter));
  findings.that("an oracle with one expert of the other sign is told apart", told(moved));
}

template <class Kind, class S>
void check_case(Findings& findings, const Case& c) {
  const HeldLayer<Kind, S> held(c);
  const reference::Setup setup = with_choice_of(findings, held, c);
  const Pass<S> pass = held.pass();
  const std::vector<Named> got = pass.all();
  const std::vector<Wanted> want = wanted(setup, c);
  findings.equal("results", static_cast<long long>(got.size()),
                 static_cast<long long>(want.size()));
  for (std::size_t i = 0; i < want.size() && i < got.size(); ++i) {
    findings.equal("name", got[i].name, want[i].name);
    findings.close(want[i].name, got[i].values, want[i].values, allowed<S>(want[i]));
  }
  check_twins<S>(findings, setup, c, pass.y);
}

/// Shapes T, E, D, H: one token; sizes off the tiles; large tiles; experts without tokens; both
/// the two-layer kernel (small H) and two products. A device gets larger ones as well.
inline std::vector<Shape> shapes() {
  std::vector<Shape> list = {{1, 6, 20, 13}, {33, 6, 24, 20}, {9, 33, 7, 5}};
  if (emulated) {
    list.push_back({257, 2, 9, 12});
    list.push_back({9, 5, 8, 264});
  } else {
    list.insert(list.end(), {{257, 4, 24, 20},
                             {33, 5, 24, 300},
                             {257, 4, 65, 130},
                             {257, 8, 136, 200},
                             {300, 64, 64, 96},
                             {513, 4, 128, 384}});
  }
  return list;
}

template <class Kind, class S>
void check_shapes(Findings& findings) {
  std::uint64_t seed = 40;
  for (const Shape& s : shapes()) {
    findings.about("T " + std::to_string(s.tokens) + ", E " + std::to_string(s.experts) + ", D " +
                   std::to_string(s.dim) + ", H " + std::to_string(s.hidden));
    check_case<Kind, S>(findings, case_of<Kind, S>(s, ++seed));
  }
}
template <class Kind, class S>
void check_together(Findings& findings) {
  const Case c = case_of<Kind, S>({emulated ? 70 : 257, 5, 24, 20}, 60, true);
  check_case<Kind, S>(findings, c);
  index reached = 0;
  std::vector<bool> seen(5, false);
  for (const auto& row : reference::route(c.setup, c.x).chosen) {
    for (const reference::Claim& claim : row) {
      reached += seen[static_cast<std::size_t>(claim.expert)] ? 0 : 1;
      seen[static_cast<std::size_t>(claim.expert)] = true;
    }
  }
  findings.equal("experts that are chosen at all", reached, std::is_same_v<Kind, Xmoe> ? 1 : 2);
}

/// Losses on the routing: their value, and gradients with them.
template <class S>
void check_losses(Findings& findings) {
  using namespace xmoe;
  Case c = case_of<Xmoe, S>({37, 6, 24, 20}, 70);
  const HeldLayer<Xmoe, S> held(c);
  double value = 0.0;
  const auto got =
      held.pass(&value, loss::LoadBalance<loss::counting::FirstChoice, loss::over::Scores>{0.5f},
                loss::ZLoss{0.25f});
  c.setup = with_choice_of(findings, held, c);
  c.setup.balance = {{reference::Counted::first_choice, reference::Distribution::scores, 0.5}};
  c.setup.z_loss = {{0.25}};
  const double want = reference::losses(c.setup, reference::route(c.setup, c.x));
  findings.close("losses", {value}, {want}, tests::tolerance<sum_type<S>>(64, want));
  for (const Wanted& w : wanted(c.setup, c)) {
    for (const Named& g : got.all()) {
      if (g.name == w.name && g.name.find("expert.") != 0) {
        findings.close(w.name, g.values, w.values, allowed<S>(w));
      }
    }
  }
  const auto without = held.pass();
  findings.that("losses move the gate's gradient",
                without.gradients[0].values != got.gradients[0].values);
}

}  // namespace gpu_check
