// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/tile.hpp>
#include <xmoe/backend/cpu/workers.hpp>
#include <xmoe/core/grouped.hpp>
#include <xmoe/core/workspace.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

/// One call's work as one flat list: each group is cut into runs of rows and runs of columns.
///
/// The cut depends on the loads: a group with many rows becomes many items, one with few becomes
/// one, so the list is balanced whatever the routing. Results never depend on the cut.
class WorkList {
 public:
  /// A piece of work: rows [row, row+rows) of the plan, columns [unit, unit+units), of one group.
  struct Item {
    index group;
    index row;
    index rows;
    index unit;
    index units;
  };

  WorkList(Workspace& workspace, Groups groups)
      : groups_(groups), first_(workspace.take<index>(groups.count + 1)) {}

  /// Cuts the work.
  ///
  ///   row_limit   most rows of an item; 0 = all rows of a group stay together
  ///   units       columns of a group, in the caller's unit
  ///   unit_work   multiply-adds of one row and one unit
  void cut(index threads, index row_limit, index units, index unit_work) {
    row_limit_ = row_limit;
    units_ = units;
    unit_work_ = unit_work;
    const index total = groups_.rows * units * unit_work;
    serial_ = threads == 1 || total < smallest_total;
    // Fewer rows than matrices: memory is the limit, and it likes long runs.
    const bool streaming = groups_.rows <= groups_.count;
    const index share = total / (threads * (streaming ? long_items_per_thread : items_per_thread));
    target_ = serial_ ? total + 1 : (share < smallest_item ? smallest_item : share);
    index items = 0;
    for (index g = 0; g < groups_.count; ++g) {
      first_[g] = items;
      const index rows = groups_.offsets[g + 1] - groups_.offsets[g];
      items += rows == 0 ? 0 : row_parts(rows) * column_parts(rows);
    }
    first_[groups_.count] = items;
  }

  index items() const { return first_[groups_.count]; }

  Item operator[](index item) const {
    index low = 0;  // the last group that starts at or before `item`
    for (index high = groups_.count; high - low > 1;) {
      const index middle = low + (high - low) / 2;
      (first_[middle] <= item ? low : high) = middle;
    }
    const index begin = groups_.offsets[low];
    const index total = groups_.offsets[low + 1] - begin;
    // Neighbours in the list share their columns, hence the weights.
    const Split by_row{total, row_parts(total)};
    const Split by_column{units_, column_parts(total)};
    const index row_part = (item - first_[low]) % by_row.parts;
    const index column_part = (item - first_[low]) / by_row.parts;
    return {low, begin + by_row.begin(row_part), by_row.size(row_part),
            by_column.begin(column_part), by_column.size(column_part)};
  }

  /// Runs body(Item, worker) for all of it; on the calling thread alone when there is little.
  template <class F>
  void run(const Workers& workers, const F& body) const {
    if (serial_) {
      for (index item = 0; item < items(); ++item) {
        body((*this)[item], index(0));
      }
    } else {
      workers.parallel(items(), [&](index item, index worker) { body((*this)[item], worker); });
    }
  }

 private:
  static constexpr index items_per_thread = 12;
  static constexpr index long_items_per_thread = 4;
  static constexpr index smallest_total = 400'000;
  static constexpr index smallest_item = 100'000;

  index row_parts(index rows) const { return row_limit_ == 0 ? 1 : ceil_div(rows, row_limit_); }
  index column_parts(index rows) const {
    const index work = ceil_div(rows, row_parts(rows)) * units_ * unit_work_;
    const index parts = ceil_div(work, target_);
    return parts < 1 ? 1 : (parts > units_ ? units_ : parts);
  }

  Groups groups_;
  index* first_;
  index row_limit_ = 0;
  index units_ = 0;
  index unit_work_ = 0;
  index target_ = 1;
  bool serial_ = true;
};

}  // namespace xmoe::inline XMOE_ABI::cpu
