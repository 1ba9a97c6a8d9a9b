// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/xmoe.hpp>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "compare.hpp"
#include "random_case.hpp"

// Small tools for tests of single policies: rows, errors, differences, a context.
namespace tests {

/// The text of the Error that `body` throws; empty if it throws none. Other types pass through.
template <class Error, class F>
std::string message_of(F&& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

/// Numbers of any type in double.
template <class Range>
reference::Vector wide(const Range& values) {
  reference::Vector result;
  for (const auto& v : values) {
    result.push_back(static_cast<double>(v));
  }
  return result;
}
template <class R>
std::vector<R> narrow(const reference::Vector& values) {
  std::vector<R> result;
  for (const double v : values) {
    result.push_back(static_cast<R>(v));
  }
  return result;
}

template <class R>
xmoe::VectorView<const R> in(const std::vector<R>& v) {
  return {v.data(), static_cast<index>(v.size())};
}
template <class R>
xmoe::VectorView<R> out(std::vector<R>& v) {
  return {v.data(), static_cast<index>(v.size())};
}

/// Same length and same bits.
template <class R>
bool same_bits(const std::vector<R>& a, const std::vector<R>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(R)) == 0);
}

/// Largest |got - want|, over the largest |want| or 1e-3 if that is more. Infinite for NaN.
inline double relative_error(const reference::Vector& got, const reference::Vector& want) {
  if (got.size() != want.size()) {
    return std::numeric_limits<double>::infinity();
  }
  double worst = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]);
    if (!(error <= worst)) {
      worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
    }
  }
  return worst / std::max(1e-3, magnitude(want));
}

/// Central differences of `objective() -> double` with respect to numbers that it reads.
template <class F, class Range>
reference::Vector slopes(F&& objective, Range&& numbers, double h = 1e-6) {
  reference::Vector result;
  for (auto& number : numbers) {
    const auto kept = number;
    number = kept + h;
    const double above = objective();
    number = kept - h;
    const double below = objective();
    number = kept;
    result.push_back((above - below) / (2.0 * h));
  }
  return result;
}

inline reference::Vector normals(Generator& random, index count, double scale = 1.0) {
  reference::Vector values(static_cast<std::size_t>(count));
  random.fill(values, scale);
  return values;
}
/// 0 .. n-1, shuffled.
inline std::vector<index> permutation(Generator& random, index n) {
  std::vector<index> order;
  for (index i = 0; i < n; ++i) {
    order.insert(order.begin() + random.below(i + 1), i);
  }
  return order;
}

/// Rows [n] that broke routers elsewhere.
template <class R>
struct NamedRow {
  std::string name;
  std::vector<R> values;
};
template <class R>
std::vector<NamedRow<R>> hard_rows(index n) {
  using limits = std::numeric_limits<R>;
  const auto count = static_cast<std::size_t>(n);
  const std::vector<R> rising = [&] {
    std::vector<R> v;
    for (std::size_t i = 0; i < count; ++i) {
      v.push_back(R(0.01) * static_cast<R>(i + 1));
    }
    return v;
  }();
  const auto all = [&](R value) { return std::vector<R>(count, value); };
  const auto with = [&](std::vector<R> v, R value) {
    v[count / 2] = value;
    return v;
  };
  std::vector<R> zeros = all(R(0));
  for (std::size_t i = 0; i < count; i += 2) {
    zeros[i] = -R(0);
  }
  std::vector<R> tiny = all(limits::denorm_min());
  tiny.back() = R(3) * limits::denorm_min();
  return {{"equal", all(R(0.25))},
          {"signed zeros", zeros},
          {"rising", rising},
          {"two equal at the top", with(rising, rising.back())},
          {"very negative", all(R(-1e30))},
          {"negative with one larger", with(all(R(-1e30)), R(-1e29))},
          {"all -Inf", all(-limits::infinity())},
          {"one finite", with(all(-limits::infinity()), R(-5))},
          {"one +Inf", with(rising, limits::infinity())},
          {"one NaN", with(rising, limits::quiet_NaN())},
          {"one -NaN", with(rising, -limits::quiet_NaN())},
          {"all NaN", all(limits::quiet_NaN())},
          {"denormal", tiny},
          {"1e4", with(all(R(1e4)), R(-1e4))},
          {"largest", with(all(limits::max()), limits::lowest())}};
}

