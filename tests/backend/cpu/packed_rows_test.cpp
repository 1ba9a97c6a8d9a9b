// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/packed_rows.hpp>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

TEMPLATE_TEST_CASE("packed rows: where every number lies", "[backend]", float, double) {
  using S = TestType;
  using Packed = cpu::detail::PackedRows<S>;
  constexpr index width = Panels<S>::width;
  tests::Generator random(1);
  for (const index rows : {1, 2, 11, 12, 13, 40}) {
    for (const index cols : {1, 15, 16, 31, 32, 33, 70}) {
      for (const bool gathered : {false, true}) {
        const tests::RowsCase<S> a(random, rows + 3, cols, gathered);
        std::vector<S> memory(static_cast<std::size_t>(Packed::size(rows, cols)), S(-77));
        const Packed packed = Packed::pack(memory.data(), a.rows(), 3, rows, cols);
        index row = 0;
        bool right = true;
        for (index b = 0; b < packed.blocks.parts; ++b) {
          const index height = packed.blocks.size(b);
          for (index r = 0; r < height; ++r, ++row) {
            for (index k = 0; k < cols; ++k) {
              const S got = packed.block(b)[(k / width * height + r) * width + k % width];
              right = right && got == a.at(3 + row, k);
            }
          }
        }
        INFO(rows << " x " << cols);
        CHECK(right);
        CHECK(row == rows);
      }
    }
  }
}

}  // namespace
}  // namespace xmoe
