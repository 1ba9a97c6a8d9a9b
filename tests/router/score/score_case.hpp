// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "golden/xmoe_cases.hpp"
#include "support/policy_case.hpp"

// What tests of several scores share.
namespace tests {

template <class R>
constexpr R infinity = std::numeric_limits<R>::infinity();

/// Row `token` of the golden table, 8 experts.
inline std::vector<double> wave_row(index token) {
  const reference::Matrix z = golden::wave_logits(4, 8);
  return {z.values.begin() + token * 8, z.values.begin() + (token + 1) * 8};
}

/// dlogits of a row, added to nothing.
template <class R, class P>
std::vector<R> score_gradient(const P& score, const std::vector<R>& z, const std::vector<R>& g) {
  const std::vector<R> s = scores_of(score, z);
  std::vector<R> dz(z.size(), R(0));
  score.row_backward(in(z), in(s), in(g), out(dz));
  return dz;
}

/// Central differences of <g, scores>.
template <class P>
reference::Vector score_slopes(const P& score, std::vector<double> z,
                               const std::vector<double>& g) {
  const auto objective = [&] {
    const std::vector<double> s = scores_of(score, z);
    double value = 0.0;
    for (std::size_t e = 0; e < s.size(); ++e) {
      value += g[e] * s[e];
    }
    return value;
  };
  return slopes(objective, z);
}

/// Gradients of random rows whose logits lie away from every kink: `clear(z)`. Twin: without the
/// part that `broken(dz, s)` takes away, the comparison fails somewhere.
template <class P, class Clear, class Broken>
void check_score_gradients(const P& score, Clear&& clear, Broken&& broken) {
  Generator random(71);
  INFO("seed 71");
  int rows = 0;
  double worst_twin = 0.0;
  for (int attempt = 0; attempt < 400; ++attempt) {
    const index n = 1 + random.below(24);
    const std::vector<double> z = normals(random, n, attempt % 2 == 0 ? 0.5 : 2.0);
    const std::vector<double> g = normals(random, n);
    if (!clear(z)) {
      continue;
    }
    ++rows;
    const reference::Vector want = score_slopes(score, z, g);
    std::vector<double> dz = score_gradient(score, z, g);
    CHECK(relative_error(dz, want) < 1e-6);
    broken(dz, scores_of(score, z));
    worst_twin = std::max(worst_twin, relative_error(dz, want));
  }
  CHECK(rows > 100);
  CHECK(worst_twin > 1e-2);
}

/// A logit of -Inf: score 0, gradient 0. A row of nothing else: all 0.
template <class R, class P>
void check_masked(const P& score) {
  const R no = -infinity<R>;
  const std::vector<R> g = {3, -1, 2, R(0.5)};
  const std::vector<R> z = {no, 1, no, R(0.5)};
  const std::vector<R> s = scores_of(score, z);
  const std::vector<R> dz = score_gradient(score, z, g);
  for (std::size_t e = 0; e < z.size(); ++e) {
    CHECK(xmoe::is_finite(s[e]));
    CHECK(xmoe::is_finite(dz[e]));
    CHECK((s[e] == R(0)) == (z[e] == no));
    CHECK((z[e] != no || dz[e] == R(0)));
  }
  for (const std::size_t n : {1u, 4u, 60u}) {
    const std::vector<R> none(n, no);
    CHECK(scores_of(score, none) == std::vector<R>(n, R(0)));
    CHECK(score_gradient(score, none, std::vector<R>(n, R(2))) == std::vector<R>(n, R(0)));
  }
}

/// NaN or +Inf anywhere: the row is NaN, as in Softmax, and so is its gradient somewhere.
template <class R, class P>
void check_broken(const P& score) {
  const R inf = infinity<R>;
  const R nan = std::numeric_limits<R>::quiet_NaN();
  for (const std::vector<R>& row : std::vector<std::vector<R>>{{nan, 0, 1},
                                                               {0, nan, 1},
                                                               {0, 1, nan},
                                                               {nan, nan, nan},
                                                               {inf, 0, 1},
                                                               {inf, inf, 1},
                                                               {0, -inf, inf},
                                                               {-inf, nan, -inf},
                                                               {nan, -inf, -inf}}) {
    CAPTURE(row[0], row[1], row[2]);
    for (const R s : scores_of(score, row)) {
      CHECK(xmoe::is_nan(s));
    }
    bool seen = false;
    for (const R v : score_gradient(score, row, std::vector<R>{1, 2, 3})) {
      seen = seen || xmoe::is_nan(v);
    }
    CHECK(seen);
  }
}

/// Whether the scores stay as they are when a constant is added to the row.
template <class P>
bool ignores_shift(const P& score) {
  Generator random(72);
  for (const index n : {2, 7, 64}) {
    const std::vector<double> z = normals(random, n, 1.5);
    for (const double shift : {-2.75, 0.5, 40.0}) {
      std::vector<double> moved = z;
      for (double& v : moved) {
        v += shift;
      }
      if (relative_error(scores_of(score, moved), scores_of(score, z)) > 1e-13) {
        return false;
      }
    }
  }
  return true;
}

/// Rows of many kinds: spread from nearly equal to far apart, sizes around whole vectors.
template <class R, class F>
void each_random_row(std::uint64_t seed, F&& body) {
  Generator random(seed);
  for (const index n : {1, 2, 3, 8, 31, 32, 33, 64, 100}) {
    for (const double spread : {1e-5, 0.05, 0.5, 2.0, 30.0}) {
      for (int i = 0; i < 8; ++i) {
        const std::vector<R> z = narrow<R>(normals(random, n, spread));
        INFO("seed " << seed << ", " << n << " experts, spread " << spread << ", row " << i);
        body(z);
      }
    }
  }
}

}  // namespace tests
