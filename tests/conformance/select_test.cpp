// SPDX-License-Identifier: Apache-2.0
#include "conformance/select.hpp"

#include <set>

#include "support/catch.hpp"

namespace conformance {
namespace {

template <class R>
std::vector<R> probabilities(tests::Generator& random, index experts, double spread = 1.5) {
  return tests::scores_of(xmoe::score::Softmax{},
                          tests::narrow<R>(tests::normals(random, experts, spread)));
}
template <class R>
std::vector<R> zeros(index n) {
  return std::vector<R>(static_cast<std::size_t>(n), R(0));
}

template <class R, class P>
void check_choice(const P& policy, const std::vector<R>& scores, const std::vector<index>& got) {
  const index experts = static_cast<index>(scores.size());
  const std::set<index> distinct(got.begin(), got.end());
  const R forbidden = -std::numeric_limits<R>::infinity();
  const bool nobody =
      std::all_of(scores.begin(), scores.end(), [&](R s) { return s == forbidden; });
  CHECK((nobody ? got.empty() : !promise(policy).somebody || !got.empty()));
  CHECK(distinct.size() == got.size());
  for (const index e : distinct) {
    CHECK((e >= 0 && e < experts));
    CHECK(scores[static_cast<std::size_t>(e)] != forbidden);
  }
  CHECK(static_cast<index>(got.size()) <= policy.max_assignments(1, experts));
  CHECK(policy.max_assignments(1, experts) <= experts);
  CHECK(policy.max_assignments(7, experts) == 7 * policy.max_assignments(1, experts));
}

TEMPLATE_TEST_CASE("selects: distinct, in range, within the room", "[conformance]", float, double) {
  using R = TestType;
  each(selects(), [](const auto& entry) {
    tests::Generator random(1);
    for (const index experts : all_experts) {
      const auto policy = fitted(entry.policy, experts);
      xmoe::detail::check(policy, {1, experts, 1});
      INFO(experts << " experts");
      for (const auto& row : tests::hard_rows<R>(experts)) {
        INFO(row.name);
        check_choice(policy, row.values, choice(policy, row.values, zeros<R>(experts)));
      }
      for (int i = 0; i < 10; ++i) {
        const std::vector<R> p = probabilities<R>(random, experts);
        const auto bias = tests::narrow<R>(tests::normals(random, experts));
        check_choice(policy, p, choice(policy, p, bias));
        CHECK(choice(policy, p, bias) == choice(policy, p, bias));
      }
    }
  });
}

TEMPLATE_TEST_CASE("selects: best first, ties by the lower index", "[conformance]", float, double) {
  using R = TestType;
  each(selects(), [](const auto& entry) {
    tests::Generator random(2);
    for (const index experts : all_experts) {
      const auto policy = fitted(entry.policy, experts);
      std::vector<R> p = probabilities<R>(random, experts);
      for (R& v : p) {
        v = std::round(v * R(16)) / R(16);  // many ties
      }
      const auto got = choice(policy, p, zeros<R>(experts));
      for (std::size_t i = 1; promise(policy).best_first && i < got.size(); ++i) {
        const R before = p[static_cast<std::size_t>(got[i - 1])];
        const R after = p[static_cast<std::size_t>(got[i])];
        CHECK((before > after || (before == after && got[i - 1] < got[i])));
      }
      if (!promise(policy).nobody_before || got.empty()) {
        continue;
      }
      for (index e = 0; e < experts; ++e) {  // nobody outside stands before the last one inside
        if (std::find(got.begin(), got.end(), e) == got.end()) {
          const R last = p[static_cast<std::size_t>(got.back())];
          const R out = p[static_cast<std::size_t>(e)];
          CHECK((last > out || (last == out && got.back() < e)));
        }
      }
      // all equal: 0 .. n-1
      const auto ties = choice(policy, std::vector<R>(p.size(), R(1) / static_cast<R>(experts)),
                               zeros<R>(experts));
      for (std::size_t i = 0; i < ties.size(); ++i) {
        CHECK(ties[i] == static_cast<index>(i));
      }
    }
  });
}

TEST_CASE("selects: experts are interchangeable without ties", "[conformance]") {
  each(selects(), [](const auto& entry) {
    if (!promise(entry.policy).interchangeable) {
      return;
    }
    tests::Generator random(3);
    for (const index experts : all_experts) {
      const auto policy = fitted(entry.policy, experts);
      const std::vector<double> p = probabilities<double>(random, experts);
      const std::vector<double> bias = tests::normals(random, experts, 0.1);
      const std::vector<index> order = tests::permutation(random, experts);
      const auto moved = choice(policy, permuted(p, order), permuted(bias, order));
      std::vector<index> back;
      for (const index e : moved) {
        back.push_back(order[static_cast<std::size_t>(e)]);
      }
      INFO(experts << " experts");
      CHECK(back == choice(policy, p, bias));
    }
  });
}

TEMPLATE_TEST_CASE("selects: a masked expert is never chosen", "[conformance]", float, double) {
  using R = TestType;
  each(selects(), [](const auto& entry) {
    tests::Generator random(5);
    for (const index experts : all_experts) {
      const auto policy = fitted(entry.policy, experts);
      INFO(experts << " experts");
      index masked = 0;
      for (int i = 0; i < 20; ++i) {
        // The scores know nothing of the mask, as those of a sigmoid of old logits would.
        const std::vector<R> p = probabilities<R>(random, experts);
        const auto bias = tests::narrow<R>(tests::normals(random, experts, 0.1));
        std::vector<R> z = zeros<R>(experts);
        const auto free = choice(policy, z, p, bias);
        for (R& logit : z) {
          logit = random.uniform() < 0.5 ? -std::numeric_limits<R>::infinity() : R(0);
        }
        for (const index e : choice(policy, z, p, bias)) {
          CHECK(z[static_cast<std::size_t>(e)] == R(0));
        }
        masked += std::count_if(free.begin(), free.end(),
                                [&](index e) { return z[static_cast<std::size_t>(e)] != R(0); });
        z.assign(z.size(), -std::numeric_limits<R>::infinity());
        CHECK(choice(policy, z, p, bias).empty());
      }
      CHECK((masked > 0 || promise(policy).somebody == false));  // the mask met somebody
    }
  });
}

TEST_CASE("selects: float as double", "[conformance]") {
  each(selects(), [](const auto& entry) {
    tests::Generator random(4);
    for (const index experts : all_experts) {
      for (int i = 0; i < 10; ++i) {
        const auto policy = fitted(entry.policy, experts);
        const auto p = probabilities<float>(random, experts);
        const auto bias = tests::narrow<float>(tests::normals(random, experts, 0.1));
        INFO(experts << " experts, case " << i);
        CHECK(choice(policy, p, bias) == choice(policy, tests::wide(p), tests::wide(bias)));
      }
    }
  });
}

}  // namespace
}  // namespace conformance
