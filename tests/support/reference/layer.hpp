// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "capacity.hpp"
#include "expert.hpp"
#include "router.hpp"

namespace reference {

/// All that one call computes.
struct Forward {
  Matrix logits;                           ///< [T,R]
  Matrix scores;                           ///< [T,R]
  std::vector<std::vector<Claim>> chosen;  ///< by token, in rank order
  index valid_tokens = 0;
  index capacity = 0;
  Matrix y;  ///< [T,D]
};

struct Gradients {
  Matrix dx;         ///< [T,D]
  Matrix gate;       ///< [R,D]
  Vector gate_bias;  ///< [R]
  Experts experts;   ///< of the experts' shapes, biases always there
};

inline Vector row_of(const Matrix& m, index i) {
  Vector row;
  for (index j = 0; j < m.cols; ++j) {
    row.push_back(m(i, j));
  }
  return row;
}
inline void set_row(Matrix& m, index i, const Vector& row) {
  for (index j = 0; j < m.cols; ++j) {
    m(i, j) = at(row, j);
  }
}

inline std::vector<index> outputs_of(const std::vector<Claim>& claims) {
  std::vector<index> outputs;
  for (const Claim& claim : claims) {
    outputs.push_back(claim.output);
  }
  return outputs;
}

/// The routing alone: logits, scores, choice, weights, drops.
inline Forward route(const Setup& setup, const Matrix& x) {
  const Router& router = setup.router;
  Forward f;
  f.logits = Matrix(x.rows, setup.outputs());
  f.scores = Matrix(x.rows, setup.outputs());
  f.chosen.resize(static_cast<std::size_t>(x.rows));
  for (index t = 0; t < x.rows; ++t) {
    const Vector z = logits_of(router, x, t);
    const Vector s = scores_of(router.score, z);
    set_row(f.logits, t, z);
    set_row(f.scores, t, s);
    if (!setup.is_valid(t)) {
      continue;
    }
    ++f.valid_tokens;
    const auto token = static_cast<std::size_t>(t);
    const std::vector<index> outputs = setup.pinned ? (*setup.pinned)[token] : choose(router, s, z);
    const Vector w = weigh(router, z, s, outputs);
    for (std::size_t r = 0; r < outputs.size(); ++r) {
      const index expert = router.placeholder ? outputs[r] - 1 : outputs[r];
      f.chosen[token].push_back(
          {t, outputs[r], expert, static_cast<index>(r), at(s, outputs[r]), w[r], false});
    }
  }
  f.capacity = keep(setup, f.valid_tokens, f.chosen);
  for (auto& row : f.chosen) {
    for (Claim& claim : row) {
      if (setup.pinned_kept) {
        claim.kept = claim.expert >= 0 &&
                     (*setup.pinned_kept)[static_cast<std::size_t>(claim.token)]
                                         [static_cast<std::size_t>(claim.rank)];
      }
      if (setup.removed && setup.removed->token == claim.token &&
          setup.removed->output == claim.output) {
        claim.kept = false;
      }
    }
  }
  return f;
}

/// y_t = sum over the kept experts of weight * expert(x_t)
inline Forward forward(const Setup& setup, const Matrix& x) {
  Forward f = route(setup, x);
  f.y = Matrix(x.rows, x.cols);
  for (index t = 0; t < x.rows; ++t) {
    for (const Claim& claim : f.chosen[static_cast<std::size_t>(t)]) {
      if (claim.kept) {
        const Pass pass = run_expert(setup.experts, claim.expert, row_of(x, t));
        for (index d = 0; d < x.cols; ++d) {
          f.y(t, d) += claim.weight * at(pass.out, d);
        }
      }
    }
  }
  return f;
}

/// Shares f_e of a balance loss.
inline Vector shares(const LoadBalance& loss, const Setup& setup, const Forward& f) {
  Vector count(static_cast<std::size_t>(setup.outputs()), 0.0);
  double claims = 0.0;
  for (const auto& row : f.chosen) {
    for (const Claim& claim : row) {
      if (loss.counted != Counted::first_choice || claim.rank == 0) {
        at(count, claim.output) += 1.0;
        claims += 1.0;
      }
    }
  }
  const double n =
      loss.counted == Counted::all_claims ? claims : static_cast<double>(f.valid_tokens);
  for (double& c : count) {
    c = n == 0.0 ? 0.0 : c / n;
  }
  return count;
}

/// coefficient * R * sum over e of f_e * mean over t of p_te
inline double balance_loss(const LoadBalance& loss, const Setup& setup, const Forward& f) {
  const Vector share = shares(loss, setup, f);
  double total = 0.0;
  for (index t = 0; t < f.logits.rows; ++t) {
    if (setup.is_valid(t)) {
      const Vector p = loss.distribution == Distribution::scores ? row_of(f.scores, t)
                                                                 : softmax(row_of(f.logits, t));
      for (index e = 0; e < setup.outputs(); ++e) {
        total += at(share, e) * at(p, e) / static_cast<double>(f.valid_tokens);
      }
    }
  }
  return loss.coefficient * static_cast<double>(setup.outputs()) * total;
}

/// coefficient * mean over t of logsumexp(z_t)^2
inline double z_loss(const ZLoss& loss, const Setup& setup, const Forward& f) {
  double total = 0.0;
  for (index t = 0; t < f.logits.rows; ++t) {
    if (setup.is_valid(t)) {
      const double lse = log_sum_exp(row_of(f.logits, t));
      total += lse * lse / static_cast<double>(f.valid_tokens);
    }
  }
  return loss.coefficient * total;
}

/// The sum of all losses of a setup.
inline double losses(const Setup& setup, const Forward& f) {
  double total = 0.0;
  for (const LoadBalance& loss : setup.balance) {
    total += balance_loss(loss, setup, f);
  }
  for (const ZLoss& loss : setup.z_loss) {
    total += z_loss(loss, setup, f);
  }
  return total;
}

/// What the losses alone send to one row: to the scores (returned) and to the logits (added).
inline Vector loss_gradient(const Setup& setup, const Forward& f, index t, Vector& dz) {
  const double tokens = static_cast<double>(f.valid_tokens);
  const double outputs = static_cast<double>(setup.outputs());
  const Vector z = row_of(f.logits, t);
  const Vector p = softmax(z);
  Vector ds(z.size(), 0.0);
  for (const LoadBalance& loss : setup.balance) {
    const Vector share = shares(loss, setup, f);
    double mean = 0.0;
    for (std::size_t e = 0; e < z.size(); ++e) {
      mean += p[e] * share[e];
    }
    for (std::size_t e = 0; e < z.size(); ++e) {
      const double factor = loss.coefficient * outputs / tokens;
      if (loss.distribution == Distribution::scores) {
        ds[e] += factor * share[e];
      } else {
        dz[e] += factor * p[e] * (share[e] - mean);
      }
    }
  }
  for (const ZLoss& loss : setup.z_loss) {
    for (std::size_t e = 0; e < z.size(); ++e) {
      dz[e] += loss.coefficient * 2.0 / tokens * log_sum_exp(z) * p[e];
    }
  }
  return ds;
}

/// The gradient of the logits for the output gradient dy, losses included. [T,R]
inline Matrix router_gradient(const Setup& setup, const Matrix& x, const Forward& f,
                              const Matrix& dy) {
  Matrix all(x.rows, setup.outputs());
  for (index t = 0; t < x.rows; ++t) {
    if (!setup.is_valid(t)) {
      continue;
    }
    const std::vector<Claim>& claims = f.chosen[static_cast<std::size_t>(t)];
    Vector g;
    for (const Claim& claim : claims) {
      double inner = 0.0;
      if (claim.kept) {
        const Pass pass = run_expert(setup.experts, claim.expert, row_of(x, t));
        for (index d = 0; d < x.cols; ++d) {
          inner += dy(t, d) * at(pass.out, d);
        }
      }
      g.push_back(inner);
    }
    Vector dz(static_cast<std::size_t>(setup.outputs()), 0.0);
    const Vector ds = loss_gradient(setup, f, t, dz);
    const Vector through = logits_gradient(setup.router, row_of(f.logits, t), row_of(f.scores, t),
                                           outputs_of(claims), g, ds);
    for (index e = 0; e < setup.outputs(); ++e) {
      all(t, e) = at(dz, e) + at(through, e);
    }
  }
  return all;
}

/// All gradients of <dy, y> + losses.
inline Gradients backward(const Setup& setup, const Matrix& x, const Forward& f, const Matrix& dy) {
  const Experts& experts = setup.experts;
  Gradients g;
  g.dx = Matrix(x.rows, x.cols);
  g.gate = Matrix(setup.outputs(), x.cols);
  g.gate_bias.assign(static_cast<std::size_t>(setup.outputs()), 0.0);
  g.experts.up = Stack(experts.up.count, experts.up.rows, experts.up.cols);
  g.experts.up_bias = Stack(experts.up.count, experts.up.rows, 1);
  g.experts.down = Stack(experts.down.count, experts.down.rows, experts.down.cols);
  g.experts.down_bias = Stack(experts.down.count, experts.down.rows, 1);
  const Matrix dz = router_gradient(setup, x, f, dy);
  for (index t = 0; t < x.rows; ++t) {
    Vector dx(static_cast<std::size_t>(x.cols), 0.0);
    for (const Claim& claim : f.chosen[static_cast<std::size_t>(t)]) {
      if (claim.kept) {
        Vector dout = row_of(dy, t);
        for (double& v : dout) {
          v *= claim.weight;
        }
        const Vector row = row_of(x, t);
        run_expert_backward(experts, claim.expert, row, run_expert(experts, claim.expert, row),
                            dout, g.experts, dx);
      }
    }
    for (index e = 0; e < setup.outputs(); ++e) {
      at(g.gate_bias, e) += dz(t, e);
      for (index d = 0; d < x.cols; ++d) {
        g.gate(e, d) += dz(t, e) * x(t, d);
        at(dx, d) += setup.router.weight(e, d) * dz(t, e);
      }
    }
    set_row(g.dx, t, dx);
  }
  return g;
}

}  // namespace reference
