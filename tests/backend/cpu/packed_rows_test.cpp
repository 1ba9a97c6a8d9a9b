// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/packed_rows.hpp>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

TEMPLATE_TEST_CASE("packed rows: where every number lies", "[backend]", float, double) {
  using S = TestType;
  using Packed = cpu::PackedRows<S>;
  constexpr index width = Panels<S>::width;
  tests::Generator random(1);
  for (const index rows : {1, 2, 11, 12}) {
    for (const index cols : {1, 15, 16, 31, 32, 33, 70}) {
      for (const bool gathered : {false, true}) {
        const tests::RowsCase<S> a(random, rows + 3, cols, gathered);
        Workspace memory(1 << 16);
        const Packed packed = Packed::take(memory, rows, cols, 3);
        packed.pack(3, rows, a.rows(), cols);
        bool right = true;
        for (index r = 0; r < rows; ++r) {
          for (index k = 0; k < cols; ++k) {
            const S got = packed.block(3)[(k / width * rows + r) * width + k % width];
            right = right && got == a.at(3 + r, k);
          }
        }
        INFO(rows << " x " << cols);
        CHECK(right);
      }
    }
  }
}

TEMPLATE_TEST_CASE("packed rows: storing a panel is packing it", "[backend]", float, double) {
  using S = TestType;
  using Packed = cpu::PackedRows<S>;
  constexpr index width = Panels<S>::width;
  tests::Generator random(2);
  const index cols = 5 * width, rows = 7, first = 4;
  const tests::RowsCase<S> a(random, first + rows, cols, false);
  Workspace memory(1 << 16);
  const Packed packed = Packed::take(memory, rows, cols, first);
  const Packed stored = Packed::take(memory, rows, cols, first);
  packed.pack(first, rows, a.rows(), cols);
  for (index m = first; m < first + rows; ++m) {
    for (index k = 0; k < cols; k += width) {
      stored.store(cpu::PlanRow{m, first, rows}, k, a.rows().row(m) + k);
    }
  }
  const std::size_t bytes = static_cast<std::size_t>(rows * cols) * sizeof(S);
  CHECK(std::memcmp(packed.data, stored.data, bytes) == 0);
  stored.store(cpu::PlanRow{first + 1, first, rows}, 0, a.rows().row(first));
  CHECK(std::memcmp(packed.data, stored.data, bytes) != 0);
}

}  // namespace
}  // namespace xmoe
