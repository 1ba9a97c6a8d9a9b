// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/batch.hpp>
#include <xmoe/core/sizes.hpp>

/// What public functions ask of their matrices. Each throws shape_error or value_error that names
/// the function, the argument and the numbers.
namespace xmoe::inline XMOE_ABI::detail {

/// A layer that has something to do.
inline void check_sizes(const char* function, Sizes sizes) {
  if (sizes.model_dim < 1 || sizes.experts < 1 || sizes.expert_dim < 1) {
    fail<shape_error>("%s: model_dim %td, experts %td, expert_dim %td: each must be 1 or more",
                      function, sizes.model_dim, sizes.experts, sizes.expert_dim);
  }
}

/// A readable [rows, cols] matrix; rows < 0: any number that token ids can count.
template <class S>
void check_matrix(const char* function, const char* name, MatrixView<const S> m, index rows,
                  index cols) {
  constexpr index most = 0x7fffffff;  // token ids are 32 bit
  if (m.rows() < 0 || m.rows() > most || (rows >= 0 && m.rows() != rows)) {
    fail<shape_error>("%s: %s has %td rows, must have %td", function, name, m.rows(),
                      rows >= 0 ? rows : most);
  }
  if (m.cols() != cols) {
    fail<shape_error>("%s: %s has %td columns, model_dim is %td", function, name, m.cols(), cols);
  }
  if (m.stride() < m.cols() && m.rows() > 1) {
    fail<shape_error>("%s: rows of %s are %td numbers apart, but it has %td columns", function,
                      name, m.stride(), m.cols());
  }
  if (m.data() == nullptr && m.rows() > 0) {
    fail<shape_error>("%s: %s [%td x %td] points nowhere (null)", function, name, m.rows(),
                      m.cols());
  }
}

/// Tokens with their padding mask.
template <class S>
void check_batch(const char* function, const Batch<S>& batch, index cols) {
  check_matrix(function, "x", batch.x, -1, cols);
  if (batch.valid.size() != 0 && batch.valid.size() != batch.x.rows()) {
    fail<shape_error>("%s: the padding mask has %td entries, x has %td rows", function,
                      batch.valid.size(), batch.x.rows());
  }
  if (batch.ids.size() != 0 && batch.ids.size() != batch.x.rows()) {
    fail<shape_error>("%s: there are %td ids, x has %td rows", function, batch.ids.size(),
                      batch.x.rows());
  }
}

/// Two matrices that share no number. Disjoint columns of one wide matrix are legal.
template <class S>
void check_apart(const char* function, const char* name, MatrixView<const S> m, const char* other,
                 MatrixView<const S> o) {
  const auto begin = [](MatrixView<const S> v) {
    return reinterpret_cast<std::uintptr_t>(v.data());
  };
  const auto end = [](MatrixView<const S> v) {
    return reinterpret_cast<std::uintptr_t>(v.row_data(v.rows() - 1) + v.cols());
  };
  if (m.rows() == 0 || o.rows() == 0 || begin(m) >= end(o) || begin(o) >= end(m)) {
    return;
  }
  if (m.stride() == o.stride() && m.stride() > 0) {
    const auto stride = static_cast<std::uintptr_t>(m.stride()) * sizeof(S);
    const auto width_m = static_cast<std::uintptr_t>(m.cols()) * sizeof(S);
    const auto width_o = static_cast<std::uintptr_t>(o.cols()) * sizeof(S);
    const std::uintptr_t ahead = begin(o) >= begin(m)
                                     ? (begin(o) - begin(m)) % stride
                                     : stride - 1 - (begin(m) - begin(o) - 1) % stride;
    if (ahead >= width_m && ahead + width_o <= stride) {
      return;
    }
  }
  fail<value_error>("%s: %s [%td x %td] overlaps %s in memory", function, name, m.rows(), m.cols(),
                    other);
}

}  // namespace xmoe::inline XMOE_ABI::detail
