// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sides.hpp"

#include <xmoe/backend/cpu/workers.hpp>

#include <atomic>
#include <set>

namespace xmoe_bench {

/// What peers that bring matrix products share: assignments by expert, threads that take whole
/// experts (the largest first) with an output of their own each, and the sum of these outputs.
class ExpertLoop : public Side {
 public:
  ExpertLoop(const Bank& bank, index threads)
      : bank_(bank), workers_(threads), jobs_(as_size(bank.shape.experts())) {}

  void take(const Problem& next) override {
    Side::take(next);
    counts_.clear();
    for (index i = 0; i < calls(); ++i) {
      group(i);
      for (const index e : order_) {
        counts_.insert(as_index(jobs_[as_size(e)]));
      }
    }
    sums_.assign(as_size(workers_.threads() - 1), xmoe::Buffer<float>(next.x.size()));
  }

 protected:
  /// One token of an expert.
  struct Job {
    index token;
    index assignment;
    float weight;
  };
  using Jobs = std::vector<Job>;

  /// body(expert, jobs, thread, sums) for every expert with tokens; adds to sums [T,D], and
  /// `result` [T,D] becomes the sum of these. `one_thread` leaves the threads to the body.
  template <class F>
  void run(index i, xmoe::Buffer<float>& result, const F& body, bool one_thread = false) {
    group(i);
    const index threads = one_thread ? 1 : workers_.threads();
    std::atomic<std::size_t> next = 0;
    workers_.parallel(threads, [&](index thread, index) {
      xmoe::Buffer<float>& sums = thread == 0 ? result : sums_[as_size(thread - 1)];
      sums.zero();
      for (std::size_t o = next++; o < order_.size(); o = next++) {
        const index e = order_[o];
        body(e, jobs_[as_size(e)], thread, sums.data());
      }
    });
    const index width = bank_.shape.model_dim;
    workers_.for_each_row(threads == 1 ? 0 : problem().shape.tokens, 16, [&](index t) {
      float* const to = result.data() + t * width;
      for (index other = 1; other < threads; ++other) {
        const float* const from = sums_[as_size(other - 1)].data() + t * width;
        for (index d = 0; d < width; ++d) {
          to[d] += from[d];
        }
      }
    });
  }

  const Bank& bank() const { return bank_; }
  const xmoe::cpu::Workers& workers() const { return workers_; }
  /// Tokens of an expert, at most.
  index most_jobs() const { return *counts_.rbegin(); }
  /// How many different numbers of tokens there are.
  index different_jobs() const { return static_cast<index>(counts_.size()); }
  /// Where an expert's assignments start when they lie by expert.
  index first_job(index e) const { return first_[as_size(e)]; }

  static std::size_t as_size(index i) { return static_cast<std::size_t>(i); }
  static index as_index(const Jobs& jobs) { return static_cast<index>(jobs.size()); }

 private:
  void group(index i) {
    for (Jobs& jobs : jobs_) {
      jobs.clear();
    }
    const auto& r = routing(i);
    for (index t = 0; t < r.tokens(); ++t) {
      for (index a = r.offsets()[as_size(t)]; a < r.offsets()[as_size(t + 1)]; ++a) {
        jobs_[as_size(r.expert()[as_size(a)])].push_back({t, a, r.weight()[as_size(a)]});
      }
    }
    order_.clear();
    first_.assign(jobs_.size(), 0);
    index total = 0;
    for (std::size_t e = 0; e < jobs_.size(); ++e) {
      first_[e] = total;
      total += as_index(jobs_[e]);
      if (!jobs_[e].empty()) {
        order_.push_back(static_cast<index>(e));
      }
    }
    std::stable_sort(order_.begin(), order_.end(), [&](index a, index b) {
      return jobs_[as_size(a)].size() > jobs_[as_size(b)].size();
    });
  }

  const Bank& bank_;
  xmoe::cpu::Workers workers_;
  std::vector<Jobs> jobs_;                 ///< by expert
  std::vector<index> order_;               ///< experts with tokens
  std::vector<index> first_;               ///< by expert
  std::vector<xmoe::Buffer<float>> sums_;  ///< by thread, but the first: [T,D]
  std::set<index> counts_;                 ///< tokens of an expert, over all routings
};

}  // namespace xmoe_bench
