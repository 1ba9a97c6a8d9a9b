// SPDX-License-Identifier: Apache-2.0
#include "contest.hpp"

#include "progress.hpp"

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <thread>

namespace xmoe_bench {

namespace {

/// ||a - b|| / ||b||.
template <class A>
double difference(const A& a, const A& b) {
  double error = 0.0;
  double size = 0.0;
  auto other = b.begin();
  for (const float number : a) {
    const double d = static_cast<double>(number) - static_cast<double>(*other);
    error += d * d;
    size += static_cast<double>(*other) * static_cast<double>(*other);
    ++other;
  }
  return std::sqrt(error / size);
}

/// Bytes that programs can still have; very many if the system does not tell.
double memory_available() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemAvailable:")) {
      return 1024.0 * std::strtod(line.c_str() + 13, nullptr);
    }
  }
  return 1e15;
}

/// Our own layer with one expert that all tokens visit.
struct Dense {
  Bank bank;
  Problem problem;
  std::unique_ptr<OurSide> side;

  Dense(const Problem& sparse, Scalar scalar, index threads, Pass pass)
      : bank(sparse.shape.dense()),
        problem(bank, bank.shape, Skew::uniform, static_cast<index>(sparse.routings.size())),
        side(make_xmoe(bank, scalar, threads)) {
    side->take(problem);
    if (pass == Pass::backward) {
      side->train();
      for (index i = 0; i < static_cast<index>(problem.routings.size()); ++i) {
        side->record(i);
      }
    }
  }
};

index count(const Problem& problem) { return static_cast<index>(problem.routings.size()); }

void leave_out(const Peer& peer, const SideFailure& failure) {
  Progress::clear();
  std::fprintf(stderr, "%s is left out: %s\n", peer.name, failure.what());
}

}  // namespace

Contest::Contest(const Bank& bank, Scalar scalar, index threads, const Field& field)
    : bank_(bank), scalar_(scalar), field_(field), limits_(threads) {
  ours_ = make_xmoe(bank, scalar, threads);
  eigen_ = make_eigen(bank, threads, gradients_);
  prepare(Pass::forward);
}

void Contest::prepare(Pass pass) {
  pass_ = pass;
  turns_.clear();
  std::vector<const Peer*> all;
  for (const Peer& peer : peers()) {
    if (field_.peers && (pass == Pass::forward || peer.backward) &&
        (field_.slow_start || !peer.slow_start)) {
      all.push_back(&peer);
    }
  }
  std::erase_if(rivals_,
                [&](const auto& r) { return pass == Pass::backward && !r.first->backward; });
  if (pass == Pass::backward) {
    gradients_ = ours_->train();
  }
  if (all.empty() || !rivals_.empty() || memory_needed() < 0.9 * memory_available()) {
    turns_.push_back(all);
  } else {
    Progress::step("memory does not suffice for all at once: peers in turn");
    for (const Peer* peer : all) {
      turns_.push_back({peer});
    }
  }
  turn_ = rivals_.empty() ? turns_.size() : 0;
}

/// Copies of the weights that peers will make; in training, their gradients as well.
double Contest::memory_needed() const {
  const auto weights = static_cast<double>(bank_.up.size() + bank_.down.size());
  double copies = 0.0;
  for (const Peer& peer : peers()) {
    if (pass_ == Pass::forward || peer.backward) {
      copies += (scalar_ == Scalar::bf16 ? 2.0 : 4.0) * (pass_ == Pass::backward ? 2.0 : 1.0);
    }
  }
  return copies * weights;
}

void Contest::enter(std::size_t turn) {
  if (turn == turn_) {
    return;
  }
  rivals_.clear();
  turn_ = turn;
  for (const Peer* peer : turns_[turn]) {
    try {
      Progress::detail(std::string(bank_.shape.name) + ": weights for " + peer->name);
      if (auto side = peer->make(bank_, scalar_, limits_.threads())) {
        rivals_.emplace_back(peer, std::move(side));
      }
    } catch (const SideFailure& failure) {
      leave_out(*peer, failure);
    }
  }
}

double Contest::tolerance(const Problem& problem) const {
  if (scalar_ == Scalar::bf16) {
    // Roundings of 2^-9 on the way. A sum near zero that changes its sign switches a whole entry of
    // the gradient through a ReLU on or off: about the root of that.
    return pass_ == Pass::backward && !problem.shape.gated ? 1e-1 : 2e-2;
  }
  const auto length =
      static_cast<double>(problem.shape.model_dim + problem.shape.up_rows() + problem.shape.tokens);
  return static_cast<double>(std::numeric_limits<float>::epsilon()) * std::sqrt(length);
}

/// What the Eigen loop says, for the first `calls` routings.
void Contest::refer(const Problem& problem, index calls) {
  eigen_->take(problem);
  reference_ = {};
  for (index i = 0; i < calls; ++i) {
    eigen_->forward(i);
    reference_.y.push_back(eigen_->y);
  }
  if (pass_ == Pass::backward) {
    for (index i = 0; i < count(problem); ++i) {
      eigen_->record(i);
    }
    eigen_->zero_gradients();
    eigen_->backward(0);
    reference_.gradients = eigen_->project_gradients();
    reference_.dx = eigen_->dx;
    reference_.dweight = eigen_->dweight;
  }
}

