// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/gradient_check.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

/// f(a, b) = sum of c_i sin(w_i) over two tensors, with its gradients.
struct Problem {
  Panels<double> a{2, 3, 4}, b{1, 5, 1}, da{2, 3, 4}, db{1, 5, 1};
  Parameters parameters{{"a", Role::trained, &a}, {"b", Role::trained, &b}};
  Parameters gradients{{"a", Role::trained, &da}, {"b", Role::trained, &db}};

  Problem() {
    tests::Generator random(1);
    a.load(tests::normals(random, a.size()));
    b.load(tests::normals(random, b.size()));
    each([](double& w, double& g, double c) { g = c * std::cos(w); });
  }
  template <class F>
  void each(F f) {
    double c = 1.0;
    for (const auto& [w, g] : {std::pair{&a, &da}, std::pair{&b, &db}}) {
      for (index i = 0; i < w->count(); ++i) {
        for (index r = 0; r < w->rows(); ++r) {
          for (index k = 0; k < w->cols(); ++k) {
            f(w->at(i, r, k), g->at(i, r, k), c += 0.25);
          }
        }
      }
    }
  }
  double operator()() {
    double value = 0.0;
    each([&](double& w, double&, double c) { value += c * std::sin(w); });
    return value;
  }
};

TEST_CASE("gradient check: a right gradient passes", "[training]") {
  Problem p;
  const std::vector<double> before = tests::wide(p.a.values());
  const GradientReport report = gradient_check(p, p.parameters, p.gradients, {.most = 0});
  CHECK(report.worst < 1e-8);
  // padding is tried as well: its gradients are zero, and so are its slopes
  CHECK(report.checked == p.a.values().size() + p.b.values().size());
  CHECK(tests::wide(p.a.values()) == before);  // the parameters are as they were
}

TEST_CASE("gradient check: a planted mistake is found and named", "[training]") {
  Problem p;
  SECTION("one element") {
    p.db.at(0, 3) *= 1.01;
    const GradientReport report = gradient_check(p, p.parameters, p.gradients, {.most = 0});
    CHECK(report.worst > 1e-3);
    CHECK(report.name == "b");
    CHECK(report.element == p.b.offset(0, 3, 0));
    CHECK(report.analytic == p.db.at(0, 3));
    CHECK(tests::within(report.numeric, p.db.at(0, 3) / 1.01, 1e-8));
  }
  SECTION("a sign") {
    p.da.at(1, 2, 0) *= -1.0;
    CHECK(gradient_check(p, p.parameters, p.gradients, {.most = 0}).name == "a");
  }
  SECTION("nothing written") {
    p.da.zero();
    CHECK(gradient_check(p, p.parameters, p.gradients).worst > 1.0);
  }
  SECTION("NaN") {
    p.da.at(0, 0, 0) = std::numeric_limits<double>::quiet_NaN();
    const GradientReport report = gradient_check(p, p.parameters, p.gradients);
    CHECK_FALSE(report.worst < 1e-6);
    CHECK(report.name == "a");
  }
  SECTION("NaN is not forgotten when good elements follow") {
    p.da.at(0, 0, 0) = std::numeric_limits<double>::quiet_NaN();
    const GradientReport report = gradient_check(p, p.parameters, p.gradients, {.most = 0});
    CHECK_FALSE(report.worst < 1e-6);
    CHECK(report.element == 0);
  }
}

TEST_CASE("gradient check: remembered tensors are left alone", "[training]") {
  Problem p;
  p.db.zero();
  p.parameters[1].role = Role::remembered;
  CHECK(gradient_check(p, p.parameters, p.gradients).worst < 1e-8);
}

TEST_CASE("gradient check: a sample of a large tensor", "[training]") {
  Problem p;
  const GradientReport report = gradient_check(p, p.parameters, p.gradients, {.most = 10});
  CHECK(report.checked >= 20);
  CHECK(report.checked < p.a.values().size());
}

TEST_CASE("gradient check: errors", "[training]") {
  Problem p;
  CHECK(tests::message_of<shape_error>([&] { gradient_check(p, p.parameters, {}); }) ==
        "xmoe::gradient_check: 2 parameters, 0 gradients");
  Panels<float> narrow(1, 5, 1);
  p.parameters[1].tensor = &narrow;
  CHECK(tests::message_of<value_error>([&] { gradient_check(p, p.parameters, p.gradients); }) ==
        "xmoe::Parameter::as: 'b' has another scalar type");
  p.parameters[1].tensor = &p.b;
  p.parameters.pop_back();
  p.gradients[0].tensor = &p.db;  // another size than "a"
  p.gradients.pop_back();
  CHECK(tests::message_of<shape_error>([&] { gradient_check(p, p.parameters, p.gradients); }) ==
        "xmoe::gradient_check: parameter 'a' stores 128 numbers, gradient 'a' 16");
}

}  // namespace
}  // namespace xmoe
