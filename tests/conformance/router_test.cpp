// SPDX-License-Identifier: Apache-2.0
#include "conformance/select.hpp"

#include "support/catch.hpp"

namespace conformance {
namespace {

TEST_CASE("selects: tokens do not see each other", "[conformance]") {
  each(selects(), [](const auto& entry) {
    tests::Generator random(5);
    for (const index experts : {1, 3, 60}) {
      using P = std::remove_cvref_t<decltype(entry.policy)>;
      using Router = xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, P>;
      Router router{.select = fitted(entry.policy, experts)};
      tests::Work<float> work;
      const index dim = 5;
      auto own = router.template make_weights<xmoe::Cpu<float>>({dim, experts, 1});
      own.gate.weight.load(tests::narrow<float>(tests::normals(random, experts * dim)));
      if constexpr (requires { own.select.bias; }) {
        own.select.bias.load(tests::narrow<float>(tests::normals(random, experts, 0.1)));
      }
      for (const index tokens : all_tokens) {
        const auto x = tests::narrow<float>(tests::normals(random, tokens * dim));
        const std::vector<index> order = tests::permutation(random, tokens);
        // (expert, weight) of every token
        const auto rows = [&](const std::vector<float>& numbers) {
          auto ctx = work.context();
          const xmoe::Batch<float> batch{xmoe::In<float>(numbers.data(), tokens, dim)};
          const auto r = router.forward(ctx, own, batch, experts).routing;
          std::vector<std::vector<std::pair<std::int32_t, float>>> list;
          for (index t = 0; t < tokens; ++t) {
            list.emplace_back();
            for (index a = r.begin(t); a < r.end(t); ++a) {
              list.back().emplace_back(r.expert[a], r.weight[a]);
            }
          }
          return list;
        };
        INFO(experts << " experts, " << tokens << " tokens");
        const auto plain = rows(x);
        CHECK(rows(permuted(x, order, dim)) == permuted(plain, order));
        CHECK(rows(x) == plain);
        check_measured(work, [&](auto& ctx) {
          router.forward(ctx, own, xmoe::Batch<float>{xmoe::In<float>(x.data(), tokens, dim)},
                         experts);
        });
      }
      auto other = router.template make_weights<xmoe::Cpu<float>>({dim, experts, 1});
      check_round_trip<float>(own, other);
    }
  });
}

}  // namespace
}  // namespace conformance
