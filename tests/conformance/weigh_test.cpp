// SPDX-License-Identifier: Apache-2.0
#include "conformance/weigh.hpp"

#include "support/catch.hpp"

namespace conformance {
namespace {

using Ids = std::vector<std::int32_t>;

/// A row: independent logits and scores, and some of the experts, best first.
struct Row {
  std::vector<double> z, s;
  Ids chosen;

  Row(tests::Generator& random, index experts) : z(tests::normals(random, experts)) {
    s = tests::scores_of(xmoe::score::Sigmoid{}, tests::normals(random, experts));
    for (const index e : tests::chosen_by(xmoe::select::TopK{(experts + 1) / 2}, s)) {
      chosen.push_back(static_cast<std::int32_t>(e));
    }
  }
};

TEST_CASE("weighs: every weight is written, the same twice", "[conformance]") {
  each(weighs(), [](const auto& entry) {
    tests::Generator random(1);
    for (const index experts : all_experts) {
      const Row row(random, experts);
      const auto w = tests::weights_by(entry.policy, row.z, row.s, row.chosen);
      INFO(experts << " experts");
      CHECK(tests::same_bits(w, tests::weights_by(entry.policy, row.z, row.s, row.chosen)));
      for (const double v : w) {
        CHECK(xmoe::is_finite(v));
      }
      CHECK(tests::weights_by(entry.policy, row.z, row.s, Ids{}).empty());
    }
  });
}

TEST_CASE("weighs: float as double", "[conformance]") {
  each(weighs(), [](const auto& entry) {
    tests::Generator random(2);
    for (const index experts : all_experts) {
      const Row row(random, experts);
      const auto z = tests::narrow<float>(row.z), s = tests::narrow<float>(row.s);
      const auto want = tests::weights_by(entry.policy, tests::wide(z), tests::wide(s), row.chosen);
      const auto got = tests::wide(tests::weights_by(entry.policy, z, s, row.chosen));
      tests::check_close<float>("weights", got, want, experts + 8);
      auto twice = got;  // twin
      for (double& v : twice) {
        v *= 2.0;
      }
      CHECK_FALSE(tests::difference(twice, want,
                                    tests::tolerance<float>(experts + 8, tests::magnitude(want)))
                      .close);
    }
  });
}

TEST_CASE("weighs: linear in the scale", "[conformance]") {
  each(weighs(), [](const auto& entry) {
    tests::Generator random(3);
    for (const index experts : all_experts) {
      const Row row(random, experts);
      auto half = entry.policy;
      half.scale *= 0.5f;
      auto nothing = entry.policy;
      nothing.scale = 0.f;
      const auto w = tests::weights_by(entry.policy, row.z, row.s, row.chosen);
      const auto h = tests::weights_by(half, row.z, row.s, row.chosen);
      for (std::size_t i = 0; i < w.size(); ++i) {
        CHECK(w[i] == 2.0 * h[i]);
      }
      CHECK(tests::weights_by(nothing, row.z, row.s, row.chosen) ==
            std::vector<double>(w.size(), 0.0));
    }
  });
}

TEST_CASE("weighs: experts are interchangeable", "[conformance]") {
  each(weighs(), [](const auto& entry) {
    tests::Generator random(4);
    for (const index experts : all_experts) {
      const Row row(random, experts);
      const std::vector<index> order = tests::permutation(random, experts);
      Ids moved;
      for (const std::int32_t e : row.chosen) {  // where expert e went
        moved.push_back(
            static_cast<std::int32_t>(std::find(order.begin(), order.end(), e) - order.begin()));
      }
      CHECK(tests::same_bits(
          tests::weights_by(entry.policy, permuted(row.z, order), permuted(row.s, order), moved),
          tests::weights_by(entry.policy, row.z, row.s, row.chosen)));
    }
  });
}

TEST_CASE("weighs: what was not chosen does not count", "[conformance]") {
  each(weighs(), [](const auto& entry) {
    tests::Generator random(5);
    for (const index experts : {2, 7, 60}) {
      const Row row(random, experts);
      Row other = row;
      for (index e = 0; e < experts; ++e) {
        if (std::find(row.chosen.begin(), row.chosen.end(), e) == row.chosen.end()) {
          other.z[static_cast<std::size_t>(e)] = std::numeric_limits<double>::quiet_NaN();
          other.s[static_cast<std::size_t>(e)] = std::numeric_limits<double>::infinity();
        }
      }
      CHECK(tests::same_bits(tests::weights_by(entry.policy, other.z, other.s, row.chosen),
                             tests::weights_by(entry.policy, row.z, row.s, row.chosen)));
    }
  });
}

TEST_CASE("weighs: gradients", "[conformance]") {
  each(weighs(), [](const auto& entry) {
    tests::Generator random(6);
    for (const index experts : all_experts) {
      Row row(random, experts);
      const std::vector<double> g = tests::normals(random, static_cast<index>(row.chosen.size()));
      const auto objective = [&] {
        const auto w = tests::weights_by(entry.policy, row.z, row.s, row.chosen);
        double value = 0.0;
        for (std::size_t i = 0; i < w.size(); ++i) {
          value += g[i] * w[i];
        }
        return value;
      };
      const auto w = tests::weights_by(entry.policy, row.z, row.s, row.chosen);
      std::vector<double> ds(row.s.size(), 3.0), dz(row.z.size(), -3.0);  // both are added to
      entry.policy.row_backward(
          xmoe::WeighRow<double>{tests::in(row.z), tests::in(row.s), tests::in(row.chosen)},
          tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
      for (std::size_t e = 0; e < ds.size(); ++e) {
        ds[e] -= 3.0;
        dz[e] += 3.0;
      }
      INFO(experts << " experts");
      const reference::Vector by_scores = tests::slopes(objective, row.s);
      const reference::Vector by_logits = tests::slopes(objective, row.z);
      CHECK(tests::relative_error(ds, by_scores) < 1e-6);
      CHECK(tests::relative_error(dz, by_logits) < 1e-6);
      // twin: the gradients of scores and logits exchanged
      if (tests::magnitude(by_scores) + tests::magnitude(by_logits) > 1e-3) {
        CHECK(std::max(tests::relative_error(dz, by_scores), tests::relative_error(ds, by_logits)) >
              1e-6);
      }
    }
  });
}

TEST_CASE("weighs: hard rows keep finite choices finite", "[conformance]") {
  each(weighs(), [](const auto& entry) {
    for (const auto& row : tests::hard_rows<float>(7)) {
      const std::vector<float> s = tests::scores_of(xmoe::score::Softmax{}, row.values);
      if (!std::all_of(s.begin(), s.end(), [](float v) { return xmoe::is_finite(v); })) {
        continue;
      }
      INFO(row.name);
      for (const float w : tests::weights_by(entry.policy, row.values, s, Ids{0, 3, 6})) {
        CHECK(xmoe::is_finite(w));
        CHECK(w >= 0.f);
      }
    }
  });
}

}  // namespace
}  // namespace conformance