/// What a policy's functions run in: two threads and memory full of NaN.
template <class S>
struct Work {
  using Traits = xmoe::Cpu<S>;
  xmoe::cpu::Backend backend{2};
  xmoe::Workspace scratch{1 << 22};
  xmoe::Workspace keep{1 << 22};
  xmoe::Mode mode = xmoe::Mode::infer;
  xmoe::Random random{};

  /// A fresh context: what earlier ones kept is lost.
  xmoe::Context<Traits> context() {
    for (xmoe::Workspace* w : {&scratch, &keep}) {
      w->clear();
      std::memset(static_cast<void*>(w->take<char>(w->capacity())), 0xff,
                  static_cast<std::size_t>(w->capacity()));
      w->clear();
    }
    return {backend, scratch, keep, mode, random};
  }
};

/// The scratch that `step(ctx)` asks for while it measures, and what it takes when it runs.
template <class S, class F>
void check_measured(Work<S>& work, F&& step) {
  xmoe::Workspace size = xmoe::Workspace::measure();
  xmoe::Workspace keep = xmoe::Workspace::measure();
  xmoe::Context<xmoe::Cpu<S>> measuring{work.backend, size, keep, work.mode, work.random};
  step(measuring);
  xmoe::Workspace exact(size.peak());
  xmoe::Workspace exact_keep(keep.peak());
  xmoe::Context<xmoe::Cpu<S>> ctx{work.backend, exact, exact_keep, work.mode, work.random};
  step(ctx);  // throws if measuring counted too little
  CHECK(exact.peak() <= size.peak());
}

/// The scores of a policy for one row.
template <class R, class P>
std::vector<R> scores_of(const P& score, const std::vector<R>& logits) {
  std::vector<R> scores(logits.size(), std::numeric_limits<R>::quiet_NaN());
  score.row(in(logits), out(scores));
  return scores;
}

/// The choice of a policy for one row of scores; a logit of -Inf masks an expert.
template <class R, class P, class... Own>
std::vector<index> chosen_from(const P& select, const std::vector<R>& logits,
                               const std::vector<R>& scores, xmoe::RowSite site,
                               const Own&... own) {
  const index experts = static_cast<index>(scores.size());
  std::vector<std::int32_t> ids(static_cast<std::size_t>(select.max_assignments(1, experts)), -7);
  std::vector<xmoe::Candidate<R>> candidates(scores.size());
  std::vector<R> changed(scores.size());
  const xmoe::SelectRow<R> row{in(scores), {},           out(ids), out(candidates),
                               in(logits), out(changed), site};
  const index count = select.row(row, own...);
  REQUIRE(count <= static_cast<index>(ids.size()));
  return {ids.begin(), ids.begin() + count};
}
template <class R, class P, class... Own>
std::vector<index> chosen_by(const P& select, const std::vector<R>& scores, const Own&... own) {
  return chosen_from(select, {}, scores, {}, own...);
}

/// The weights that a policy gives to a choice.
template <class R, class P>
std::vector<R> weights_by(const P& weigh, const std::vector<R>& logits,
                          const std::vector<R>& scores, const std::vector<std::int32_t>& chosen,
                          xmoe::RowSite site = {}) {
  std::vector<R> weights(chosen.size(), std::numeric_limits<R>::quiet_NaN());
  weigh.row(xmoe::WeighRow<R>{in(logits), in(scores), in(chosen), site}, out(weights));
  return weights;
}

}  // namespace tests
