// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/optimizer/elementwise.hpp>

#include "support/catch.hpp"
#include "training/optimizer/list_case.hpp"

namespace xmoe {
namespace {

using optimizer::clip_by_norm;
using tests::List;

TEMPLATE_TEST_CASE("clip: the norm over all tensors", "[training]", float, double) {
  using S = TestType;
  List<S> list;
  double square = 0.0;
  for (const double g : list.slopes()) {
    square += g * g;
  }
  const double norm = std::sqrt(square);
  const double eps = static_cast<double>(std::numeric_limits<S>::epsilon());
  const reference::Vector before = list.slopes();
  CHECK(tests::within(clip_by_norm(list.gradients, 1e9), norm, 1e-14 * norm));
  CHECK(list.slopes() == before);  // small enough: not a bit changes
  CHECK(tests::within(clip_by_norm(list.gradients, 2.0), norm, 1e-14 * norm));
  reference::Vector want = before;
  for (double& g : want) {
    g *= 2.0 / norm;
  }
  tests::check_close<S>("gradients", list.slopes(), want, 2);
  CHECK(tests::relative_error(list.slopes(), before) > 0.5);
  CHECK(tests::within(clip_by_norm(list.gradients, 100.0), 2.0, 8.0 * eps));
  CHECK(list.dc.at(0, 0) == S(1));  // what is only remembered takes no part
}

TEST_CASE("clip: zeros, huge numbers, nothing", "[training]") {
  List<float> list;
  for (const Parameter& p : list.gradients) {
    p.as<float>().zero();
  }
  CHECK(clip_by_norm(list.gradients, 1.0) == 0.0);
  CHECK(list.slopes() == reference::Vector(8, 0.0));
  list.da.at(0, 0, 0) = 3e38f;  // its square is no float
  CHECK(tests::within(clip_by_norm(list.gradients, 1.0), 3e38, 1e31));
  CHECK(tests::within(static_cast<double>(list.da.at(0, 0, 0)), 1.0, 1e-6));
  CHECK(clip_by_norm({}, 1.0) == 0.0);
}

TEST_CASE("clip: lists of several layers", "[training]") {
  List<double> one, two;
  Parameters both = one.gradients;
  both.insert(both.end(), two.gradients.begin(), two.gradients.end());
  const double norm = clip_by_norm(one.gradients, 1e9);
  CHECK(tests::within(clip_by_norm(both, 1e9), std::sqrt(2.0) * norm, 1e-12 * norm));
}

TEST_CASE("elementwise: moments have the shapes of the list", "[training]") {
  List<float> list;
  Panels<double> wide(2, 6, 4, RowOrder::gate_up_interleaved);
  list.parameters.push_back({"wide", Role::trained, &wide});
  std::vector<optimizer::detail::Moment> moments = optimizer::detail::moments_of(list.parameters);
  REQUIRE(moments.size() == 4);
  const auto& moment = std::get<Panels<double>>(moments[3]);
  CHECK(moment.count() == 2);
  CHECK(moment.rows() == 6);
  CHECK(moment.cols() == 4);
  CHECK(moment.order() == RowOrder::gate_up_interleaved);
  for (const double v : moment.values()) {
    CHECK(v == 0.0);
  }
  CHECK(std::get<Panels<float>>(moments[0]).cols() == 3);
  Parameters names;
  optimizer::detail::append(names, "m.", list.parameters, moments);
  CHECK(names[3].name == "m.wide");
}

}  // namespace
}  // namespace xmoe
