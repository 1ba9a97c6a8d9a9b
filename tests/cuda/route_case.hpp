// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "grouped_case.hpp"
#include "support/policy_case.hpp"

#include <xmoe/backend/cuda/route.cuh>

// Decisions of the CPU backend and of the emulated device side by side.
namespace tests {

/// A gate whose logits are the tokens themselves.
struct GivenLogits {
  template <class Traits, class Own>
  void forward(xmoe::Context<Traits>& ctx, const Own&,
               const xmoe::Batch<typename Traits::scalar>& batch,
               xmoe::MatrixView<typename Traits::routing> logits) const {
    for (index i = 0; i < batch.x.rows() * batch.x.cols() && !ctx.measuring(); ++i) {
      logits.data()[i] = batch.x.data()[i];
    }
  }
  template <class Traits, class Own>
  void backward(xmoe::Context<Traits>& ctx, const Own&, const xmoe::Batch<typename Traits::scalar>&,
                xmoe::MatrixView<const typename Traits::routing> dlogits, Own&,
                xmoe::MatrixView<typename Traits::scalar> dx) const {
    for (index t = 0; t < dx.rows() && !ctx.measuring(); ++t) {
      for (index e = 0; e < dx.cols(); ++e) {
        dx(t, e) += dlogits(t, e);
      }
    }
  }
};

/// Logits in rows of E, and which tokens are real (empty: all).
template <class R>
struct Logits {
  int tokens, experts;
  std::vector<R> z;
  std::vector<std::uint8_t> valid;

  xmoe::Batch<R> batch() const { return {xmoe::In<R>(z.data(), tokens, experts), in(valid)}; }
};

/// Normal logits with ties in every third row.
template <class R>
Logits<R> random_logits(int tokens, int experts, std::uint64_t seed) {
  Generator random(seed);
  Logits<R> l{tokens, experts, {}, {}};
  for (int i = 0; i < tokens * experts; ++i) {
    const double z = 2.0 * random.normal();
    l.z.push_back(static_cast<R>(i / experts % 3 == 1 ? std::round(z) : z));
  }
  return l;
}
template <class R>
Logits<R> with_mask(Logits<R> l, std::uint64_t seed) {
  Generator random(seed);
  for (int t = 0; t < l.tokens; ++t) {
    l.valid.push_back(static_cast<std::uint8_t>(random.below(3) == 0 ? 0 : 1));
  }
  for (int i = 0; i < l.tokens * l.experts; ++i) {  // padding may hold anything
    if (l.valid[static_cast<std::size_t>(i / l.experts)] == 0 && i % 2 == 0) {
      l.z[static_cast<std::size_t>(i)] = std::numeric_limits<R>::quiet_NaN();
    }
  }
  return l;
}

/// A decision as vectors, by token, slots that are not used left out.
template <class R>
struct Decided {
  std::vector<int> count, expert;
  std::vector<R> weight, score, scores;
};

inline std::size_t at(index i) { return static_cast<std::size_t>(i); }

template <class R, class P>
Decided<R> decided_by_cpu(const P& router, const Logits<R>& l, const auto& own) {
  Work<R> work;
  work.scratch = xmoe::Workspace(index(1) << 23);
  work.keep = xmoe::Workspace(index(1) << 24);
  auto ctx = work.context();
  const auto d = router.forward(ctx, own, l.batch(), l.experts);
  const auto& r = d.routing;
  const index n = r.assignments();
  Decided<R> result{{},
                    {r.expert, r.expert + n},
                    {r.weight, r.weight + n},
                    {r.score, r.score + n},
                    {d.scores.data(), d.scores.data() + l.tokens * l.experts}};
  for (index t = 0; t < l.tokens; ++t) {
    result.count.push_back(static_cast<int>(r.end(t) - r.begin(t)));
  }
  return result;
}

/// Room for a decision on the device.
template <class R>
struct RoutingOnDevice {
  int tokens, experts, width;
  OnDevice<int> count, expert;
  OnDevice<R> weight, score, logits, scores;
  OnDevice<std::uint8_t> valid;
  OnDevice<xmoe::cuda::FirstNonfinite> nonfinite;
  bool masked;