/// Leaves the side ready to be timed.
double Contest::check(const Problem& problem, const std::string& name, Side& side) {
  side.take(problem);
  const auto calls = static_cast<index>(reference_.y.size());
  double worst = 0.0;
  for (index i = 0; i < (pass_ == Pass::backward ? count(problem) : calls); ++i) {
    pass_ == Pass::backward ? side.record(i) : side.forward(i);
    if (i < calls) {
      worst = std::max(worst, difference(side.y, reference_.y[static_cast<std::size_t>(i)]));
    }
  }
  if (pass_ == Pass::backward) {
    side.zero_gradients();
    side.backward(0);
    worst = std::max(worst, difference(side.project_gradients(), reference_.gradients));
    worst = std::max(worst, difference(side.dx, reference_.dx));
    worst = std::max(worst, difference(side.dweight, reference_.dweight));
  }
  if (!(worst < tolerance(problem))) {
    char text[300];
    std::snprintf(text, sizeof(text), "%s: %s and the Eigen loop differ by %g, more than %g",
                  title(problem).c_str(), name.c_str(), worst, tolerance(problem));
    throw WrongResult(text);
  }
  return worst;
}

std::string Contest::title(const Problem& problem) const {
  return std::string(problem.shape.name) + " " + name_of(scalars, scalar_) + " " +
         name_of(passes, pass_);
}

Row Contest::measure(const Problem& problem, const Effort& effort) {
  Row row;
  row.workload = problem.shape.name;
  row.scalar = name_of(scalars, scalar_);
  row.pass = name_of(passes, pass_);
  row.threads = limits_.threads();
  const bool backward = pass_ == Pass::backward;
  const double width = scalar_ == Scalar::bf16 ? 2.0 : 4.0;
  row.flops = problem.flops() * (backward ? 2.0 : 1.0);
  row.bytes = problem.engaged_weights() * (backward ? width + 4.0 : width);

  const bool only_check = effort.most == 0;
  refer(problem, only_check ? count(problem) : std::min<index>(4, count(problem)));
  row.error = check(problem, "xmoe", *ours_);
  std::unique_ptr<Dense> dense;
  if (field_.dense && !only_check) {
    dense = std::make_unique<Dense>(problem, scalar_, limits_.threads(), pass_);
  }
  for (std::size_t turn = 0; turn < turns_.size(); ++turn) {
    enter(turn);
    std::vector<Entrant> entrants{{.name = "ours", .side = ours_.get()}};
    if (turn == 0 && field_.eigen && scalar_ == Scalar::f32) {
      entrants.push_back({.name = "eigen", .side = eigen_.get()});
    }
    for (auto& [peer, side] : rivals_) {
      Progress::detail(title(problem) + ": results of " + peer->name);
      try {
        const double error = check(problem, peer->name, *side);
        row.more.emplace_back(std::string(peer->name) + "_error", error);
        entrants.push_back({.name = peer->name, .side = side.get()});
      } catch (const SideFailure& failure) {
        leave_out(*peer, failure);
        side.reset();
      }
    }
    std::erase_if(rivals_, [](const auto& r) { return r.second == nullptr; });
    if (turn == 0 && dense != nullptr) {
      entrants.push_back({.name = "dense", .side = dense->side.get()});
    }
    if (!only_check) {
      time(entrants, problem, effort, row);
    }
  }
  Progress::clear();
  return row;
}

void Contest::time(std::vector<Entrant>& entrants, const Problem& problem, const Effort& effort,
                   Row& row) {
  double together = 0.15;  // the limits
  std::vector<double> once;
  for (Entrant& e : entrants) {
    Progress::detail(title(problem) + ": warming " + e.name);
    once.push_back(e.side->time(pass_, 1));
    const double walk = once.back() * static_cast<double>(count(problem));
    e.repeats = 1 + static_cast<index>(effort.sample / walk);
    together += walk * static_cast<double>(e.repeats);
  }
  const int rounds =
      std::clamp(static_cast<int>(effort.seconds / together), effort.least, effort.most);
  for (std::size_t i = 1; i < entrants.size(); ++i) {
    entrants[i].every =
        std::clamp(static_cast<int>(once[i] / (3.0 * once[0])), 1, std::max(1, rounds / 3));
  }
  for (int round = 0; round < rounds; ++round) {
    Progress::detail(title(problem) + ": round " + std::to_string(round + 1) + " of " +
                     std::to_string(rounds));
    race(entrants, round, row);
  }
  for (std::size_t i = 1; i < entrants.size(); ++i) {
    row.rivals.push_back({entrants[i].name, entrants[i].samples, entrants[i].ours});
  }
}

void Contest::race(std::vector<Entrant>& entrants, int round, Row& row) {
  row.peak_gflops.values.push_back(scalar_ == Scalar::bf16 ? limits_.bf16_gflops()
                                                           : limits_.gflops());
  row.peak_gbytes.values.push_back(limits_.read_gbytes());
  const auto count = static_cast<int>(entrants.size());
  for (int i = 0; i < count; ++i) {
    Entrant& e = entrants[static_cast<std::size_t>((i + round) % count)];
    if (round % e.every == 0) {
      // threads of a library may be waiting in a loop for more work, for some time
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      e.latest = e.side->time(pass_, e.repeats);
    }
  }
  row.ours.values.push_back(entrants[0].latest);
  for (std::size_t i = 1; i < entrants.size(); ++i) {
    if (round % entrants[i].every == 0) {
      entrants[i].samples.values.push_back(entrants[i].latest);
      entrants[i].ours.values.push_back(entrants[0].latest);
    }
  }
}

}  // namespace xmoe_bench
