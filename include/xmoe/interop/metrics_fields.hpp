// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/metrics/agreement.hpp>
#include <xmoe/metrics/confidence.hpp>
#include <xmoe/metrics/load.hpp>
#include <xmoe/metrics/sparsity.hpp>
#include <xmoe/metrics/specialization.hpp>
#include <xmoe/metrics/statistics.hpp>

namespace xmoe::inline XMOE_ABI::interop {

// Lists of fields, each: visit(name, value). The structured bindings count: a field that is added
// to a struct and not here does not compile.
namespace fields {

template <class F>
void each(const Summary& s, F&& visit) {
  const auto& [tokens, wanted, kept, dropped, capacity] = s;
  visit("tokens", tokens);
  visit("wanted", wanted);
  visit("kept", kept);
  visit("dropped", dropped);
  visit("capacity", capacity);
}
template <class F>
void each(const Distribution& d, F&& visit) {
  const auto& [least, lower_quartile, median, upper_quartile, most, mean] = d;
  visit("least", least);
  visit("lower_quartile", lower_quartile);
  visit("median", median);
  visit("upper_quartile", upper_quartile);
  visit("most", most);
  visit("mean", mean);
}
template <class F>
void each(const Statistics& s, F&& visit) {
  const auto& [summary, load, claims, wanted_per_token, kept_per_token, token_not_full_ratio,
               token_no_choice_ratio, skip_ratio, expert_not_full_ratio, first_choice_drop_percent,
               balance_deviation, jain_index, top_score, active_ratio, entropy, flops_routed,
               flops_wanted, flops_padded, flops_router] = s;
  visit("summary", summary);
  visit("load", load);
  visit("claims", claims);
  visit("wanted_per_token", wanted_per_token);
  visit("kept_per_token", kept_per_token);
  visit("token_not_full_ratio", token_not_full_ratio);
  visit("token_no_choice_ratio", token_no_choice_ratio);
  visit("skip_ratio", skip_ratio);
  visit("expert_not_full_ratio", expert_not_full_ratio);
  visit("first_choice_drop_percent", first_choice_drop_percent);
  visit("balance_deviation", balance_deviation);
  visit("jain_index", jain_index);
  visit("top_score", top_score);
  visit("active_ratio", active_ratio);
  visit("entropy", entropy);
  visit("flops_routed", flops_routed);
  visit("flops_wanted", flops_wanted);
  visit("flops_padded", flops_padded);
  visit("flops_router", flops_router);
}
template <class F>
void each(const metrics::Load& l, F&& visit) {
  const auto& [tokens, count] = l;
  visit("tokens", tokens);
  visit("count", count);
}
template <class F>
void each(const metrics::Balance& b, F&& visit) {
  const auto& [experts, total, unused, cv_squared, max_to_mean, gini, jain_index, entropy,
               perplexity, evenness, load] = b;
  visit("experts", experts);
  visit("total", total);
  visit("unused", unused);
  visit("cv_squared", cv_squared);
  visit("max_to_mean", max_to_mean);
  visit("gini", gini);
  visit("jain_index", jain_index);
  visit("entropy", entropy);
  visit("perplexity", perplexity);
  visit("evenness", evenness);
  visit("load", load);
}
template <class F>
void each(const metrics::Confidence& c, F&& visit) {
  const auto& [tokens, entropy, top, margin] = c;
  visit("tokens", tokens);
  visit("entropy", entropy);
  visit("top", top);
  visit("margin", margin);
}
template <class F>
void each(const metrics::Agreement& a, F&& visit) {
  const auto& [tokens, saturation, change_rate, first_change_rate] = a;
  visit("tokens", tokens);
  visit("saturation", saturation);
  visit("change_rate", change_rate);
  visit("first_change_rate", first_change_rate);
}
template <class F>
void each(const metrics::Overlap& o, F&& visit) {
  const auto& [common, jaccard, share] = o;
  visit("common", common);
  visit("jaccard", jaccard);
  visit("share", share);
}
template <class F>
void each(const metrics::Stickiness& s, F&& visit) {
  const auto& [pairs, same, same_first, reuse, reuse_by_chance] = s;
  visit("pairs", pairs);
  visit("same", same);
  visit("same_first", same_first);
  visit("reuse", reuse);
  visit("reuse_by_chance", reuse_by_chance);
}
template <class F>
void each(const metrics::Sparsity& s, F&& visit) {
  const auto& [tokens, chunks, token_level, chunk_level] = s;
  visit("tokens", tokens);
  visit("chunks", chunks);
  visit("token_level", token_level);
  visit("chunk_level", chunk_level);
}
template <class F>
void each(const metrics::Specialization& s, F&& visit) {
  const auto& [marginal, divergence, total_variation, information, mean_total_variation] = s;
  visit("marginal", marginal);
  visit("divergence", divergence);
  visit("total_variation", total_variation);
  visit("information", information);
  visit("mean_total_variation", mean_total_variation);
}

}  // namespace fields

/// A struct of metrics whose fields are listed above.
template <class M>
concept MetricsStruct = requires(const M& metrics) {
  fields::each(metrics, [](const char*, const auto&) {});
};

}  // namespace xmoe::inline XMOE_ABI::interop
