// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/gate/linear.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using gate::Linear;
using tests::Work;

template <class S>
std::vector<S> logits_of(const Linear& gate, const auto& own, In<S> x, Work<S>& work) {
  const index experts = own.weight.rows();
  std::vector<S> z(static_cast<std::size_t>(x.rows() * experts),
                   std::numeric_limits<S>::quiet_NaN());
  auto ctx = work.context();
  gate.forward(ctx, own, Batch<S>{x}, Out<S>(z.data(), x.rows(), experts));
  return z;
}

TEMPLATE_TEST_CASE("linear gate: by hand", "[router][gate]", float, double) {
  using S = TestType;
  const Linear gate{.bias = true};
  auto own = gate.make_weights<Cpu<S>>({2, 3, 1});
  own.weight.load(std::vector<S>{1, 2, 3, 4, 5, 6});
  own.bias.load(std::vector<S>{10, 20, 30});
  const std::vector<S> x = {1, 0, 0, 1, 1, -1, 2, 0.5};
  Work<S> work;
  CHECK(logits_of<S>(gate, own, In<S>(x.data(), 3, 2, 3), work) ==  // rows 3 numbers apart
        std::vector<S>{11, 23, 35, 13, 27, 41, 13, 28, 43});
  const std::vector<S> twice = {11, 23, 35, 13, 27, 41};
  CHECK(logits_of<S>(gate, own, In<S>(x.data(), 2, 2, 3), work) == twice);
  own.bias.zero();
  CHECK(logits_of<S>(gate, own, In<S>(x.data(), 2, 2, 3), work) != twice);
}

TEST_CASE("linear gate: start", "[router][gate]") {
  using Traits = Cpu<float>;
  const Linear gate{.bias = true, .init_scale = 2.f};
  auto own = gate.make_weights<Traits>({400, 50, 1});
  own.bias.at(0, 7) = 3.f;
  gate.initialize<Traits>(own, Random{5});
  auto again = gate.make_weights<Traits>({400, 50, 1});
  gate.initialize<Traits>(again, Random{5});
  auto other = gate.make_weights<Traits>({400, 50, 1});
  gate.initialize<Traits>(other, Random{6});
  CHECK(tests::wide(own.weight.values()) == tests::wide(again.weight.values()));
  CHECK(tests::wide(own.weight.values()) != tests::wide(other.weight.values()));
  CHECK(own.bias.at(0, 7) == 0.f);
  const double bound = 2.0 / 20.0;  // init_scale / sqrt(D)
  double sum = 0.0, square = 0.0, largest = 0.0;
  for (index e = 0; e < 50; ++e) {
    for (index d = 0; d < 400; ++d) {
      const double w = static_cast<double>(own.weight.at(0, e, d));
      sum += w;
      square += w * w;
      largest = std::max(largest, std::abs(w));
    }
  }
  const double n = 50.0 * 400.0;
  // U(-b, b): mean 0 with deviation b / sqrt(3 n), second moment b^2 / 3 with b^2 sqrt(4/45) /
  // sqrt(n)
  CHECK(std::abs(sum / n) < 5.0 * bound / std::sqrt(3.0 * n));
  CHECK(std::abs(square / n - bound * bound / 3.0) <
        5.0 * bound * bound * std::sqrt(4.0 / 45.0 / n));
  CHECK(largest <= bound);
  CHECK(largest > 0.99 * bound);
}

