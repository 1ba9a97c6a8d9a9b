// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/broadcast.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::Broadcast;
using xmoe::select::TopK;

const RowSite training{0, 0, Mode::train, {}};

TEST_CASE("broadcast: rows around their entropy", "[router][select]") {
  double mean = 0.0;
  for (index t = 0; t < 4; ++t) {
    const wave::Row p = wave::softmax(t);
    double h = 0.0;
    for (const double q : p) {
      h -= q * std::log(q);
    }
    mean += h / 4.0;
    const auto chosen = [&](double entropy) {
      return tests::chosen_from(Broadcast<TopK>{{2}, static_cast<float>(entropy)}, {}, p, training);
    };
    CHECK(chosen(h - 1e-6) == tests::chosen_by(TopK{8}, p));
    CHECK(chosen(h + 1e-6) == tests::chosen_by(TopK{2}, p));
    CHECK(chosen(0.0).size() == 8);
    CHECK(chosen(std::log(8.0) + 1e-6).size() == 2);
  }
  CHECK(std::abs(mean - 1.41169588) < 1e-8);  // of the same rows, elsewhere
}

TEMPLATE_TEST_CASE("broadcast: uncertain tokens go everywhere", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const std::vector<R> flat(8, R(1) / R(8)), sure = {0, 0, 0, 1, 0, 0, 0, 0};
  const Broadcast<> select{};  // 2 < ln 8 = 2.0794
  const auto all = tests::chosen_by(xmoe::select::All{}, flat);
  CHECK(tests::chosen_from(select, {}, flat, training) == all);
  CHECK(tests::chosen_from(select, {}, sure, training) == Ids{3});  // 0 ln 0 = 0
  CHECK(tests::chosen_from(select, {}, flat, {}) == Ids{0});        // inference
  CHECK(tests::chosen_from(Broadcast<>{{}, 2.f, true}, {}, flat, {}) == all);
  CHECK(tests::chosen_from<R>(Broadcast<>{{}, 0.f}, {0, -inf, 0}, {R(0.5), 0, R(0.5)}, training) ==
        Ids{0, 2});
  const R nan = std::numeric_limits<R>::quiet_NaN();
  CHECK(tests::chosen_from<R>(select, {}, {nan, nan}, training) == Ids{0});
}

TEST_CASE("broadcast: under a bias, around one, room and errors", "[router][select]") {
  const wave::Row flat(4, 0.25), bias = {0, 0, 9, 0};
  const auto check = [&](const auto& select, const RowSite& site, const Ids& want) {
    auto own = select.template make_weights<xmoe::Cpu<double>>({1, 4, 1});
    own.bias.load(bias);
    CHECK(tests::chosen_from(select, {}, flat, site, own) == want);
  };
  check(Biased<Broadcast<>>{{{}, 1.f}}, training, {2, 0, 1, 3});
  check(Broadcast<Biased<TopK>>{{{2}}, 1.f}, training, {0, 1, 2, 3});  // its bias is its own
  check(Broadcast<Biased<TopK>>{{{2}}, 1.f}, {}, {2, 0});
  CHECK(Broadcast<>{}.max_assignments(3, 5) == 15);
  STATIC_REQUIRE(Broadcast<>::needs_probabilities);
  CHECK(tests::message_of<value_error>([] {
          Broadcast<>{{}, std::nanf("")}.check({1, 4, 1});
        }) == "xmoe::select::Broadcast: entropy is nan, must be a number");
  CHECK(!tests::message_of<value_error>([] { Broadcast<TopK>{{5}}.check({1, 4, 1}); }).empty());
}

}  // namespace
}  // namespace xmoe
