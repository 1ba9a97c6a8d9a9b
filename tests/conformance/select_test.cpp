// SPDX-License-Identifier: Apache-2.0
#include "conformance/select.hpp"

#include <functional>
#include <set>

#include "support/catch.hpp"

namespace conformance {
namespace {

/// An entry of the list without its type, so that every test is compiled once.
template <class R>
struct Selector {
  using Row = std::vector<R>;

  std::string name;
  Promise promise;
  std::function<std::vector<index>(const Row& logits, const Row& scores, const Row& bias)> masked;
  std::function<index(index tokens, index experts)> room;  ///< throws what `check` does

  std::vector<index> operator()(const Row& scores, const Row& bias) const {
    return masked({}, scores, bias);
  }
};
template <class R>
std::vector<Selector<R>> selectors() {
  using Row = std::vector<R>;
  std::vector<Selector<R>> list;
  each(selects(), [&](const auto& entry) {
    const auto policy = entry.policy;
    list.push_back({"entry " + std::to_string(list.size()) + ", " + entry.header + ".hpp",
                    promise(policy),
                    [=](const Row& logits, const Row& scores, const Row& bias) {
                      const auto experts = static_cast<index>(scores.size());
                      return choice(fitted(policy, experts), logits, scores, bias);
                    },
                    [=](index tokens, index experts) {
                      const auto here = fitted(policy, experts);
                      xmoe::detail::check(here, {1, experts, 1});
                      return here.max_assignments(tokens, experts);
                    }});
  });
  return list;
}

template <class R>
std::vector<R> probabilities(tests::Generator& random, index experts, double spread = 1.5) {
  return tests::scores_of(xmoe::score::Softmax{},
                          tests::narrow<R>(tests::normals(random, experts, spread)));
}
template <class R>
std::vector<R> zeros(index n) {
  return std::vector<R>(static_cast<std::size_t>(n), R(0));
}

template <class R>
void check_choice(const Selector<R>& select, const std::vector<R>& scores,
                  const std::vector<index>& got) {
  const index experts = static_cast<index>(scores.size());
  const std::set<index> distinct(got.begin(), got.end());
  const R forbidden = -std::numeric_limits<R>::infinity();
  const bool nobody =
      std::all_of(scores.begin(), scores.end(), [&](R s) { return s == forbidden; });
  CHECK((nobody ? got.empty() : !select.promise.somebody || !got.empty()));
  CHECK(distinct.size() == got.size());
  for (const index e : distinct) {
    CHECK((e >= 0 && e < experts));
    CHECK(scores[static_cast<std::size_t>(e)] != forbidden);
  }
  const index room = select.room(1, experts);
  CHECK(static_cast<index>(got.size()) <= room);
  CHECK(room <= experts);
  CHECK(select.room(7, experts) == 7 * room);
}

TEMPLATE_TEST_CASE("selects: distinct, in range, within the room", "[conformance]", float, double) {
  using R = TestType;
  for (const Selector<R>& select : selectors<R>()) {
    INFO(select.name);
    tests::Generator random(1);
    for (const index experts : all_experts) {
      INFO(experts << " experts");
      for (const auto& row : tests::hard_rows<R>(experts)) {
        INFO(row.name);
        check_choice(select, row.values, select(row.values, zeros<R>(experts)));
      }
      for (int i = 0; i < 10; ++i) {
        const std::vector<R> p = probabilities<R>(random, experts);
        const auto bias = tests::narrow<R>(tests::normals(random, experts));
        check_choice(select, p, select(p, bias));
        CHECK(select(p, bias) == select(p, bias));
      }
    }
  }
}

TEMPLATE_TEST_CASE("selects: best first, ties by the lower index", "[conformance]", float, double) {
  using R = TestType;
  for (const Selector<R>& select : selectors<R>()) {
    INFO(select.name);
    if (!select.promise.best_first) {
      continue;
    }
    tests::Generator random(2);
    for (const index experts : all_experts) {
      std::vector<R> p = probabilities<R>(random, experts);
      for (R& v : p) {
        v = std::round(v * R(16)) / R(16);  // many ties
      }
      const auto got = select(p, zeros<R>(experts));
      for (std::size_t i = 1; i < got.size(); ++i) {
        const R before = p[static_cast<std::size_t>(got[i - 1])];
        const R after = p[static_cast<std::size_t>(got[i])];
        CHECK((before > after || (before == after && got[i - 1] < got[i])));
      }
      if (!select.promise.nobody_before || got.empty()) {
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
      const auto ties =
          select(std::vector<R>(p.size(), R(1) / static_cast<R>(experts)), zeros<R>(experts));
      for (std::size_t i = 0; i < ties.size(); ++i) {
        CHECK(ties[i] == static_cast<index>(i));
      }
    }
  }
}

TEST_CASE("selects: experts are interchangeable without ties", "[conformance]") {
  for (const Selector<double>& select : selectors<double>()) {
    INFO(select.name);
    if (!select.promise.interchangeable) {
      continue;
    }
    tests::Generator random(3);
    for (const index experts : all_experts) {
      const std::vector<double> p = probabilities<double>(random, experts);
      const std::vector<double> bias = tests::normals(random, experts, 0.1);
      const std::vector<index> order = tests::permutation(random, experts);
      const auto moved = select(permuted(p, order), permuted(bias, order));
      std::vector<index> back;
      for (const index e : moved) {
        back.push_back(order[static_cast<std::size_t>(e)]);
      }
      INFO(experts << " experts");
      CHECK(back == select(p, bias));
    }
  }
}

TEMPLATE_TEST_CASE("selects: a masked expert is never chosen", "[conformance]", float, double) {
  using R = TestType;
  for (const Selector<R>& select : selectors<R>()) {
    INFO(select.name);
    tests::Generator random(5);
    index met = 0;
    for (const index experts : all_experts) {
      INFO(experts << " experts");
      for (int i = 0; i < 20; ++i) {
        // The scores know nothing of the mask.
        const std::vector<R> p = probabilities<R>(random, experts);
        const auto bias = tests::narrow<R>(tests::normals(random, experts, 0.1));
        std::vector<R> z = zeros<R>(experts);
        const auto free = select.masked(z, p, bias);
        for (R& logit : z) {
          logit = random.uniform() < 0.5 ? -std::numeric_limits<R>::infinity() : R(0);
        }
        const auto is_masked = [&](index e) { return z[static_cast<std::size_t>(e)] != R(0); };
        const auto got = select.masked(z, p, bias);
        CHECK(std::none_of(got.begin(), got.end(), is_masked));
        met += std::count_if(free.begin(), free.end(), is_masked);
        z.assign(z.size(), -std::numeric_limits<R>::infinity());
        CHECK(select.masked(z, p, bias).empty());
      }
    }
    CHECK(met > 0);  // without the mask some of them would have been
  }
}

TEST_CASE("selects: float as double", "[conformance]") {
  const auto single = selectors<float>();
  const auto twice = selectors<double>();
  for (std::size_t s = 0; s < single.size(); ++s) {
    tests::Generator random(4);
    for (const index experts : all_experts) {
      for (int i = 0; i < 10; ++i) {
        const auto p = probabilities<float>(random, experts);
        const auto bias = tests::narrow<float>(tests::normals(random, experts, 0.1));
        INFO(single[s].name << ": " << experts << " experts, case " << i);
        CHECK(single[s](p, bias) == twice[s](tests::wide(p), tests::wide(bias)));
      }
    }
  }
}

}  // namespace
}  // namespace conformance
