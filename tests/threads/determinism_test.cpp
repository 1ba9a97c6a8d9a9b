// SPDX-License-Identifier: Apache-2.0
// The same bits for any number of threads and in every run; several layers and several callers at
// once. Also run under the thread sanitizer.
#include <thread>

#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity>;

tests::Case make_case(index tokens, index experts) {
  tests::CaseOptions o;
  o.shape = {tokens, experts, 33, 40};
  o.activation = reference::Activation::gelu_tanh;
  o.gate_bias = true;
  o.router.threshold = 0.7;
  o.capacity = {true, 2.0, 1, reference::Priority::rank_then_probability, {}};
  return tests::random_case(static_cast<std::uint64_t>(tokens + 1000 * experts), o);
}
std::vector<tests::Tensor> run(const Layer& layer, const tests::Case& c) {
  return tests::layer_results(layer, c, loss::LoadBalance<>{}, loss::ZLoss{});
}
bool same(const std::vector<tests::Tensor>& a, const std::vector<tests::Tensor>& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) {
    equal = a[i].values == b[i].values;
  }
  return equal;
}

TEST_CASE("1, 2, 3 and 8 threads give the same bits, run after run", "[threads]") {
  for (const auto& [tokens, experts] :
       std::vector<std::pair<index, index>>{{1, 3}, {2, 8}, {7, 2}, {40, 5}, {150, 16}, {64, 1}}) {
    INFO("T " << tokens << ", E " << experts);
    const tests::Case c = make_case(tokens, experts);
    const Layer serial = tests::make_layer<Layer>(c.setup, cpu::Backend(1));
    const auto want = run(serial, c);
    for (index threads : {1, 2, 3, 8}) {
      INFO(threads << " threads");
      const Layer layer = tests::make_layer<Layer>(c.setup, cpu::Backend(threads));
      for (int repeat = 0; repeat < 3; ++repeat) {
        CHECK(same(run(layer, c), want));
      }
    }
  }
}

TEST_CASE("two layers on one backend, from two threads at once", "[threads]") {
  const tests::Case a = make_case(60, 6);
  const tests::Case b = make_case(45, 4);
  const cpu::Backend backend(3);
  const Layer first = tests::make_layer<Layer>(a.setup, backend);
  const Layer second = tests::make_layer<Layer>(b.setup, backend);
  const auto want_a = run(first, a);
  const auto want_b = run(second, b);
  int wrong_a = 0;
  int wrong_b = 0;
  std::thread other([&] {
    for (int i = 0; i < 10; ++i) {
      wrong_b += same(run(second, b), want_b) ? 0 : 1;
    }
  });
  for (int i = 0; i < 10; ++i) {
    wrong_a += same(run(first, a), want_a) ? 0 : 1;
  }
  other.join();
  CHECK(wrong_a == 0);
  CHECK(wrong_b == 0);
}

TEST_CASE("one layer, three callers at once", "[threads]") {
  const tests::Case c = make_case(50, 5);
  const Layer layer = tests::make_layer<Layer>(c.setup, cpu::Backend(2));
  const auto want = run(layer, c);
  int wrong[3] = {};
  std::vector<std::thread> callers;
  for (int& count : wrong) {
    callers.emplace_back([&] {
      for (int i = 0; i < 8; ++i) {
        count += same(run(layer, c), want) ? 0 : 1;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  CHECK(wrong[0] + wrong[1] + wrong[2] == 0);
}

TEST_CASE("a layer inside a parallel region of the same backend", "[threads]") {
  const tests::Case c = make_case(30, 4);
  const cpu::Backend backend(3);
  const Layer layer = tests::make_layer<Layer>(c.setup, backend);
  const auto want = run(layer, c);
  std::vector<int> equal(6, 0);
  backend.parallel(6, [&](index item, index) {
    equal[static_cast<std::size_t>(item)] = same(run(layer, c), want) ? 1 : 0;
  });
  CHECK(equal == std::vector<int>(6, 1));
}

TEST_CASE("somebody else's executor gives the same bits", "[threads]") {
  struct Spawning {  // a thread per worker and call
    index threads() const { return 4; }
    void run(index workers, Executor::Task task) const {
      std::vector<std::thread> all;
      for (index w = 1; w < workers; ++w) {
        all.emplace_back([task, w] { task(w); });
      }
      task(0);
      for (std::thread& t : all) {
        t.join();
      }
    }
  };
  Spawning pool;
  const tests::Case c = make_case(70, 5);
  const Layer serial = tests::make_layer<Layer>(c.setup, cpu::Backend(Executor::serial()));
  const Layer spawned = tests::make_layer<Layer>(c.setup, cpu::Backend(Executor::of(pool)));
  CHECK(same(run(serial, c), run(spawned, c)));
}

}  // namespace
