// SPDX-License-Identifier: Apache-2.0
// Whole layers under Google Benchmark: <side>/<workload>/<pass>/threads:<n>. Sides are xmoe, the
// Eigen loop, and `dense`: one expert of the same work for every token.
#include "sides.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace xmoe_bench {

namespace {

/// The sides of one workload. One is alive at a time: the largest need gigabytes.
struct Bench {
  Shape shape;
  index threads;
  Bank bank;
  Problem problem;
  GradientMemory gradients;
  std::unique_ptr<OurSide> ours;
  std::unique_ptr<Side> eigen;

  Bench(const Shape& s, index threads_)
      : shape(s), threads(threads_), bank(s), problem(bank, s, Skew::uniform) {
    ours = make_xmoe(bank, Scalar::f32, threads);
    gradients = ours->train();
    ours->take(problem);
    eigen = make_eigen(bank, threads, gradients);
    eigen->take(problem);
  }

  static Bench& of(const Shape& shape, index threads) {
    static std::unique_ptr<Bench> current;
    if (current == nullptr || current->shape.name != shape.name ||
        current->shape.routed != shape.routed || current->threads != threads) {
      current.reset();
      current = std::make_unique<Bench>(shape, threads);
    }
    return *current;
  }
};

void layer(benchmark::State& state, const Shape& shape, bool use_eigen, const std::string& pass) {
  Bench& bench = Bench::of(shape, state.range(0));
  Side& side = use_eigen ? *bench.eigen : static_cast<Side&>(*bench.ours);
  const index calls = shape.routings();
  const auto call = [&](index i) {
    pass == "forward" ? side.forward(i) : pass == "record" ? side.record(i) : side.backward(i);
  };
  for (index i = 0; i < calls; ++i) {
    if (pass == "backward") {
      side.record(i);
    }
    call(i);
  }
  index i = 0;
  for (auto _ : state) {
    call(i);
    i = i + 1 < calls ? i + 1 : 0;
  }
  const double work = pass == "backward" ? 2.0 : 1.0;
  using benchmark::Counter;
  const auto rate = [&](double amount) {
    return Counter(amount, Counter::kIsIterationInvariantRate);
  };
  state.counters["tokens/s"] = rate(static_cast<double>(shape.tokens));
  state.counters["FLOP/s"] = rate(work * bench.problem.flops());
  state.counters["B/s"] = rate((pass == "backward" ? 8.0 : 4.0) * bench.problem.engaged_weights());
}

void add(const char* side, const Shape& shape, index threads, bool use_eigen) {
  for (const char* pass : {"forward", "record", "backward"}) {
    const std::string name = std::string(side) + "/" + std::string(shape.name) + "/" + pass;
    benchmark::RegisterBenchmark(
        name.c_str(), [=](benchmark::State& state) { layer(state, shape, use_eigen, pass); })
        ->ArgName("threads")
        ->Arg(threads)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
}

const bool registered = [] {
  for (const Shape& shape : shapes) {
    for (const index threads : thread_counts()) {
      add("xmoe", shape, threads, false);
      add("eigen", shape, threads, true);
      add("dense", shape.dense(), threads, false);
    }
  }
  add("xmoe", irregular, 1, false);
  add("eigen", irregular, 1, true);
  return true;
}();

}  // namespace

}  // namespace xmoe_bench
