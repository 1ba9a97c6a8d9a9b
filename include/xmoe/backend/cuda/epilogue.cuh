// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/tiles.cuh>

/// What becomes of the sums of a grouped product. An epilogue is an aggregate that is called as
///
///   epilogue(place, sums)           or, for a pair,    epilogue(place, gates, ups)
///
/// by all lanes of every warp, for every run of V neighbouring columns of a row, V = 16 bytes of
/// the product's scalar. `place.count` of the V exist: 0 at the edges, where nothing may be read or
/// written. 32 / V neighbouring lanes hold a segment: 32 columns of one row from a multiple of 32
/// on. So an epilogue may reduce over a segment by shuffles.
namespace xmoe::inline XMOE_ABI::cuda {

/// Columns that neighbouring lanes hold together.
inline constexpr int segment = 32;

/// Where V sums stand.
struct Place {
  int expert = 0;
  int row = 0;     ///< of the output: a plan row, or a row of the weights' gradient
  int local = 0;   ///< row in the block's tile
  int column = 0;  ///< of the first of the V; a multiple of V
  int count = 0;   ///< how many of them exist
};

/// A matrix that an epilogue reads or writes, by rows of the output or by an index of them.
template <class T>
struct EpilogueRows {
  T* data = nullptr;  ///< null: absent
  index stride = 0;
  const int* by = nullptr;  ///< row m stands at by[m]; null: at m
  bool aligned = false;     ///< data and stride are multiples of 16 bytes

  XMOE_DEVICE T* at(int row, int column) const {
    const index place = by == nullptr ? row : load<int>(by + row);
    return data + place * stride + column;
  }
};

/// The same, with `aligned` found out. On the host.
template <class T>
EpilogueRows<T> epilogue_rows(T* data, index stride, const int* by = nullptr) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(data) % 16 == 0 &&
                       stride * static_cast<index>(sizeof(T)) % 16 == 0;
  return {data, stride, by, aligned};
}

/// Weight of a row: weight[by[m]], or weight[m] without an index; 1 without weights.
template <class R>
struct RowWeight {
  const R* weight = nullptr;
  const int* by = nullptr;

  template <class Sum>
  XMOE_DEVICE Sum at(int row) const {
    return weight == nullptr
               ? Sum(1)
               : static_cast<Sum>(load<R>(weight + (by == nullptr ? row : load<int>(by + row))));
  }
};

namespace detail {

/// Loads V numbers, `count` of them exist, the others read as 0. `aligned`: the V lie on a multiple
/// of their own size, or of 16 bytes.
template <class T, class Sum, int V>
XMOE_DEVICE void load_run(const T* from, int count, bool aligned, Run<Sum, V>& to) {
  constexpr int n = V < chunk_of<T> ? V : chunk_of<T>;
  if (aligned && count == V) {
    XMOE_UNROLL
    for (int i = 0; i < V; i += n) {
      const auto pack = load<Pack<T, n>>(from + i);
      XMOE_UNROLL
      for (int j = 0; j < n; ++j) {
        to[i + j] = to_sum<Sum>(pack.v[j]);
      }
    }
  } else {
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      to[i] = i < count ? to_sum<Sum>(load<T>(from + i)) : Sum(0);
    }
  }
}

/// Stores the first `count` of V numbers.
template <class T, class Sum, int V>
XMOE_DEVICE void store_run(T* to, int count, bool aligned, const Run<Sum, V>& values) {
  constexpr int n = V < chunk_of<T> ? V : chunk_of<T>;
  if (aligned && count == V) {
    XMOE_UNROLL
    for (int i = 0; i < V; i += n) {
      Pack<T, n> pack;
      XMOE_UNROLL
      for (int j = 0; j < n; ++j) {
        pack.v[j] = from_sum<T>(values[i + j]);
      }
      store(to + i, pack);
    }
  } else {
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      if (i < count) {
        store(to + i, from_sum<T>(values[i]));
      }
    }
  }
}

/// Adds the bias of an expert's columns. bias [E,columns] without gaps, or null.
template <class T, class Sum, int V>
XMOE_DEVICE void add_bias(const T* bias, index columns, int expert, int column, int count,
                          Run<Sum, V>& values) {
  if (bias != nullptr) {
    Run<Sum, V> b;
    load_run(bias + expert * columns + column, count, false, b);
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      values[i] += b[i];
    }
  }
}

}  // namespace detail

