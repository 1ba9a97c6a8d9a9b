// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/reduce.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

TEMPLATE_TEST_CASE("first nonfinite: every place, every kind", "[backend][threads]", float,
                   double) {
  using S = TestType;
  const S inf = std::numeric_limits<S>::infinity();
  const S nan = std::numeric_limits<S>::quiet_NaN();
  for (const index threads : {1, 2}) {
    const cpu::Backend backend(threads);
    for (const index cols : {1, 3, 16, 63, 64, 65, 200}) {
      const index rows = 5, stride = cols + 2;
      std::vector<S> numbers(static_cast<std::size_t>(rows * stride),
                             nan);  // also between the rows
      const Out<S> m(numbers.data(), rows, cols, stride);
      for (index i = 0; i < rows * cols; ++i) {
        m(i / cols, i % cols) =
            i % 3 == 0 ? -inf : (i % 3 == 1 ? std::numeric_limits<S>::max() : S(-0.0));
      }
      CHECK(backend.first_nonfinite(In<S>(m)) == -1);  // minus infinity passes
      for (const S bad : {inf, nan, -nan}) {
        for (index place = rows * cols - 1; place >= 0; place -= cols / 3 + 1) {
          S& number = m(place / cols, place % cols);
          const S kept = number;
          number = bad;
          INFO(cols << " columns, place " << place << ", " << static_cast<double>(bad));
          CHECK(backend.first_nonfinite(In<S>(m)) == place);
          number = kept;
        }
      }
      m(1, 0) = nan;
      m(4, cols - 1) = inf;
      CHECK(backend.first_nonfinite(In<S>(m)) == cols);  // the first of several
    }
  }
}

TEST_CASE("first nonfinite: large and empty", "[backend][threads]") {
  const cpu::Backend backend(2);
  std::vector<float> numbers(300'000, 1.f);
  const Out<float> m(numbers.data(), 3000, 100);
  CHECK(backend.first_nonfinite(In<float>(m)) == -1);
  m(2999, 99) = m(1500, 7) = m(1400, 3) = std::numeric_limits<float>::infinity();
  for (int i = 0; i < 20; ++i) {
    CHECK(backend.first_nonfinite(In<float>(m)) == 140'003);
  }
  CHECK(backend.first_nonfinite(In<float>(nullptr, 0, 100)) == -1);
  CHECK(backend.first_nonfinite(In<float>(numbers.data(), 10, 0)) == -1);
}

TEST_CASE("sum by token: in rank order, every element written", "[backend]") {
  const cpu::Backend backend(2);
  const std::vector<double> rows = {10, 20, 1, 2, 100, 200};
  const std::vector<index> offsets = {0, 2, 2, 3};
  std::vector<index> row = {1, 0, 2};
  std::vector<double> y(6, std::numeric_limits<double>::quiet_NaN());
  const auto sum = [&] {
    backend.sum_by_token<double>(offsets.data(), row.data(), In<double>(rows.data(), 3, 2),
                                 Out<double>(y.data(), 3, 2));
    return y;
  };
  CHECK(sum() == std::vector<double>{11, 22, 0, 0, 100, 200});
  row[0] = -1;  // dropped
  CHECK(sum() == std::vector<double>{10, 20, 0, 0, 100, 200});
  row[1] = -1;
  CHECK(sum() == std::vector<double>{0, 0, 0, 0, 100, 200});
  // 1e16 + 1 - 1e16 is 0, in another order 1
  const std::vector<double> large = {1.0, 1e16, -1e16};
  const std::vector<index> one = {0, 3};
  double out = 7.0;
  for (const auto& [order, want] :
       {std::pair{std::vector<index>{1, 0, 2}, 0.0}, std::pair{std::vector<index>{1, 2, 0}, 1.0}}) {
    backend.sum_by_token<double>(one.data(), order.data(), In<double>(large.data(), 3, 1),
                                 Out<double>(&out, 1, 1));
    CHECK(out == want);
  }
}

}  // namespace
}  // namespace xmoe