TEST_CASE("linear gate: jitter while training only", "[router][gate]") {
  tests::Generator random(2);
  const index dim = 40, tokens = 30;
  const reference::Vector x = tests::normals(random, tokens * dim);
  Linear gate{.jitter = 0.25f};
  auto own = gate.make_weights<Cpu<double>>({dim, dim, 1});
  for (index e = 0; e < dim; ++e) {
    own.weight.at(0, e, e) = 1.0;  // logits = the gate's view of x
  }
  Work<double> work;
  const In<double> view(x.data(), tokens, dim);
  CHECK(logits_of<double>(gate, own, view, work) == x);  // inference: untouched
  work.mode = Mode::train;
  work.random = Random{3, 9};
  const std::vector<double> z = logits_of<double>(gate, own, view, work);
  double low = 9.0, high = 0.0, sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double factor = z[i] / x[i];
    low = std::min(low, factor);
    high = std::max(high, factor);
    sum += factor;
  }
  CHECK(low >= 0.75 - 1e-12);
  CHECK(high <= 1.25 + 1e-12);
  CHECK(low < 0.76);
  CHECK(high > 1.24);
  const double n = static_cast<double>(x.size());
  CHECK(std::abs(sum / n - 1.0) < 5.0 * 0.25 / std::sqrt(3.0 * n));
  CHECK(logits_of<double>(gate, own, view, work) == z);  // the same step draws the same
  work.random = Random{3, 10};
  CHECK(logits_of<double>(gate, own, view, work) != z);
  gate.jitter = 0.f;
  CHECK(logits_of<double>(gate, own, view, work) == x);
}

TEST_CASE("linear gate: the gradient passes the jitter", "[router][gate]") {
  tests::Generator random(12);
  const index dim = 6, tokens = 7, experts = 3;
  std::vector<double> x = tests::normals(random, tokens * dim);
  const index padded = Panels<double>::width;
  std::vector<double> dz(static_cast<std::size_t>(tokens * padded), 0.0);
  for (index t = 0; t < tokens; ++t) {
    for (index e = 0; e < experts; ++e) {
      dz[static_cast<std::size_t>(t * padded + e)] = random.normal();
    }
  }
  const In<double> upstream(dz.data(), tokens, experts, padded);
  const Linear gate{.bias = true, .jitter = 0.3f};
  auto own = gate.make_weights<Cpu<double>>({dim, experts, 1});
  own.weight.load(tests::normals(random, experts * dim));
  auto gradient = gate.make_weights<Cpu<double>>({dim, experts, 1});
  Work<double> work;
  work.mode = Mode::train;
  work.random = Random{1, 1};
  const In<double> view(x.data(), tokens, dim);
  std::vector<double> dx(x.size(), 1.0);  // dx is added to
  auto ctx = work.context();
  gate.backward(ctx, own, Batch<double>{view}, upstream, gradient,
                Out<double>(dx.data(), tokens, dim));
  const auto objective = [&] {
    const std::vector<double> z = logits_of<double>(gate, own, view, work);
    double value = 0.0;
    for (index t = 0; t < tokens; ++t) {
      for (index e = 0; e < experts; ++e) {
        value += upstream(t, e) * z[static_cast<std::size_t>(t * experts + e)];
      }
    }
    return value;
  };
  for (double& v : dx) {
    v -= 1.0;
  }
  CHECK(tests::relative_error(dx, tests::slopes(objective, x)) < 1e-7);
  const reference::Vector dw = tests::slopes(objective, own.weight.values());
  for (index e = 0; e < experts; ++e) {
    for (index d = 0; d < dim; ++d) {
      CHECK(tests::within(gradient.weight.at(0, e, d),
                          dw[static_cast<std::size_t>(own.weight.offset(0, e, d))], 1e-7));
    }
  }
  work.random = Random{1, 2};  // twin: another step's draws
  CHECK(tests::relative_error(dx, tests::slopes(objective, x)) > 1e-3);
}

TEST_CASE("linear gate: errors", "[router][gate]") {
  for (const float jitter : {-0.1f, 1.f, std::numeric_limits<float>::quiet_NaN()}) {
    const std::string text = tests::message_of<value_error>([&] {
      Linear{.jitter = jitter}.check({4, 2, 1});
    });
    CHECK(text.find("xmoe::gate::Linear: jitter is ") == 0);
    CHECK(text.find("must be in [0, 1)") != std::string::npos);
  }
  CHECK(tests::message_of<value_error>([] { Linear{.jitter = 0.99f}.check({4, 2, 1}); }).empty());
}

}  // namespace
}  // namespace xmoe
