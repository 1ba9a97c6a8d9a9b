// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sides.hpp"

#include <Eigen/Core>

#include <atomic>
#include <barrier>
#include <thread>

namespace xmoe_bench {

/// What one writes today: for every expert gather its tokens, two matrix products with the
/// activation in between, add the rows to the tokens' outputs. Threads take whole experts, with an
/// output of their own each; buffers are made once. With one thread it is a plain loop.
class EigenLoop : public Side {
 public:
  EigenLoop(const Problem& problem, index threads, GradientMemory gradients)
      : Side(problem), gradients_(gradients), jobs_(as_size(problem.shape.experts())) {
    const Shape& s = problem.shape;
    for (index i = 0; i < threads; ++i) {
      const auto rows_of = [&](index cols) { return Matrix(s.tokens, cols); };
      scratch_.push_back({.x = rows_of(s.model_dim),
                          .before = rows_of(s.up_rows()),
                          .sigmoid = rows_of(s.expert_dim),
                          .hidden = rows_of(s.expert_dim),
                          .rows = rows_of(s.model_dim),
                          .dhidden = rows_of(s.expert_dim),
                          .dy = rows_of(s.model_dim),
                          .out = rows_of(s.model_dim)});
    }
  }

  void forward(index i) override {
    run(i, y, [&](index e, Scratch& scratch, Map out) {
      const std::vector<Job>& jobs = jobs_[as_size(e)];
      Block before = scratch.before.topRows(as_index(jobs));
      expert_forward(e, jobs, scratch, before, out);
    });
  }
  void record(index i) override {
    before_.resize(problem_.routings.size());
    before_[as_size(i)].resize(routing(i).assignments(), problem_.shape.up_rows());
    run(i, y, [&](index e, Scratch& scratch, Map out) {
      const std::vector<Job>& jobs = jobs_[as_size(e)];
      Block before = before_[as_size(i)].middleRows(first_row(e), as_index(jobs));
      expert_forward(e, jobs, scratch, before, out);
    });
  }
  void backward(index i) override {
    run(i, dx, [&](index e, Scratch& scratch, Map out) {
      const std::vector<Job>& jobs = jobs_[as_size(e)];
      Block before = before_[as_size(i)].middleRows(first_row(e), as_index(jobs));
      expert_backward(e, jobs, scratch, before, out);
    });
  }

  void zero_gradients() override {
    for (index e = 0; e < problem_.shape.experts(); ++e) {
      dup(e).setZero();
      ddown(e).setZero();
    }
  }
  std::vector<float> project_gradients() const override {
    std::vector<float> result;
    const auto add = [&](const Map& g) {
      const Eigen::VectorXf s =
          Eigen::VectorXf::NullaryExpr(g.cols(), [](Eigen::Index j) { return projector(j); });
      const Eigen::VectorXf product = g * s;
      result.insert(result.end(), product.begin(), product.end());
    };
    for (index e = 0; e < problem_.shape.experts(); ++e) {
      add(dup(e));
    }
    for (index e = 0; e < problem_.shape.experts(); ++e) {
      add(ddown(e));
    }
    return result;
  }

 private:
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Map = Eigen::Map<Matrix>;
  using ConstMap = Eigen::Map<const Matrix>;
  using Block = Eigen::Ref<Matrix>;

  /// One token of an expert.
  struct Job {
    index token;
    index assignment;
    float weight;
  };
  /// What a thread works in.
  struct Scratch {
    Matrix x;        ///< [m,D]
    Matrix before;   ///< [m,H or 2H]
    Matrix sigmoid;  ///< [m,H] of the gate
    Matrix hidden;   ///< [m,H]
    Matrix rows;     ///< [m,D]
    Matrix dhidden;  ///< [m,H]
    Matrix dy;       ///< [m,D]
    Matrix out;      ///< [T,D] the thread's share of the result
  };

  void expert_forward(index e, const std::vector<Job>& jobs, Scratch& scratch, Block before,
                      Map out) {
    const index m = as_index(jobs);
    Block x = scratch.x.topRows(m);
    Block hidden = scratch.hidden.topRows(m);
    Block rows = scratch.rows.topRows(m);
    for (index i = 0; i < m; ++i) {
      x.row(i) = tokens(problem_.x).row(jobs[as_size(i)].token);
    }
    before.noalias() = x * up(e).transpose();
    activate(before, scratch.sigmoid.topRows(m), hidden);
    rows.noalias() = hidden * down(e).transpose();
    for (index i = 0; i < m; ++i) {
      out.row(jobs[as_size(i)].token) += jobs[as_size(i)].weight * rows.row(i);
    }
  }

