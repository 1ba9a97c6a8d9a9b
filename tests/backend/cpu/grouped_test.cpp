// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/grouped.hpp>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

TEST_CASE("work list: every row of every column once", "[backend]") {
  const tests::Loads loads({3, 0, 1, 500, 0, 90, 12});
  for (const index threads : {1, 2, 16}) {
    const cpu::Workers workers(threads);
    for (const index most : {0, 1, 12}) {
      for (const index units : {1, 5, 40}) {
        for (const index unit_work : {1, 3000}) {
          constexpr index height = 7;
          Workspace memory(1 << 12);
          cpu::WorkList list(memory, loads.groups());
          list.cut(workers, height, most, units, unit_work);
          std::vector<int> done(static_cast<std::size_t>(loads.rows() * units), 0);
          bool sound = true;
          for (index i = 0; i < list.items(); ++i) {
            const cpu::WorkList::Item item = list[i];
            sound = sound && item.rows() > 0 && item.units > 0;
            sound = sound && (most == 0 || item.count <= most);
            index rows = 0;
            for (index b = item.block; b < item.block + item.count; ++b) {
              sound = sound && item.blocks.size(b) <= height;
              rows += item.blocks.size(b);
            }
            sound = sound && rows == item.rows();
            for (index m = item.row(); m < item.row() + item.rows(); ++m) {
              sound = sound && loads.group_of(m) == item.group;
              for (index u = item.unit; u < item.unit + item.units; ++u) {
                ++done[static_cast<std::size_t>(m * units + u)];
              }
            }
          }
          INFO(threads << " threads, limit " << most << ", " << units << " units");
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
  const cpu::Workers four(4);
  cpu::WorkList list(memory, loads.groups());
  list.cut(four, 12, 12, 64, 10'000);
  CHECK(list.items() >= 4 * 8);
  const index large = list.items();
  list.cut(four, 12, 12, 1, 1);
  CHECK(list.items() < large);
}

TEST_CASE("work list: runs all of it", "[backend][threads]") {
  const tests::Loads loads({30, 0, 50});
  const cpu::Workers workers(3);
  for (const index unit_work : {1, 100'000}) {
    Workspace memory(1 << 12);
    cpu::WorkList list(memory, loads.groups());
    list.cut(workers, 12, 1, 4, unit_work);
    std::atomic<index> total = 0;
    list.run(workers, [&](const cpu::WorkList::Item& item, index worker) {
      total += worker >= 0 && worker < 3 ? item.rows() * item.units : 0;
    });
    CHECK(total == 80 * 4);
  }
}

TEST_CASE("column list: every column of every token once", "[backend]") {
  const cpu::Workers one(1);
  for (const index threads : {1, 2, 16, 100}) {
    const cpu::Workers workers(threads);
    for (const index units : {1, 5, 64}) {
      for (const index tokens : {0, 1, 63, 64, 1000}) {
        for (const index work : {index(1), index(1) << 30}) {
          const cpu::ColumnList list(workers, units, tokens, work);
          std::vector<int> done(static_cast<std::size_t>(units * tokens), 0);
          bool sound = true;
          list.run(one, [&](const cpu::ColumnList::Item& item, index) {
            sound = sound && item.units > 0 && item.units <= list.most_units();
            sound = sound && item.tokens <= list.most_tokens();
            for (index u = item.unit; u < item.unit + item.units; ++u) {
              for (index t = item.token; t < item.token + item.tokens; ++t) {
                ++done[static_cast<std::size_t>(u * tokens + t)];
              }
            }
          });
          INFO(threads << " threads, " << units << " units, " << tokens << " tokens");
          CHECK(sound);
          CHECK(done == std::vector<int>(done.size(), 1));
        }
      }
    }
  }
  const cpu::Workers many(100);  // more than columns: tokens are cut, but not into crumbs
  CHECK(cpu::ColumnList(many, 5, 1000, index(1) << 30).most_tokens() < 1000);
  CHECK(cpu::ColumnList(many, 5, 1000, index(1) << 30).most_tokens() >= 32);
}

TEST_CASE("lower_row: the first row of a token or of the next one", "[backend]") {
  const std::vector<std::int32_t> tokens = {0, 0, 2, 5, 5, 9};
  for (index t = 0; t < 12; ++t) {
    const auto want = std::lower_bound(tokens.begin() + 1, tokens.end(), t) - tokens.begin();
    CHECK(cpu::lower_row(tokens.data(), 1, 6, t) == want);
  }
}

}  // namespace
}  // namespace xmoe
