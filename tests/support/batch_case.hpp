// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "policy_case.hpp"

// Batches written down in tests, and what selectors of whole batches choose from them.
namespace tests {

template <class R>
struct ScoreBatch {
  index experts = 1;
  std::vector<R> scores;  ///< [T,E]
  std::vector<R> logits = scores;
  std::vector<std::uint8_t> valid{};

  index tokens() const { return static_cast<index>(scores.size()) / experts; }
  bool is_valid(index t) const { return valid.empty() || valid[static_cast<std::size_t>(t)] != 0; }
  R score(index t, index e) const { return scores[static_cast<std::size_t>(t * experts + e)]; }
  R logit(index t, index e) const { return logits[static_cast<std::size_t>(t * experts + e)]; }
  bool masked(index t, index e) const {
    return xmoe::is_negative_infinity(logit(t, e)) || xmoe::is_negative_infinity(score(t, e));
  }
  xmoe::SelectBatch<R> view() const {
    return {{scores.data(), tokens(), experts}, {logits.data(), tokens(), experts}, in(valid)};
  }
};

/// [T,E] of any type of number as a batch; logits are the scores.
template <class R>
ScoreBatch<R> score_batch(const reference::Matrix& m) {
  return {m.cols, narrow<R>(m.values)};
}
/// Softmax rows of logits.
template <class R>
ScoreBatch<R> softmax_batch(const reference::Matrix& z, std::vector<std::uint8_t> valid = {}) {
  ScoreBatch<R> result{z.cols, {}, narrow<R>(z.values), std::move(valid)};
  for (index t = 0; t < z.rows; ++t) {
    const auto first = result.logits.begin() + t * z.cols;
    const auto row = scores_of(xmoe::score::Softmax{}, std::vector<R>(first, first + z.cols));
    result.scores.insert(result.scores.end(), row.begin(), row.end());
  }
  return result;
}
inline reference::Matrix normal_matrix(Generator& random, index rows, index cols,
                                       double scale = 1.0) {
  reference::Matrix m(rows, cols);
  random.fill(m.values, scale);
  return m;
}

using Lists = std::vector<std::vector<index>>;

/// How a selector is run.
struct BatchRun {
  index threads = 2;
  xmoe::Mode mode = xmoe::Mode::train;
};

/// The experts of every token, best first; on as much scratch as measured, full of NaN.
template <class R, class P>
Lists experts_by(const P& select, const ScoreBatch<R>& batch, BatchRun run = {}) {
  const index tokens = batch.tokens();
  const index room = select.max_assignments(tokens, batch.experts);
  xmoe::cpu::Backend backend(run.threads);
  xmoe::Workspace keep(1 << 18);
  char* const kept = keep.take<char>(keep.capacity());
  std::fill(kept, kept + keep.capacity(), '\xff');
  keep.clear();
  auto routing = xmoe::RoutingView<R>::take(keep, tokens, batch.experts, room);
  routing.valid_tokens = -1;
  const xmoe::SelectBatch<R> nothing{
      {nullptr, tokens, batch.experts}, {nullptr, tokens, batch.experts}, {}};
  xmoe::Workspace count = xmoe::Workspace::measure();
  xmoe::Workspace other = xmoe::Workspace::measure();
  auto nowhere = xmoe::RoutingView<R>::take(other, tokens, batch.experts, room);
  xmoe::Context<xmoe::Cpu<R>> counting{backend, count, other, run.mode};
  select.batch(counting, nothing, nowhere);
  xmoe::Workspace scratch(count.peak());
  char* const bytes = scratch.take<char>(count.peak());
  std::fill(bytes, bytes + count.peak(), '\xff');
  scratch.clear();
  xmoe::Context<xmoe::Cpu<R>> ctx{backend, scratch, keep, run.mode};
  select.batch(ctx, batch.view(), routing);
  REQUIRE(routing.offsets[0] == 0);
  Lists lists;
  index valid = 0;
  for (index t = 0; t < tokens; ++t) {
    REQUIRE((routing.begin(t) <= routing.end(t) && routing.end(t) <= room));
    lists.emplace_back(routing.expert + routing.begin(t), routing.expert + routing.end(t));
    valid += batch.is_valid(t) ? 1 : 0;
  }
  CHECK(routing.valid_tokens == valid);
  return lists;
}

/// The tokens of every expert, ascending.
inline Lists tokens_by_expert(const Lists& lists, index experts) {
  Lists result(static_cast<std::size_t>(experts));
  for (std::size_t t = 0; t < lists.size(); ++t) {
    for (const index e : lists[t]) {
      result[static_cast<std::size_t>(e)].push_back(static_cast<index>(t));
    }
  }
  return result;
}
inline Lists ascending(Lists lists) {
  for (auto& list : lists) {
    std::sort(list.begin(), list.end());
  }
  return lists;
}

}  // namespace tests
