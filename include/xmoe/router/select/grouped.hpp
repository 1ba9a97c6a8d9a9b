// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>
#include <xmoe/router/select/top_k.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Another selector within the best groups. The experts form `groups` groups of E / groups
/// consecutive ones; the score of a group is the sum of its best keys; experts outside of the
/// `limit` best groups may not be chosen: their key is -Inf, so that they lose even where a bias
/// makes the allowed ones negative.
///
///   DeepSeek-V3          select::Biased<select::Grouped<select::TopK>>, best_keys 2
///   DeepSeek-V2          best_keys 1
///   Megatron-Core        best_keys k / limit
///   one group a token    limit 1, best_keys 0
///
///   in      scores [E]; keys include a bias
///   out     what the inner selector takes, at most limit * E / groups experts
///   ties    the lower group first, then the inner selector's. Experts that may not be chosen count
///           for nothing in the score of a group; a group of such experts alone is never taken
///   grad    none: the choice counts as constant
///   cost    O(E) for each of best_keys + 1, O(groups) a group, then the inner selector
///   throws  value_error unless groups divides E, 1 <= limit <= groups, best_keys >= 0, and if a
///           TopK asks for more experts than there are in `limit` groups
///   source  arXiv 2405.04434, 2412.19437; deepseek-ai/DeepSeek-V3, inference/model.py;
///           NVIDIA/Megatron-LM, megatron/core/transformer/moe/moe_utils.py;
///           Hsword/Hetu, python/hetu/layers/SAMGate.py
template <RowSelect Inner = TopK>
struct Grouped {
  Inner inner{};
  index groups = 8;     ///< of consecutive experts
  index limit = 4;      ///< groups that a token may use
  index best_keys = 2;  ///< of a group that add up to its score; at most all; 0 = all

  static constexpr index always_experts = detail::always_experts_of<Inner>;
  static constexpr bool needs_probabilities = detail::needs_probabilities_of<Inner>;

  template <class Traits>
  using Weights = weights_of<Inner, Traits>;
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return detail::make_weights<Traits>(inner, sizes);
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(inner, own, random);
  }

  XMOE_HD index max_assignments(index tokens, index experts) const {
    const index room = detail::room_in_any_order(inner, 1, experts);
    const index allowed = limit * (experts / groups);
    return tokens * (allowed < room ? allowed : room);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const requires(detail::RowSelectAlone<Inner, R>) {
    return this->row(row, NoWeights{});
  }
  template <class R>
  XMOE_HD index row(SelectRow<R> row, const auto& own) const {
    if (limit >= groups) {
      return detail::choose(inner, row, own);
    }
    // A group's candidate goes where candidates of experts are no longer needed: g <= g * size.
    const index size = row.experts() / groups;
    for (index g = 0; g < groups; ++g) {
      const R score = score_of(detail::part_of(row, g * size, size, row.chosen));
      row.candidates[g] = Candidate<R>::make({score}, g);
    }
    SelectRow<R> rest = row.restrict_to([](index) { return true; });
    Descending<R> order(VectorView<Candidate<R>>{row.candidates.data(), groups});
    std::int32_t group = 0;
    for (index rank = 0; order.next(group); ++rank) {
      if (rank >= limit) {
        for (index e = group * size; e < (group + 1) * size; ++e) {
          rest.scratch[e] = -math::infinity<R>;  // the bias of `rest`
        }
      }
    }
    return detail::choose(inner, rest, own);
  }

  void check(Sizes sizes) const {
    if (groups < 1 || sizes.experts % groups != 0 || limit < 1 || limit > groups || best_keys < 0) {
      detail::fail<value_error>(
          "xmoe::select::Grouped: groups is %td, limit is %td, best_keys is %td; need groups that "
          "divide %td (experts), a limit in 1 .. groups, and 0 or more",
          groups, limit, best_keys, sizes.experts);
    }
    detail::check(inner, sizes);
    if constexpr (std::same_as<Inner, TopK>) {
      if (inner.k > limit * (sizes.experts / groups)) {
        detail::fail<value_error>(
            "xmoe::select::Grouped: k is %td, must be in 1 .. %td (experts in %td groups)", inner.k,
            limit * (sizes.experts / groups), limit);
      }
    }
  }

 private:
  /// -Inf if no expert of the group may be chosen.
  template <class R>
  XMOE_HD R score_of(const SelectRow<R>& group) const {
    R sum = R(0);
    index counted = 0;
    if (best_keys == 0 || best_keys >= group.experts()) {
      for (index e = 0; e < group.experts(); ++e) {
        const R key = group.key(e).value;
        if (!is_negative_infinity(key)) {
          sum += key;
          ++counted;
        }
      }
    } else {
      Descending<R> order = group.descending();
      std::int32_t expert = 0;
      for (; counted < best_keys && order.next(expert); ++counted) {
        sum += group.key(expert).value;
      }
    }
    const bool overflown = counted > 0 && is_negative_infinity(sum);
    return counted == 0 ? -math::infinity<R> : (overflown ? detail::lowest_number<R> : sum);
  }
};
static_assert(Select<Grouped<>>);

}  // namespace xmoe::inline XMOE_ABI::select
