// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/tile.hpp>
#include <xmoe/backend/cpu/workers.hpp>
#include <xmoe/core/grouped.hpp>
#include <xmoe/core/workspace.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

/// One call's work as one flat list: each group is cut into runs of row blocks and runs of columns.
///
/// The cut depends on the loads: a group with many rows becomes many items, one with few becomes
/// one, so the list is balanced whatever the routing. Results never depend on the cut.
class WorkList {
 public:
  /// A piece of work: row blocks [block, block+count) and columns [unit, unit+units) of one group.
  struct Item {
    index group;
    Split blocks;  ///< of the group's rows
    index block;
    index count;
    index start;  ///< first plan row of the group
    index unit;
    index units;
    index number;  ///< in the list

    index row() const { return start + blocks.begin(block); }
    index rows() const { return blocks.begin(block + count) - blocks.begin(block); }
    bool same_rows(const Item& other) const {
      return start == other.start && block == other.block && count == other.count;
    }
  };

  WorkList(Workspace& workspace, Groups groups)
      : groups_(groups), first_(workspace.take<index>(groups.count + 1)) {}

  /// Cuts the work.
  ///
  ///   height      most rows of a block
  ///   most        most blocks of an item; 0 = all rows of a group stay together
  ///   units       columns of a group, in the caller's unit
  ///   unit_work   multiply-adds of one row and one unit
  void cut(const Workers& workers, index height, index most, index units, index unit_work) {
    height_ = height;
    most_ = most;
    units_ = units;
    unit_work_ = unit_work;
    const index threads = workers.threads();
    const index total = groups_.rows * units * unit_work;
    serial_ = threads == 1 || total < smallest_total;
    // Fewer rows than matrices: memory is the limit, and it likes long runs.
    const bool streaming = groups_.rows <= groups_.count;
    const index share =
        total / (threads * (streaming ? long_items_per_thread : workers.tuning().items_per_thread));
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
    const Split blocks{total, ceil_div(total, height_)};
    const Split by_row{blocks.parts, row_parts(total)};
    const Split by_column{units_, column_parts(total)};
    const index row_part = (item - first_[low]) % by_row.parts;
    const index column_part = (item - first_[low]) / by_row.parts;
    return {low,
            blocks,
            by_row.begin(row_part),
            by_row.size(row_part),
            begin,
            by_column.begin(column_part),
            by_column.size(column_part),
            item};
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

  /// Multiply-adds below which a second thread costs more than it saves.
  static constexpr index smallest_total = 400'000;

 private:
  static constexpr index long_items_per_thread = 4;
  static constexpr index smallest_item = 100'000;

  index row_parts(index rows) const {
    return most_ == 0 ? 1 : ceil_div(ceil_div(rows, height_), most_);
  }
  index column_parts(index rows) const {
    const index work = ceil_div(rows, row_parts(rows)) * units_ * unit_work_;
    const index parts = ceil_div(work, target_);
    return parts < 1 ? 1 : (parts > units_ ? units_ : parts);
  }

  Groups groups_;
  index* first_;
  index height_ = 1;
  index most_ = 0;
  index units_ = 0;
  index unit_work_ = 0;
  index target_ = 1;
  bool serial_ = true;
};

/// One call's work where the rows of all groups meet in one output: cut by columns, and by tokens
/// where there are more threads than columns. Nobody else writes an item's part of the output, and
/// groups are walked in order, so sums need neither atomics nor copies, and their order is fixed.
class ColumnList {
 public:
  struct Item {
    index unit;
    index units;
    index token;
    index tokens;
  };

  /// Cuts `units` columns and `tokens` rows of the output; `work` = multiply-adds of all.
  ColumnList(const Workers& workers, index units, index tokens, index work) {
    const index threads = workers.threads();
    serial_ = threads == 1 || work < WorkList::smallest_total;
    // The cut does not depend on the work: scratch is measured for the most there can be.
    const index wanted = threads * workers.tuning().column_items_per_thread;
    const index columns = units < wanted ? units : wanted;
    by_column_ = {units, columns < 1 ? 1 : columns};
    const index rows = columns * 2 > wanted ? 1 : wanted / columns;
    const index most = ceil_div(tokens, fewest_tokens);
    by_token_ = {tokens, rows < most ? rows : (most < 1 ? 1 : most)};
  }

  index most_units() const { return ceil_div(by_column_.total, by_column_.parts); }
  index most_tokens() const { return ceil_div(by_token_.total, by_token_.parts); }

  template <class F>
  void run(const Workers& workers, const F& body) const {
    const index items = by_column_.parts * by_token_.parts;
    const auto at = [&](index item) {
      const index column = item / by_token_.parts;
      const index token = item % by_token_.parts;
      return Item{by_column_.begin(column), by_column_.size(column), by_token_.begin(token),
                  by_token_.size(token)};
    };
    if (serial_) {
      for (index item = 0; item < items; ++item) {
        body(at(item), index(0));
      }
    } else {
      workers.parallel(items, [&](index item, index worker) { body(at(item), worker); });
    }
  }

 private:
  static constexpr index fewest_tokens = 64;

  Split by_column_{};
  Split by_token_{};
  bool serial_ = true;
};

/// The first row in [begin, end) whose token is not below `token`; tokens ascend.
inline index lower_row(const std::int32_t* tokens, index begin, index end, index token) {
  while (begin < end) {
    const index middle = begin + (end - begin) / 2;
    if (tokens[middle] < token) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

}  // namespace xmoe::inline XMOE_ABI::cpu