  RoutingOnDevice(const Logits<R>& l, int width_)
      : tokens(l.tokens),
        experts(l.experts),
        width(width_),
        count(std::vector<int>(at(tokens), -5)),
        expert(std::vector<int>(at(tokens * width), -5)),
        weight(std::vector<R>(at(tokens * width), R(-5))),
        score(std::vector<R>(at(tokens * width), R(-5))),
        logits(l.z),
        scores(std::vector<R>(at(tokens * experts), R(-5))),
        valid(l.valid),
        nonfinite(std::vector<xmoe::cuda::FirstNonfinite>{xmoe::cuda::no_nonfinite}),
        masked(!l.valid.empty()) {}

  xmoe::cuda::DeviceRouting<R> view() const {
    return {tokens,        experts,      width,         count.data(),  expert.data(),
            weight.data(), score.data(), logits.data(), scores.data(), nullptr};
  }
  const std::uint8_t* mask() const { return masked ? valid.data() : nullptr; }
  xmoe::cuda::RouteArguments<R> arguments() const { return {view(), mask(), nonfinite.data()}; }

  Decided<R> decided() const {
    Decided<R> d{count.numbers(), {}, {}, {}, scores.numbers()};
    const auto all_expert = expert.numbers();
    const auto all_weight = weight.numbers();
    const auto all_score = score.numbers();
    for (int t = 0; t < tokens; ++t) {
      REQUIRE((d.count[at(t)] >= 0 && d.count[at(t)] <= width));
      for (int r = 0; r < d.count[at(t)]; ++r) {
        d.expert.push_back(all_expert[at(t * width + r)]);
        d.weight.push_back(all_weight[at(t * width + r)]);
        d.score.push_back(all_score[at(t * width + r)]);
      }
    }
    return d;
  }
};

/// The same bits, or both NaN.
template <class R>
bool same_numbers(const std::vector<R>& a, const std::vector<R>& b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(R)) != 0 && !(xmoe::is_nan(a[i]) && xmoe::is_nan(b[i]))) {
      UNSCOPED_INFO("number " << i << ": " << a[i] << " and " << b[i]);
      return false;
    }
  }
  return true;
}
template <class R>
bool same_decision(const Decided<R>& a, const Decided<R>& b) {
  return a.count == b.count && a.expert == b.expert && same_numbers(a.scores, b.scores) &&
         same_numbers(a.score, b.score) && same_numbers(a.weight, b.weight);
}

/// Changes the lowest bit of one number in the middle.
template <class T>
std::vector<T> one_bit_off(std::vector<T> v) {
  unsigned char byte = 0;
  std::memcpy(&byte, &v[v.size() / 2], 1);
  byte ^= 1;
  std::memcpy(static_cast<void*>(&v[v.size() / 2]), &byte, 1);
  return v;
}

/// Requires the decision, and that each kind of number would have been noticed one bit off.
template <class R>
void require_decision(const Decided<R>& got, const Decided<R>& want) {
  REQUIRE(same_decision(got, want));
  if (want.expert.empty()) {
    return;
  }
  const auto noticed = [&](auto member) {
    Decided<R> off = want;
    const auto before = off.*member;
    off.*member = one_bit_off(before);
    const auto middle = (off.*member)[before.size() / 2];
    return middle != middle || !same_decision(got, off);  // NaN stays NaN
  };
  REQUIRE(noticed(&Decided<R>::count));
  REQUIRE(noticed(&Decided<R>::expert));
  REQUIRE(noticed(&Decided<R>::weight));
  REQUIRE(noticed(&Decided<R>::score));
  REQUIRE(noticed(&Decided<R>::scores));
}

}  // namespace tests
