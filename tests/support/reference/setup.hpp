// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <optional>
#include <vector>

// The reference: a Mixture-of-Experts layer in double, one token at a time, in naive loops,
// written from the formulas. It shares no line and no header with the library.
namespace reference {

using index = std::ptrdiff_t;
using Vector = std::vector<double>;

/// Rows and columns of numbers, row-major.
struct Matrix {
  index rows = 0;
  index cols = 0;
  Vector values;

  Matrix() = default;
  Matrix(index r, index c) : rows(r), cols(c), values(static_cast<std::size_t>(r * c), 0.0) {}
  double& operator()(index i, index j) { return values[static_cast<std::size_t>(i * cols + j)]; }
  double operator()(index i, index j) const {
    return values[static_cast<std::size_t>(i * cols + j)];
  }
};

/// `count` matrices of the same shape.
struct Stack {
  index count = 0;
  index rows = 0;
  index cols = 0;
  Vector values;

  Stack() = default;
  Stack(index n, index r, index c)
      : count(n), rows(r), cols(c), values(static_cast<std::size_t>(n * r * c), 0.0) {}
  double& operator()(index e, index i, index j) {
    return values[static_cast<std::size_t>((e * rows + i) * cols + j)];
  }
  double operator()(index e, index i, index j) const {
    return values[static_cast<std::size_t>((e * rows + i) * cols + j)];
  }
};

inline double& at(Vector& v, index i) { return v[static_cast<std::size_t>(i)]; }
inline double at(const Vector& v, index i) { return v[static_cast<std::size_t>(i)]; }

enum class Score { softmax, sigmoid, identity };
enum class Select { threshold, top_k, all };
enum class Weigh { raw, normalized, softmax_of_chosen };
enum class Priority { rank_then_probability, rank_then_token, probability, random };
enum class Activation { relu, squared_relu, gelu_tanh, gelu_erf, silu, identity };
enum class Counted { first_choice, all_per_token, all_claims };
enum class Distribution { scores, softmax_of_logits };

/// Who engages whom. R = outputs of the gate = experts, plus one in front with a placeholder.
struct Router {
  Matrix weight;  ///< [R,D]
  Vector bias;    ///< [R] or empty
  Score score = Score::softmax;
  Select select = Select::threshold;
  double threshold = 0.9;
  index k = 1;
  index max_experts = 0;  ///< 0 = no limit
  Vector selection_bias;  ///< [R] or empty; moves the choice, never the weight
  Weigh weigh = Weigh::raw;
  double scale = 1.0;
  bool placeholder = false;  ///< output 0 stands for "no expert"
};

/// How many claims an expert keeps, and which.
struct Capacity {
  bool limited = false;
  double factor = 1.0;
  index minimum = 1;
  Priority priority = Priority::rank_then_probability;
  Matrix keys;  ///< [T,E] for Priority::random: the smaller key first
};

/// The experts. A gated expert has 2H rows in `up`: H gate rows, then H up rows.
struct Experts {
  Activation activation = Activation::relu;
  bool gated = false;
  bool biases = true;
  Stack up;         ///< [E, H or 2H, D]
  Stack up_bias;    ///< [E, H or 2H, 1]
  Stack down;       ///< [E, D, H]
  Stack down_bias;  ///< [E, D, 1]
};

struct LoadBalance {
  Counted counted = Counted::first_choice;
  Distribution distribution = Distribution::scores;
  double coefficient = 1.0;
};
struct ZLoss {
  double coefficient = 1.0;
};

/// A pair (token, output of the gate) to be taken out by hand.
struct Pair {
  index token = 0;
  index output = 0;
};

/// Everything that defines one layer and one call, apart from the tokens.
struct Setup {
  Router router;
  Capacity capacity;
  Experts experts;
  std::vector<LoadBalance> balance;
  std::vector<ZLoss> z_loss;
  std::vector<bool> valid;  ///< [T], false = padding; empty = all valid

  /// Replaces the choice: outputs of each token in rank order. For differences near ties.
  std::optional<std::vector<std::vector<index>>> pinned;
  /// Replaces the capacity rule: who is kept, same shape as `pinned`.
  std::optional<std::vector<std::vector<bool>>> pinned_kept;
  /// One kept assignment that is dropped all the same, for mutation twins.
  std::optional<Pair> removed;

  index experts_count() const { return experts.down.count; }
  index outputs() const { return router.weight.rows; }
  bool is_valid(index token) const {
    return valid.empty() || valid[static_cast<std::size_t>(token)];
  }
};

/// One engagement of an expert by a token.
struct Claim {
  index token = 0;
  index output = 0;   ///< output of the gate
  index expert = -1;  ///< -1 = the placeholder
  index rank = 0;
  double score = 0.0;
  double weight = 0.0;
  bool kept = false;
};

}  // namespace reference