/// out = sums. With `out.by`, row m goes where the index says: every row has its own place.
template <class T>
struct Store {
  static constexpr bool pair = false;
  EpilogueRows<T> out;  ///< [M,N]

  template <class Sum, int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& sums) const {
    if (at.count > 0) {
      detail::store_run(out.at(at.row, at.column), at.count, out.aligned, sums);
    }
  }
};

/// out = weight (sums + bias): the expert's output, ready to be added up by token.
template <class T, class R>
struct StoreWeighted {
  static constexpr bool pair = false;
  EpilogueRows<T> out;      ///< [M,N]
  const T* bias = nullptr;  ///< [E,N] or null
  index bias_columns = 0;   ///< N
  RowWeight<R> weight{};

  template <class Sum, int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& sums) const {
    if (at.count > 0) {
      const Sum w = weight.template at<Sum>(at.row);
      Run<Sum, V> values;
      XMOE_UNROLL
      for (int i = 0; i < V; ++i) {
        values[i] = sums[i];
      }
      detail::add_bias(bias, bias_columns, at.expert, at.column, at.count, values);
      XMOE_UNROLL
      for (int i = 0; i < V; ++i) {
        values[i] *= w;
      }
      detail::store_run(out.at(at.row, at.column), at.count, out.aligned, values);
    }
  }
};

/// out = Act(sums + bias); also keeps sums + bias for backward where `before` is given.
template <class Act, class T>
struct StoreActivation {
  static constexpr bool pair = false;
  EpilogueRows<T> out;      ///< [M,N]
  EpilogueRows<T> before;   ///< [M,N] or absent
  const T* bias = nullptr;  ///< [E,N] or null
  index bias_columns = 0;   ///< N

  template <class Sum, int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& sums) const {
    if (at.count > 0) {
      Run<Sum, V> values;
      apply(at, sums, values);
      detail::store_run(out.at(at.row, at.column), at.count, out.aligned, values);
    }
  }
  /// The activations instead of their storage; keeps `before`.
  template <class Sum, int V>
  XMOE_DEVICE void apply(const Place& at, const Run<Sum, V>& sums, Run<Sum, V>& values) const {
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      values[i] = sums[i];
    }
    detail::add_bias(bias, bias_columns, at.expert, at.column, at.count, values);
    if (before.data != nullptr && at.count > 0) {
      detail::store_run(before.at(at.row, at.column), at.count, before.aligned, values);
    }
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      values[i] = Act::value(values[i]);
    }
  }
};

/// out = Act(gates + bias) (ups + bias); also keeps both sums for backward where `before` is given:
/// gates in columns 0 .. H-1, ups in H .. 2H-1.
template <class Act, class T>
struct StoreGlu {
  static constexpr bool pair = true;
  EpilogueRows<T> out;      ///< [M,H]
  EpilogueRows<T> before;   ///< [M,2H] or absent
  const T* bias = nullptr;  ///< [E,2H] or null
  int hidden = 0;           ///< H

  template <class Sum, int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& gates,
                              const Run<Sum, V>& ups) const {
    if (at.count > 0) {
      Run<Sum, V> values;
      apply(at, gates, ups, values);
      detail::store_run(out.at(at.row, at.column), at.count, out.aligned, values);
    }
  }
  template <class Sum, int V>
  XMOE_DEVICE void apply(const Place& at, const Run<Sum, V>& gates, const Run<Sum, V>& ups,
                         Run<Sum, V>& values) const {
    Run<Sum, V> factors;
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      values[i] = gates[i];
      factors[i] = ups[i];
    }
    detail::add_bias(bias, 2 * index(hidden), at.expert, at.column, at.count, values);
    detail::add_bias(bias, 2 * index(hidden), at.expert, hidden + at.column, at.count, factors);
    if (before.data != nullptr && at.count > 0) {
      detail::store_run(before.at(at.row, at.column), at.count, before.aligned, values);
      detail::store_run(before.at(at.row, hidden + at.column), at.count,
                        before.aligned && hidden % V == 0, factors);
    }
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      values[i] = Act::value(values[i]) * factors[i];
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda
