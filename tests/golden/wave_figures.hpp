// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "support/reference.hpp"

// Figures of the larger golden case: T = 16, E = 8, logits of golden::wave_logits.
namespace golden {

using Lists = std::vector<std::vector<reference::index>>;

/// Choices at threshold 0.7, by token: (expert, weight with 6 decimals).
inline std::vector<std::vector<std::pair<reference::index, double>>> wave_choices() {
  return {{{1, .397079}, {2, .183288}, {7, .149949}},
          {{0, .240057}, {3, .226741}, {5, .165036}, {1, .162914}},
          {{7, .550939}, {0, .206038}},
          {{2, .505033}, {6, .457240}},
          {{5, .288405}, {3, .268916}, {7, .224107}},
          {{1, .634532}, {4, .123803}},
          {{0, .535019}, {6, .196437}},
          {{2, .265089}, {5, .247180}, {4, .181474}, {3, .176022}},
          {{6, .590104}, {3, .183759}},
          {{1, .477570}, {7, .361591}},
          {{2, .345626}, {4, .264171}, {0, .129230}},
          {{0, .286306}, {7, .242305}, {3, .218834}},
          {{5, .783152}},
          {{1, .371792}, {6, .318000}, {4, .195141}},
          {{3, .399515}, {2, .397923}},
          {{5, .621256}, {0, .239613}}};
}

/// One row of the table of kept tokens at threshold 0.7.
struct WaveCapacity {
  double factor;
  reference::index capacity;
  reference::Priority priority;
  Lists kept;
  double weight;  ///< sum of kept weights, 10 decimals; 0 = not given
};
inline std::vector<WaveCapacity> wave_capacities() {
  using P = reference::Priority;
  return {{1,
           2,
           P::rank_then_probability,
           {{6, 11}, {5, 9}, {3, 10}, {14, 4}, {10, 5}, {12, 15}, {8, 3}, {2, 9}},
           7.2047730131},
          {1,
           2,
           P::probability,
           {{6, 11}, {5, 9}, {3, 14}, {14, 4}, {10, 13}, {12, 15}, {8, 3}, {2, 9}},
           0},
          {1,
           2,
           P::rank_then_token,
           {{1, 6}, {0, 5}, {3, 7}, {14, 1}, {5, 10}, {4, 12}, {8, 3}, {2, 9}},
           0},
          {2,
           4,
           P::rank_then_probability,
           {{6, 11, 1, 15},
            {5, 9, 0, 13},
            {3, 10, 7, 14},
            {14, 4, 1, 8},
            {10, 5, 13, 7},
            {12, 15, 4, 7},
            {8, 3, 13, 6},
            {2, 9, 11, 4}},
           11.4198765166},
          {2,
           4,
           P::probability,
           {{6, 11, 1, 15},
            {5, 9, 0, 13},
            {3, 14, 10, 7},
            {14, 4, 1, 11},
            {10, 13, 7, 5},
            {12, 15, 4, 7},
            {8, 3, 13, 6},
            {2, 9, 11, 4}},
           0},
          {2,
           4,
           P::rank_then_token,
           {{1, 6, 11, 2},
            {0, 5, 9, 13},
            {3, 7, 10, 0},
            {14, 1, 4, 8},
            {5, 10, 7, 13},
            {4, 12, 15, 7},
            {8, 3, 6, 13},
            {2, 9, 11, 0}},
           0},
          {8,
           16,
           P::rank_then_probability,
           {{6, 11, 1, 15, 2, 10},
            {5, 9, 0, 13, 1},
            {3, 10, 7, 14, 0},
            {14, 4, 1, 8, 11, 7},
            {10, 5, 13, 7},
            {12, 15, 4, 7, 1},
            {8, 3, 13, 6},
            {2, 9, 11, 4, 0}},
           12.8111878048}};
}

/// Number of experts of each token at the thresholds 0.7 and 0.9.
inline std::vector<reference::index> wave_counts_low() {
  return {3, 4, 2, 2, 3, 2, 2, 4, 2, 2, 3, 3, 1, 3, 2, 2};
}
inline std::vector<reference::index> wave_counts_high() {
  return {5, 5, 4, 2, 4, 4, 4, 5, 4, 3, 5, 5, 3, 4, 4, 3};
}

}  // namespace golden
