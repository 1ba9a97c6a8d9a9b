// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/grouped.hpp>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

TEST_CASE("work list: every row of every column once", "[backend]") {
  const tests::Loads loads({3, 0, 1, 500, 0, 90, 12});
  for (const index threads : {1, 2, 16}) {
    for (const index row_limit : {0, 7, 144}) {
      for (const index units : {1, 5, 40}) {
        for (const index unit_work : {1, 3000}) {
          Workspace memory(1 << 12);
          cpu::WorkList list(memory, loads.groups());
          list.cut(threads, row_limit, units, unit_work);
          std::vector<int> done(static_cast<std::size_t>(loads.rows() * units), 0);
          bool sound = true;
          for (index i = 0; i < list.items(); ++i) {
            const cpu::WorkList::Item item = list[i];
            sound = sound && item.rows > 0 && item.units > 0;
            sound = sound && (row_limit == 0 || item.rows <= row_limit);
            for (index m = item.row; m < item.row + item.rows; ++m) {
              sound = sound && loads.group_of(m) == item.group;
              for (index u = item.unit; u < item.unit + item.units; ++u) {
                ++done[static_cast<std::size_t>(m * units + u)];
              }
            }
          }
          INFO(threads << " threads, limit " << row_limit << ", " << units << " units");
          CHECK(sound);
          CHECK(done == std::vector<int>(done.size(), 1));
        }
      }
    }
  }
}

TEST_CASE("work list: much work for several threads becomes many items", "[backend]") {
  const tests::Loads loads({1000, 1});
  Workspace memory(1 << 12);
  cpu::WorkList list(memory, loads.groups());
  list.cut(4, 144, 64, 10'000);
  CHECK(list.items() >= 4 * 8);
  const index large = list.items();
  list.cut(4, 144, 1, 1);
  CHECK(list.items() < large);
}

TEST_CASE("work list: runs all of it", "[backend][threads]") {
  const tests::Loads loads({30, 0, 50});
  const cpu::Workers workers(3);
  for (const index unit_work : {1, 100'000}) {
    Workspace memory(1 << 12);
    cpu::WorkList list(memory, loads.groups());
    list.cut(3, 12, 4, unit_work);
    std::atomic<index> total = 0;
    list.run(workers, [&](const cpu::WorkList::Item& item, index worker) {
      total += worker >= 0 && worker < 3 ? item.rows * item.units : 0;
    });
    CHECK(total == 80 * 4);
  }
}

}  // namespace
}  // namespace xmoe
