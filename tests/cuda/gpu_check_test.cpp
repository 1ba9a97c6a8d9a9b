// SPDX-License-Identifier: Apache-2.0
// The checks of xmoe-gpu-check on the emulated device, and that each can fail.
#include "support/catch.hpp"

#include "gpu_check/checks.hpp"
#include "gpu_check/options.hpp"
#include "gpu_check/report.hpp"

namespace {

using namespace gpu_check;

template <class S>
Checks checks_of(const std::string& scalar) {
  Checks checks;
  append_checks<S>(checks, scalar);
  REQUIRE(checks.size() == 11);
  return checks;
}

template <class S>
void run_all(const std::string& scalar) {
  for (const Check& check : checks_of<S>(scalar)) {
    CAPTURE(check.name);
    const Outcome outcome = run(check);
    for (const std::string& problem : outcome.findings.problems()) {
      UNSCOPED_INFO(problem);
    }
    CHECK(outcome.passed());
    CHECK(outcome.findings.comparisons() > 4);
  }
}

TEST_CASE("gpu check: float", "[cuda][gpu_check]") { run_all<float>("float"); }
TEST_CASE("gpu check: double", "[cuda][gpu_check]") { run_all<double>("double"); }
TEST_CASE("gpu check: bfloat16", "[cuda][gpu_check]") { run_all<xmoe::bfloat16>("bfloat16"); }
TEST_CASE("gpu check: half", "[cuda][gpu_check]") { run_all<xmoe::half>("half"); }

TEST_CASE("gpu check: every comparison of every check can fail", "[cuda][gpu_check]") {
  for (const Check& check : checks_of<float>("float")) {
    CAPTURE(check.name);
    const Outcome sabotaged = run(check, true);
    CHECK(sabotaged.findings.problems().size() ==
          static_cast<std::size_t>(sabotaged.findings.comparisons()));
  }
}

TEST_CASE("gpu check: what throws, and what compares nothing, fails", "[cuda][gpu_check]") {
  const Outcome thrown = run({"", [](Findings&) { throw std::runtime_error("spilt"); }});
  CHECK_FALSE(thrown.passed());
  CHECK(thrown.findings.problems() == std::vector<std::string>{"exception: spilt"});
  CHECK_FALSE(run({"", [](Findings&) {}}).passed());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(run({"",
                   [&](Findings& f) {
                     f.close("", {1.0, nan, 1.0}, {1.0, 1.0, 1.0}, 9.0);
                   }})
                  .passed());
  CHECK_FALSE(run({"", [&](Findings& f) { f.close("", {1.0}, {1.0, 1.0}, 9.0); }}).passed());
  CHECK_FALSE(run({"", [&](Findings& f) { f.same_bits<float>("", {}, {}); }}).passed());
  CHECK_FALSE(run({"", [&](Findings& f) { f.same_bits<float>("", {0.f}, {-0.f}); }}).passed());
  CHECK(run({"", [&](Findings& f) { f.close("", {1.0}, {1.5}, 0.5); }}).passed());
}

TEST_CASE("gpu check: options", "[cuda][gpu_check]") {
  const Options o = parse({"--filter", "half: ", "--report=a=b.md", "--no-timings"});
  CHECK(o.error.empty());
  CHECK(o.filter == "half: ");
  CHECK(o.report == "a=b.md");
  CHECK_FALSE(o.timings);
  CHECK(o.selects("half: losses"));
  CHECK_FALSE(o.selects("float: losses"));
  CHECK(parse({}).selects("anything"));
  CHECK(parse({"-h"}).help);
  CHECK(parse({"--list"}).list);
  CHECK(parse({"--lists"}).error == "there is no option --lists");
  CHECK(parse({"W1"}).error == "there is no option W1");
  CHECK(parse({"--filter"}).error == "--filter needs a value");
  CHECK(parse({"--report="}).error == "--report needs a value that is not empty");
  CHECK(parse({"--list=1"}).error == "--list takes no value");
  for (const char* name : {"--list", "--filter", "--no-timings", "--report", "--help"}) {
    CHECK(std::string(usage).find(name) != std::string::npos);
  }
}

TEST_CASE("gpu check: figures of a report", "[cuda][gpu_check]") {
  const Times times = Times::of({5.0, 1.0, 2.0, 4.0, 3.0});
  CHECK(times.median == 3.0);
  CHECK(times.spread() == Approx(100.0 / 3.0));
  CHECK(times.count == 5);
  const Workload& w2 = workloads[1];
  Timing t;
  t.workload = &w2;
  t.scalar = "float";
  t.rows = 1024;
  t.active = 8;
  t.weight_bytes = t.sum_bytes = 4;
  t.layer = Times::of({2.0});
  t.cublas = Times::of({3.0});
  CHECK(t.flops() == Approx(9.66e9).epsilon(1e-3));  // two products of [768 x 3072] a token
  CHECK(t.bytes() == Approx(4.0 * (8 * 2 * 768 * 3072 + 2 * 1024 * 768)));
  CHECK(t.tokens_per_second() == Approx(512e3));
  CHECK(t.flops_per_second() == Approx(4.83e12).epsilon(1e-3));
  CHECK(t.ratio() == Approx(1.5));
  const Limits limits{"float", 9.66e12, 1e12};  // 1 ms of arithmetic, less of traffic
  CHECK(t.share(limits) == Approx(0.5).epsilon(1e-3));
  CHECK(t.share({"float", 9.66e15, t.bytes() * 1e3}) == Approx(0.5));
  CHECK(line_of(head()).size() == line_of(row_of(t, limits)).size());
  Page page;
  page.machine = {"device: none"};
  page.checks = {{"float: something", run({"", [](Findings& f) { f.that("1 = 2", false); }})}};
  page.limits = {limits};
  page.timings = {t};
  t.training = true;
  CHECK(t.flops() == Approx(3 * 9.66e9).epsilon(1e-3));
  t.problem = "no room";
  page.timings.push_back(t);
  const std::string text = page.markdown();
  INFO(text);
  for (const char* part :
       {"- device: none", "| float: something | **failed** | 1 |",
        "- float: something: not so: 1 = 2",
        "| W2 | float | forward | 2.000 | +-0.0 % | 512000 | 4.83 | 50 % | 3.000 | 1.50 |",
        "| W2 | float | forward + backward | not timed: no room |"}) {
    CHECK(text.find(part) != std::string::npos);
  }
}

}  // namespace
