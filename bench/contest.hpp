// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "limits.hpp"
#include "row.hpp"
#include "sides.hpp"

namespace xmoe_bench {

/// Results that differ by more than rounding. Nothing is worth measuring then.
struct WrongResult : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// How long to measure one row.
struct Effort {
  int least = 5;  ///< rounds
  int most = 15;
  double seconds = 10.0;  ///< as many rounds as fit, in these bounds
  double sample = 0.02;   ///< calls are repeated until they take so long
};

/// Against whom. The Eigen loop is also the reference that results are checked against.
struct Field {
  bool eigen = true;
  bool peers = true;
  bool slow_start = true;  ///< also peers that take long to get ready
  bool dense = true;       ///< our own layer with one expert, as wide as the chosen ones together
};

/// One layer on one number of threads, measured against others. All are in memory together and are
/// timed in rounds, in an order that rotates, with the machine's limits in between; where memory
/// does not suffice, one peer after the other is measured against us in rounds of their own.
class Contest {
 public:
  Contest(const Bank& bank, Scalar scalar, index threads, const Field& field);

  /// Forward before backward: peers without a backward are dropped, memory for gradients is taken.
  void prepare(Pass pass);
  /// With an effort of 0 rounds results are compared, and nothing else.
  Row measure(const Problem& problem, const Effort& effort);
  OurSide& ours() { return *ours_; }

 private:
  struct Entrant {
    std::string name;
    Side* side;
    index repeats = 1;
    int every = 1;  ///< slow ones sit out rounds
    double latest = 0.0;
    Samples samples = {};
    Samples ours = {};
  };

  struct Reference {
    std::vector<xmoe::Buffer<float>> y;
    std::vector<float> gradients;
    xmoe::Buffer<float> dx;
    std::vector<float> dweight;
  };

  void enter(std::size_t turn);
  void refer(const Problem& problem, index calls);
  double check(const Problem& problem, const std::string& name, Side& side);
  void time(std::vector<Entrant>& entrants, const Problem& problem, const Effort& effort, Row& row);
  void race(std::vector<Entrant>& entrants, int round, Row& row);
  double tolerance(const Problem& problem) const;
  double memory_needed() const;
  std::string title(const Problem& problem) const;

  const Bank& bank_;
  Scalar scalar_;
  Field field_;
  Pass pass_ = Pass::forward;
  Limits limits_;
  GradientMemory gradients_;
  Reference reference_;
  std::unique_ptr<OurSide> ours_;
  std::unique_ptr<Side> eigen_;
  std::vector<std::vector<const Peer*>> turns_;  ///< who is measured together
  std::size_t turn_ = 0;
  std::vector<std::pair<const Peer*, std::unique_ptr<Side>>> rivals_;  ///< of this turn
};

/// The name of a value in one of the lists of (name, value) pairs.
template <class List, class Value>
std::string name_of(const List& list, const Value& value) {
  for (const auto& [name, each] : list) {
    if (each == value) {
      return std::string(name);
    }
  }
  return "?";
}

}  // namespace xmoe_bench
