// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "backend/cpu/product_case.hpp"

// True sums over the numbers that products with weights of 16 bits see.
namespace tests {

/// A number of the left side as a product with weights W takes it.
template <class W>
double as_left(float v) {
  if constexpr (std::same_as<W, xmoe::bfloat16>) {
    return static_cast<double>(static_cast<float>(W(v)));
  } else {
    return static_cast<double>(v);
  }
}

/// Weights in double, [count, rows, cols].
template <class W>
reference::Vector true_weights(const xmoe::Panels<W>& w) {
  std::vector<float> plain(static_cast<std::size_t>(w.size()));
  w.store(plain);
  return wide(plain);
}
/// The left side in double, [M, cols].
template <class W>
reference::Vector true_rows(const Loads& loads, xmoe::Rows<float> a, index cols) {
  reference::Vector all;
  for (index m = 0; m < loads.rows(); ++m) {
    for (index k = 0; k < cols; ++k) {
      all.push_back(as_left<W>(a.row(m)[k]));
    }
  }
  return all;
}

/// sum_k a(m,k) w(n,k), [M, rows].
template <class W>
reference::Vector true_forward(const Loads& loads, xmoe::Rows<float> a, const xmoe::Panels<W>& w) {
  const reference::Vector left = true_rows<W>(loads, a, w.cols()), right = true_weights(w);
  reference::Vector all;
  for (index m = 0; m < loads.rows(); ++m) {
    const double* const x = left.data() + m * w.cols();
    const double* const matrix = right.data() + loads.group_of(m) * w.rows() * w.cols();
    for (index n = 0; n < w.rows(); ++n) {
      const double* const y = matrix + n * w.cols();
      double sum = 0.0;
      for (index k = 0; k < w.cols(); ++k) {
        sum += x[k] * y[k];
      }
      all.push_back(sum);
    }
  }
  return all;
}

/// sum_n g(m,n) w(n,k), [M, cols]; g in stored order of the rows.
template <class W>
reference::Vector true_input_gradient(const Loads& loads, xmoe::Rows<float> g,
                                      const xmoe::Panels<W>& w) {
  const reference::Vector left = true_rows<W>(loads, g, w.padded_rows()), right = true_weights(w);
  reference::Vector all(static_cast<std::size_t>(loads.rows() * w.cols()), 0.0);
  for (index m = 0; m < loads.rows(); ++m) {
    double* const out = all.data() + m * w.cols();
    const double* const matrix = right.data() + loads.group_of(m) * w.rows() * w.cols();
    for (index n = 0; n < w.rows(); ++n) {
      const double x = left[static_cast<std::size_t>(m * w.padded_rows() + w.padded_row(n))];
      const double* const y = matrix + n * w.cols();
      for (index k = 0; k < w.cols(); ++k) {
        out[k] += x * y[k];
      }
    }
  }
  return all;
}

/// start + sum_m g(m,n) a(m,k), [count, rows, cols].
template <class W>
reference::Vector true_weight_gradient(const Loads& loads, xmoe::Rows<float> g, xmoe::Rows<float> a,
                                       const xmoe::Panels<float>& start) {
  const index cols = start.cols();
  const reference::Vector left = true_rows<W>(loads, g, start.padded_rows());
  const reference::Vector right = true_rows<W>(loads, a, cols);
  std::vector<float> plain(static_cast<std::size_t>(start.size()));
  start.store(plain);
  reference::Vector all = wide(plain);
  for (index m = 0; m < loads.rows(); ++m) {
    const double* const x = left.data() + m * start.padded_rows();
    const double* const y = right.data() + m * cols;
    double* const matrix = all.data() + loads.group_of(m) * start.rows() * cols;
    for (index n = 0; n < start.rows(); ++n) {
      for (index k = 0; k < cols; ++k) {
        matrix[n * cols + k] += x[start.padded_row(n)] * y[k];
      }
    }
  }
  return all;
}

}  // namespace tests
