// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "expert_loop.hpp"

#include <Eigen/Core>

namespace xmoe_bench {

/// What one writes today: for every expert gather its tokens, two matrix products with the
/// activation in between, add the rows to the tokens' outputs.
class EigenLoop : public ExpertLoop {
 public:
  EigenLoop(const Bank& bank, index threads, const GradientMemory& gradients)
      : ExpertLoop(bank, threads), gradients_(gradients), scratch_(as_size(threads)) {}

  void take(const Problem& next) override {
    ExpertLoop::take(next);
    const Shape& s = next.shape;
    const auto rows_of = [&](index cols) { return Matrix(most_jobs(), cols); };
    for (Scratch& scratch : scratch_) {
      scratch = {.x = rows_of(s.model_dim),
                 .before = rows_of(s.up_rows()),
                 .sigmoid = rows_of(s.expert_dim),
                 .hidden = rows_of(s.expert_dim),
                 .rows = rows_of(s.model_dim),
                 .dhidden = rows_of(s.expert_dim),
                 .dy = rows_of(s.model_dim)};
    }
    before_.assign(next.routings.size(), Matrix());
  }

  void forward(index i) override {
    run(i, y, [&](index e, const Jobs& jobs, index thread, float* sums) {
      Scratch& scratch = scratch_[as_size(thread)];
      Block before = scratch.before.topRows(as_index(jobs));
      expert_forward(e, jobs, scratch, before, sums_of(sums));
    });
  }
  void record(index i) override {
    before_[as_size(i)].resize(routing(i).assignments(), bank().shape.up_rows());
    run(i, y, [&](index e, const Jobs& jobs, index thread, float* sums) {
      Block before = before_[as_size(i)].middleRows(first_job(e), as_index(jobs));
      expert_forward(e, jobs, scratch_[as_size(thread)], before, sums_of(sums));
    });
  }
  void backward(index i) override {
    run(i, dx, [&](index e, const Jobs& jobs, index thread, float* sums) {
      Block before = before_[as_size(i)].middleRows(first_job(e), as_index(jobs));
      expert_backward(e, jobs, scratch_[as_size(thread)], before, sums_of(sums));
    });
  }

  void zero_gradients() override {
    for (index e = 0; e < bank().shape.experts(); ++e) {
      dup(e).setZero();
      ddown(e).setZero();
    }
  }
  std::vector<float> project_gradients() override {
    std::vector<float> result;
    const auto add = [&](const Map& g) {
      for (index row = 0; row < g.rows(); row += gradient_stride(g.rows())) {
        float sum = 0.f;
        for (index col = 0; col < g.cols(); ++col) {
          sum += g(row, col) * projector(col);
        }
        result.push_back(sum);
      }
    };
    for (index e = 0; e < bank().shape.experts(); ++e) {
      add(dup(e));
    }
    for (index e = 0; e < bank().shape.experts(); ++e) {
      add(ddown(e));
    }
    return result;
  }

 private:
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Map = Eigen::Map<Matrix>;
  using ConstMap = Eigen::Map<const Matrix>;
  using Block = Eigen::Ref<Matrix>;

  /// What a thread works in.
  struct Scratch {
    Matrix x;        ///< [m,D]
    Matrix before;   ///< [m,H or 2H]
    Matrix sigmoid;  ///< [m,H] of the gate
    Matrix hidden;   ///< [m,H]
    Matrix rows;     ///< [m,D]
    Matrix dhidden;  ///< [m,H]
    Matrix dy;       ///< [m,D]
  };

  void expert_forward(index e, const Jobs& jobs, Scratch& scratch, Block before, Map out) {
    const index m = as_index(jobs);
    Block x = scratch.x.topRows(m);
    Block hidden = scratch.hidden.topRows(m);
    Block rows = scratch.rows.topRows(m);
    for (index i = 0; i < m; ++i) {
      x.row(i) = tokens(problem().x).row(jobs[as_size(i)].token);
    }
    before.noalias() = x * up(e).transpose();
    activate(before, scratch.sigmoid.topRows(m), hidden);
    rows.noalias() = hidden * down(e).transpose();
    for (index i = 0; i < m; ++i) {
      out.row(jobs[as_size(i)].token) += jobs[as_size(i)].weight * rows.row(i);
    }
  }

