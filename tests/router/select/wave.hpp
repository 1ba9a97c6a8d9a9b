// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>

#include "support/policy_case.hpp"

// Figures of selectors: 4 tokens, 8 experts, z_ij = 2.5 sin(1.3 i + 0.7 j^2 + 0.2 i j).
namespace wave {

using Ids = std::vector<tests::index>;
using Choices = std::vector<Ids>;
using Row = std::vector<double>;

inline Row logits(tests::index token) {
  Row z;
  for (int j = 0; j < 8; ++j) {
    const double i = static_cast<double>(token);
    z.push_back(2.5 * std::sin(1.3 * i + 0.7 * j * j + 0.2 * i * j));
  }
  return z;
}
template <class Score = xmoe::score::Softmax>
Row scores(tests::index token, const Score& score = {}) {
  return tests::scores_of(score, logits(token));
}
/// |z|: as norms.
inline Row norms(tests::index token) {
  Row z = logits(token);
  for (double& v : z) {
    v = std::abs(v);
  }
  return z;
}

/// What a selector chooses for the four tokens; rows(token) are their scores.
template <class P, class Rows, class... Own>
Choices choices(const P& select, Rows&& rows, const Own&... own) {
  Choices all;
  for (tests::index t = 0; t < 4; ++t) {
    all.push_back(tests::chosen_by(select, rows(t), own...));
  }
  return all;
}
inline Row softmax(tests::index token) { return scores(token); }
inline Row sigmoid(tests::index token) { return scores(token, xmoe::score::Sigmoid{}); }

inline Ids sorted(Ids ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}
inline Choices sorted(Choices all) {
  for (Ids& ids : all) {
    ids = sorted(ids);
  }
  return all;
}

}  // namespace wave