  void expert_backward(index e, const std::vector<Job>& jobs, Scratch& scratch, Block before,
                       Map out) {
    const index m = as_index(jobs);
    const index h = problem_.shape.expert_dim;
    Block x = scratch.x.topRows(m);
    Block dy = scratch.dy.topRows(m);
    Block hidden = scratch.hidden.topRows(m);
    Block dhidden = scratch.dhidden.topRows(m);
    Block dbefore = scratch.before.topRows(m);
    Block drows = scratch.rows.topRows(m);
    Block sigmoid = scratch.sigmoid.topRows(m);
    for (index i = 0; i < m; ++i) {
      x.row(i) = tokens(problem_.x).row(jobs[as_size(i)].token);
      dy.row(i) = tokens(problem_.dy).row(jobs[as_size(i)].token);
    }
    dhidden.noalias() = dy * down(e);
    activate(before, sigmoid, hidden);
    for (index i = 0; i < m; ++i) {  // <dy, W2 hidden> = <W2^T dy, hidden>
      const Job& job = jobs[as_size(i)];
      dweight[as_size(job.assignment)] = dhidden.row(i).dot(hidden.row(i));
      hidden.row(i) *= job.weight;
      dhidden.row(i) *= job.weight;
    }
    ddown(e).noalias() += dy.transpose() * hidden;
    if (problem_.shape.gated) {
      dbefore.rightCols(h) = dhidden.array() * before.leftCols(h).array() * sigmoid.array();
      dbefore.leftCols(h) = dhidden.array() * before.rightCols(h).array() * sigmoid.array() *
                            (1.f + before.leftCols(h).array() * (1.f - sigmoid.array()));
    } else {
      dbefore = (before.array() > 0.f).select(dhidden, 0.f);
    }
    dup(e).noalias() += dbefore.transpose() * x;
    drows.noalias() = dbefore * up(e);
    for (index i = 0; i < m; ++i) {
      out.row(jobs[as_size(i)].token) += drows.row(i);
    }
  }

  void activate(const Block& before, Block sigmoid, Block& hidden) const {
    const index h = problem_.shape.expert_dim;
    if (problem_.shape.gated) {
      sigmoid = 1.f / (1.f + (-before.leftCols(h).array()).exp());
      hidden = before.leftCols(h).array() * sigmoid.array() * before.rightCols(h).array();
    } else {
      hidden = before.cwiseMax(0.f);
    }
  }

  /// body(expert, scratch, out) for every expert with tokens; `result` [T,D] = sum of the outs.
  template <class F>
  void run(index i, xmoe::Buffer<float>& result, F body) {
    group(i);
    const index threads = static_cast<index>(scratch_.size());
    std::atomic<index> next = 0;
    std::barrier finished(threads);
    const auto work = [&](index thread) {
      Scratch& scratch = scratch_[as_size(thread)];
      const index tokens = problem_.shape.tokens;
      Map sum(result.data(), tokens, problem_.shape.model_dim);
      Map out(thread == 0 ? result.data() : scratch.out.data(), tokens, problem_.shape.model_dim);
      out.setZero();
      for (index e = next++; e < problem_.shape.experts(); e = next++) {
        if (!jobs_[as_size(e)].empty()) {
          body(e, scratch, out);
        }
      }
      finished.arrive_and_wait();
      const index begin = tokens * thread / threads;
      const index count = tokens * (thread + 1) / threads - begin;
      for (index other = 1; other < threads; ++other) {
        sum.middleRows(begin, count) += scratch_[as_size(other)].out.middleRows(begin, count);
      }
    };
    std::vector<std::thread> helpers;
    for (index thread = 1; thread < threads; ++thread) {
      helpers.emplace_back(work, thread);
    }
    work(0);
    for (std::thread& helper : helpers) {
      helper.join();
    }
  }

  void group(index i) {
    for (std::vector<Job>& jobs : jobs_) {
      jobs.clear();
    }
    const auto& r = routing(i);
    for (index t = 0; t < r.tokens(); ++t) {
      for (index a = r.offsets()[as_size(t)]; a < r.offsets()[as_size(t + 1)]; ++a) {
        jobs_[as_size(r.expert()[as_size(a)])].push_back({t, a, r.weight()[as_size(a)]});
      }
    }
  }
  /// Where an expert's rows of before_ start.
  index first_row(index e) const {
    index row = 0;
    for (index other = 0; other < e; ++other) {
      row += as_index(jobs_[as_size(other)]);
    }
    return row;
  }

  const xmoe::Routing<float>& routing(index i) const { return problem_.routings[as_size(i)]; }
  ConstMap tokens(const xmoe::Buffer<float>& numbers) const {
    return {numbers.data(), problem_.shape.tokens, problem_.shape.model_dim};
  }
  template <class M, class P>
  M matrix(P* stack, index e, index rows, index cols) const {
    return M(stack + e * rows * cols, rows, cols);
  }
  ConstMap up(index e) const {
    return matrix<ConstMap>(problem_.up.data(), e, problem_.shape.up_rows(),
                            problem_.shape.model_dim);
  }
  ConstMap down(index e) const {
    return matrix<ConstMap>(problem_.down.data(), e, problem_.shape.model_dim,
                            problem_.shape.expert_dim);
  }
  Map dup(index e) const {
    return matrix<Map>(gradients_.up, e, problem_.shape.up_rows(), problem_.shape.model_dim);
  }
  Map ddown(index e) const {
    return matrix<Map>(gradients_.down, e, problem_.shape.model_dim, problem_.shape.expert_dim);
  }
  static std::size_t as_size(index i) { return static_cast<std::size_t>(i); }
  static index as_index(const std::vector<Job>& jobs) { return static_cast<index>(jobs.size()); }

  GradientMemory gradients_;
  std::vector<std::vector<Job>> jobs_;  ///< by expert
  std::vector<Scratch> scratch_;        ///< by thread
  std::vector<Matrix> before_;          ///< by routing: [N,H or 2H], rows by expert
};

}  // namespace xmoe_bench