  void expert_backward(index e, const Jobs& jobs, Scratch& scratch, Block before, Map out) {
    const index m = as_index(jobs);
    const index h = bank().shape.expert_dim;
    Block x = scratch.x.topRows(m);
    Block dy = scratch.dy.topRows(m);
    Block hidden = scratch.hidden.topRows(m);
    Block dhidden = scratch.dhidden.topRows(m);
    Block dbefore = scratch.before.topRows(m);
    Block drows = scratch.rows.topRows(m);
    Block sigmoid = scratch.sigmoid.topRows(m);
    for (index i = 0; i < m; ++i) {
      x.row(i) = tokens(problem().x).row(jobs[as_size(i)].token);
      dy.row(i) = tokens(problem().dy).row(jobs[as_size(i)].token);
    }
    dhidden.noalias() = dy * down(e);
    activate(before, sigmoid, hidden);
    for (index i = 0; i < m; ++i) {  // <dy, W2 hidden> = <W2^T dy, hidden>
      const Job& job = jobs[as_size(i)];
      dweight[as_size(job.assignment)] = dhidden.row(i).dot(hidden.row(i));
      hidden.row(i) *= job.weight;
      dhidden.row(i) *= job.weight;
    }
    if (writes_gradients(problem().shape)) {
      ddown(e).noalias() = dy.transpose() * hidden;
    } else {
      ddown(e).noalias() += dy.transpose() * hidden;
    }
    if (bank().shape.gated) {
      dbefore.rightCols(h) = dhidden.array() * before.leftCols(h).array() * sigmoid.array();
      dbefore.leftCols(h) = dhidden.array() * before.rightCols(h).array() * sigmoid.array() *
                            (1.f + before.leftCols(h).array() * (1.f - sigmoid.array()));
    } else {
      dbefore = (before.array() > 0.f).select(dhidden, 0.f);
    }
    if (writes_gradients(problem().shape)) {
      dup(e).noalias() = dbefore.transpose() * x;
    } else {
      dup(e).noalias() += dbefore.transpose() * x;
    }
    drows.noalias() = dbefore * up(e);
    for (index i = 0; i < m; ++i) {
      out.row(jobs[as_size(i)].token) += drows.row(i);
    }
  }

  void activate(const Block& before, Block sigmoid, Block& hidden) const {
    const index h = bank().shape.expert_dim;
    if (bank().shape.gated) {
      sigmoid = 1.f / (1.f + (-before.leftCols(h).array()).exp());
      hidden = before.leftCols(h).array() * sigmoid.array() * before.rightCols(h).array();
    } else {
      hidden = before.cwiseMax(0.f);
    }
  }

  Map sums_of(float* sums) const { return tokens<Map>(sums); }
  ConstMap tokens(const xmoe::Buffer<float>& numbers) const {
    return tokens<ConstMap>(numbers.data());
  }
  template <class M, class P>
  M tokens(P* numbers) const {
    return M(numbers, problem().shape.tokens, bank().shape.model_dim);
  }
  template <class M, class P>
  M matrix(P* stack, index e, index rows, index cols) const {
    return M(stack + e * rows * cols, rows, cols);
  }
  ConstMap up(index e) const {
    return matrix<ConstMap>(bank().up.data(), e, bank().shape.up_rows(), bank().shape.model_dim);
  }
  ConstMap down(index e) const {
    return matrix<ConstMap>(bank().down.data(), e, bank().shape.model_dim, bank().shape.expert_dim);
  }
  Map dup(index e) const {
    return matrix<Map>(gradients_.up, e, bank().shape.up_rows(), bank().shape.model_dim);
  }
  Map ddown(index e) const {
    return matrix<Map>(gradients_.down, e, bank().shape.model_dim, bank().shape.expert_dim);
  }
  const GradientMemory& gradients_;
  std::vector<Scratch> scratch_;  ///< by thread
  std::vector<Matrix> before_;    ///< by routing: [N,H or 2H], rows by expert
};

}  // namespace xmoe_bench
