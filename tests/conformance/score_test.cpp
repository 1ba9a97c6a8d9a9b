// SPDX-License-Identifier: Apache-2.0
#include "conformance/score.hpp"

#include "support/catch.hpp"

namespace conformance {
namespace {

TEST_CASE("scores: every score is written, the same twice", "[conformance]") {
  each(scores(), [](const auto& entry) {
    tests::Generator random(1);
    for (const index experts : all_experts) {
      const auto z = tests::narrow<float>(tests::normals(random, experts, 3.0));
      const std::vector<float> s = tests::scores_of(entry.policy, z);  // over NaN
      INFO(experts << " experts");
      CHECK(tests::same_bits(s, tests::scores_of(entry.policy, z)));
      for (const float v : s) {
        CHECK(xmoe::is_finite(v));
      }
      if constexpr (std::remove_cvref_t<decltype(entry.policy)>::probabilities) {
        double sum = 0.0;
        for (const float v : s) {
          sum += static_cast<double>(v);
        }
        CHECK(tests::within(sum, 1.0, 4e-7 * static_cast<double>(experts)));
      }
    }
  });
}

TEST_CASE("scores: float as double", "[conformance]") {
  each(scores(), [](const auto& entry) {
    tests::Generator random(2);
    for (const index experts : all_experts) {
      const reference::Vector z = tests::normals(random, experts, 3.0);
      const reference::Vector want = tests::scores_of(entry.policy, z);
      const reference::Vector got =
          tests::wide(tests::scores_of(entry.policy, tests::narrow<float>(z)));
      INFO(experts << " experts");
      tests::check_close<float>("scores", got, want, experts + 16);
      if (experts > 1) {  // twin
        const double allowed = tests::tolerance<float>(experts + 16, tests::magnitude(want));
        CHECK_FALSE(tests::difference({got.rbegin(), got.rend()}, want, allowed).close);
      }
    }
  });
}

TEST_CASE("scores: experts are interchangeable", "[conformance]") {
  each(scores(), [](const auto& entry) {
    tests::Generator random(3);
    for (const index experts : all_experts) {
      const reference::Vector z = tests::normals(random, experts, 3.0);
      const std::vector<index> order = tests::permutation(random, experts);
      const reference::Vector s = tests::scores_of(entry.policy, z);
      const reference::Vector moved = tests::scores_of(entry.policy, permuted(z, order));
      tests::check_close<double>("scores", moved, permuted(s, order), experts + 16);
    }
  });
}

TEST_CASE("scores: equal logits, equal scores; larger logit, no smaller score", "[conformance]") {
  each(scores(), [](const auto& entry) {
    for (const index experts : all_experts) {
      for (const auto& row : tests::hard_rows<float>(experts)) {
        INFO(experts << " experts: " << row.name);
        const std::vector<float> s = tests::scores_of(entry.policy, row.values);
        for (std::size_t a = 0; a < s.size(); ++a) {
          for (std::size_t b = 0; b < s.size(); ++b) {
            if (xmoe::is_nan(s[a]) || xmoe::is_nan(s[b])) {
              continue;
            }
            CHECK((row.values[a] != row.values[b] || s[a] == s[b]));
            CHECK((!(row.values[a] > row.values[b]) || s[a] >= s[b]));
          }
        }
      }
    }
  });
}

TEST_CASE("scores: a NaN stays visible", "[conformance]") {
  each(scores(), [](const auto& entry) {
    for (const index experts : all_experts) {
      std::vector<double> z(static_cast<std::size_t>(experts), 0.5);
      z[z.size() / 2] = std::numeric_limits<double>::quiet_NaN();
      CHECK(xmoe::is_nan(tests::scores_of(entry.policy, z)[z.size() / 2]));
    }
  });
}

TEST_CASE("scores: gradients", "[conformance]") {
  each(scores(), [](const auto& entry) {
    tests::Generator random(4);
    for (const index experts : all_experts) {
      std::vector<double> z = tests::normals(random, experts);
      const std::vector<double> g = tests::normals(random, experts);
      const auto objective = [&] {
        const std::vector<double> s = tests::scores_of(entry.policy, z);
        double value = 0.0;
        for (std::size_t e = 0; e < s.size(); ++e) {
          value += g[e] * s[e];
        }
        return value;
      };
      const std::vector<double> s = tests::scores_of(entry.policy, z);
      std::vector<double> dz(z.size(), 2.0);  // it is added to
      entry.policy.row_backward(tests::in(z), tests::in(s), tests::in(g), tests::out(dz));
      for (double& v : dz) {
        v -= 2.0;
      }
      const reference::Vector numeric = tests::slopes(objective, z);
      INFO(experts << " experts");
      CHECK(tests::relative_error(dz, numeric) < 1e-6);
      if (experts > 1) {  // twin: a gradient without the last expert
        dz.back() = 0.0;
        CHECK((numeric.back() == 0.0 || tests::relative_error(dz, numeric) > 1e-6));
      }
    }
  });
}

}  // namespace
}  // namespace conformance
