// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/backend.hpp>

#include <thread>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

TEST_CASE("backend: threads", "[backend]") {
  CHECK(cpu::Backend(3).threads() == 3);
  CHECK(cpu::Backend(1).threads() == 1);
  const index hardware = static_cast<index>(std::thread::hardware_concurrency());
  CHECK(cpu::Backend().threads() == (hardware < 1 ? 1 : hardware));
  CHECK(cpu::Backend(Executor::serial()).threads() == 1);
  CHECK(tests::message_of<value_error>([] { cpu::Backend backend(0); }) ==
        "xmoe::cpu::Backend: 0 threads, must be at least 1");
  CHECK_THROWS_AS(cpu::Backend(-1), value_error);
}

TEMPLATE_TEST_CASE("backend: a bias gradient is a weight gradient with one input of 1",
                   "[backend][threads]", float, double) {
  using S = TestType;
  tests::Generator random(1);
  for (const index rows : {1, 37, 700}) {
    const tests::Loads loads({7, 0, 400});
    const Panels<S> start = tests::random_panels<S>(random, 3, rows, 1);
    tests::RowsCase<S> g(random, loads.rows(), start.padded_rows(), false);
    g.pad(rows);
    reference::Vector want = tests::wide(start.values());
    for (index m = 0; m < loads.rows(); ++m) {
      for (index n = 0; n < rows; ++n) {
        want[static_cast<std::size_t>(loads.group_of(m) * start.matrix_size() + n)] +=
            static_cast<double>(g.at(m, n));
      }
    }
    Panels<S> one = start, three = start;
    const S unit = S(1);
    const Rows<S> ones{&unit, 0, nullptr};
    Workspace scratch(1 << 20);
    cpu::Backend(1).grouped_weight_gradient<S>(scratch, loads.groups(), g.rows(), ones, one);
    cpu::Backend(3).grouped_weight_gradient<S>(scratch, loads.groups(), g.rows(), ones, three);
    INFO(rows << " rows");
    tests::check_close<S>("sums", tests::wide(one.values()), want, 400);
    CHECK(tests::wide(one.values()) == tests::wide(three.values()));
    CHECK(tests::relative_error(tests::wide(start.values()), want) > 1e-2);
  }
}

TEST_CASE("backend: two threads use one backend at once", "[backend][threads]") {
  tests::Generator random(2);
  const tests::Loads loads({60, 60});
  const tests::RowsCase<float> a(random, loads.rows(), 100, false);
  const Panels<float> w = tests::random_panels<float>(random, 2, 200, 100);
  const cpu::Backend backend(2);
  const auto product = [&] {
    std::vector<float> y(static_cast<std::size_t>(loads.rows() * w.padded_rows()));
    Workspace scratch(1 << 20);
    backend.grouped_forward(scratch, loads.groups(), a.rows(), w,
                            [&](index, index m, index first, const float* sums) {
                              std::memcpy(y.data() + m * w.padded_rows() + first, sums,
                                          sizeof(float) * Panels<float>::width);
                            });
    return y;
  };
  const std::vector<float> want = product();
  std::vector<int> wrong(2, 0);
  std::vector<std::thread> callers;
  for (std::size_t c = 0; c < 2; ++c) {
    callers.emplace_back([&, c] {
      for (int i = 0; i < 10; ++i) {
        wrong[c] += tests::same_bits(product(), want) ? 0 : 1;
      }
    });
  }
  for (std::thread& t : callers) {
    t.join();
  }
  CHECK(wrong == std::vector<int>{0, 0});
}

}  // namespace
}  // namespace xmoe
