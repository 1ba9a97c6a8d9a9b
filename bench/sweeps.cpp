// SPDX-License-Identifier: Apache-2.0
#include "sweeps.hpp"

#include "progress.hpp"

#include <map>

namespace xmoe_bench {

namespace {

/// Measures points, prints them, keeps them.
class Sweep {
 public:
  Sweep(const Options& options, const char* name, const char* parameter, std::vector<Row>& rows)
      : options_(options), name_(name), parameter_(parameter), rows_(rows) {
    if (options.quick) {
      effort_ = {.least = 2, .most = 3, .seconds = 0.5, .sample = 0.005};
    }
    std::printf("\nsweep: %s\n%-22s %-4s %-8s %2s %10s %9s %5s %9s %6s\n", name, parameter, "",
                "pass", "n", "value", "ours ms", "+-", "limit", "Eigen");
  }

  /// `label` says what the layer is.
  void point(Contest& contest, const Problem& problem, const std::string& label, double value) {
    add(contest.measure(problem, effort_), label, value, "");
  }

  /// One of several points that are compared with each other: they are measured in turn.
  struct Entrant {
    Contest* contest;
    const Problem* problem;
    index threads;
    std::string label;
    double value;
    std::string shown;  ///< printed as the value
    Row row = {};
  };
  void points(std::vector<Entrant>& entrants, Pass pass) {
    for (Entrant& e : entrants) {
      e.row = e.contest->measure(*e.problem, {.least = 0, .most = 0});  // results only
      e.row.threads = e.threads;
    }
    const int rounds = options_.quick ? 3 : 7;
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < entrants.size(); ++i) {
        Entrant& e = entrants[(i + static_cast<std::size_t>(round)) % entrants.size()];
        Progress::detail(e.label + " " + e.shown + ": round " + std::to_string(round + 1));
        Limits& limits = limits_.try_emplace(e.threads, e.threads).first->second;
        e.row.peak_gflops.values.push_back(e.row.scalar == "bf16" ? limits.bf16_gflops()
                                                                  : limits.gflops());
        e.row.peak_gbytes.values.push_back(limits.read_gbytes());
        e.row.ours.values.push_back(time(e, pass));
      }
    }
    for (Entrant& e : entrants) {
      add(std::move(e.row), e.label, e.value, e.shown);
    }
  }
  /// The latest ones.
  Row& last(std::size_t back = 0) { return rows_[rows_.size() - 1 - back]; }

 private:
  double time(Entrant& e, Pass pass) {
    OurSide& side = e.contest->ours();
    side.set_threads(e.threads);
    side.take(*e.problem);
    if (pass == Pass::backward) {
      for (index i = 0; i < static_cast<index>(e.problem->routings.size()); ++i) {
        side.record(i);
      }
    }
    const double once = side.time(pass, 1);
    const double walk = once * static_cast<double>(e.problem->routings.size());
    return side.time(pass, 1 + static_cast<index>(effort_.sample / walk));
  }
  void add(Row row, const std::string& label, double value, const std::string& shown) {
    row.workload = label;
    row.sweep = name_;
    row.parameter = parameter_;
    row.value = value;
    Progress::clear();
    std::printf("%-22s %-4s %-8s %2td %10s %9.3f %4.1f%% %9.3f ", label.c_str(), row.scalar.c_str(),
                row.pass.c_str(), row.threads,
                (shown.empty() ? std::to_string(static_cast<long>(value)) : shown).c_str(),
                row.ours.median() * 1e3, row.ours.spread() * 100.0, row.limit() * 1e3);
    const Rival* eigen = row.rival("eigen");
    eigen == nullptr ? std::printf("%6s\n", "-") : std::printf("%6.2f\n", eigen->ratio());
    std::fflush(stdout);
    rows_.push_back(std::move(row));
  }

  const Options& options_;
  const char* name_;
  const char* parameter_;
  std::vector<Row>& rows_;
  Effort effort_{.least = 3, .most = 9, .seconds = 1.0, .sample = 0.01};
  std::map<index, Limits> limits_;  ///< by threads
};

constexpr Field only_eigen{.eigen = true, .peers = false, .dense = false};
constexpr Field nobody{.eigen = false, .peers = false, .dense = false};

/// How many tokens there are: from decode to prefill.
void sweep_tokens(const Options& options, std::vector<Row>& rows) {
  Sweep sweep(options, "tokens", "tokens", rows);
  const std::vector<index> fine = {1,  2,  3,   4,   6,   8,   12,  16,  24,   32,   48,
                                   64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096};
  const std::vector<index> coarse = {1, 4, 16, 64, 256, 1024};
  for (const char* name : {"W1", "W4"}) {
    Shape shape = *find_shape(name);
    const Bank bank(shape);
    for (const Scalar scalar : options.scalars) {
      Contest contest(bank, scalar, options.most_threads(), only_eigen);
      for (const index tokens : options.quick ? coarse : fine) {
        shape.tokens = tokens;
        const Problem problem(bank, shape, Skew::uniform, options.walk(shape));
        sweep.point(contest, problem, name, static_cast<double>(tokens));
      }
    }
  }
}

/// How many experts there are, at the same work; and many experts of which eight are used.
void sweep_experts(const Options& options, std::vector<Row>& rows) {
  Sweep sweep(options, "experts", "experts", rows);
  Shape shape{"512x128", "none", 512, 128, 8, 0, 8, false, false, 512};
  for (index experts = 8; experts <= 4096; experts *= 2) {
    shape.routed = experts;
    const Bank bank(shape);
    for (const Scalar scalar : options.scalars) {
      Contest contest(bank, scalar, options.most_threads(), only_eigen);
      sweep.point(contest, Problem(bank, shape, Skew::uniform), "uniform",
                  static_cast<double>(experts));
      if (experts == 4096) {
        Problem few(bank, shape, Skew::uniform);
        Shape eight = shape;
        eight.routed = 8;
        const auto routing = make_routing(eight, Skew::uniform, 1);
        few.routings = {xmoe::Routing<float>::from(experts, routing.offsets(), routing.expert(),
                                                   routing.weight())};
        sweep.point(contest, few, "eight of them used", static_cast<double>(experts));
      }
    }
  }
}

/// How unevenly tokens choose, at the same number of assignments.
void sweep_skew(const Options& options, std::vector<Row>& rows) {
  Sweep sweep(options, "skew", "kind", rows);
  constexpr Skew kinds[] = {Skew::uniform, Skew::zipf, Skew::hot};
  for (const char* name : {"W1", "W3", "W4"}) {
    const Shape& shape = *find_shape(name);
    const Bank bank(shape);
    for (const Scalar scalar : options.scalars) {
      Contest contest(bank, scalar, options.most_threads(), nobody);
      std::vector<Problem> problems;
      for (const Skew kind : kinds) {
        problems.emplace_back(bank, shape, kind);
      }
      std::vector<Sweep::Entrant> entrants;
      for (std::size_t i = 0; i < std::size(kinds); ++i) {
        entrants.push_back({&contest, &problems[i], options.most_threads(), name,
                            static_cast<double>(i), name_of(skews, kinds[i])});
      }
      sweep.points(entrants, Pass::forward);
      const auto per_flop = [](const Row& row) { return row.ours.median() / row.flops; };
      const double even = per_flop(sweep.last(std::size(kinds) - 1));
      for (std::size_t i = 0; i < std::size(kinds); ++i) {
        Row& row = sweep.last(std::size(kinds) - 1 - i);
        row.skew = name_of(skews, kinds[i]);
        row.more.emplace_back("relative", per_flop(row) / even);
      }
    }
  }
}

/// From one thread to all that the machine runs at once.
void sweep_threads(const Options& options, std::vector<Row>& rows) {
  Sweep sweep(options, "threads", "threads", rows);
  const auto all = static_cast<index>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<index> counts;
  for (index n = 1; n < all; n += n < 8 ? 1 : n / 4) {
    counts.push_back(n);
  }
  counts.push_back(all);
  for (const char* name : {"W1", "W4", "W5"}) {
    const Shape& shape = *find_shape(name);
    const Bank bank(shape);
    const Problem problem(bank, shape, Skew::uniform);
    for (const Scalar scalar : options.scalars) {
      Contest contest(bank, scalar, all, nobody);
      std::vector<Sweep::Entrant> entrants;
      for (const index n : counts) {
        entrants.push_back({&contest, &problem, n, name, static_cast<double>(n), ""});
      }
      sweep.points(entrants, Pass::forward);
      const double alone = sweep.last(counts.size() - 1).ours.median();
      for (std::size_t i = 0; i < counts.size(); ++i) {
        sweep.last(i).more.emplace_back("speedup", alone / sweep.last(i).ours.median());
      }
    }
  }
}

/// Few wide experts or many narrow ones, at the same work.
void sweep_granularity(const Options& options, std::vector<Row>& rows) {
  Sweep sweep(options, "granularity", "experts", rows);
  const Shape wide{"8x3072", "none", 768, 3072, 8, 0, 1, false, false, 2048};
  const Shape narrow{"64x384", "none", 768, 384, 64, 0, 8, false, false, 2048};
  const Bank banks[] = {Bank(wide), Bank(narrow)};
  const Problem problems[] = {Problem(banks[0], wide, Skew::uniform),
                              Problem(banks[1], narrow, Skew::uniform)};
  for (const Scalar scalar : options.scalars) {
    Contest few(banks[0], scalar, options.most_threads(), nobody);
    Contest many(banks[1], scalar, options.most_threads(), nobody);
    for (const Pass pass : options.passes) {
      few.prepare(pass);
      many.prepare(pass);
      std::vector<Sweep::Entrant> entrants{
          {&few, &problems[0], options.most_threads(), "8x3072", 8.0, ""},
          {&many, &problems[1], options.most_threads(), "64x384", 64.0, ""}};
      sweep.points(entrants, pass);
    }
  }
}

}  // namespace

void run_sweeps(const Options& options, std::vector<Row>& rows) {
  const std::map<std::string, void (*)(const Options&, std::vector<Row>&)> known = {
      {"tokens", sweep_tokens},
      {"experts", sweep_experts},
      {"skew", sweep_skew},
      {"threads", sweep_threads},
      {"granularity", sweep_granularity},
      {"threshold", run_threshold_sweep}};
  for (const std::string& name : options.sweeps) {
    Progress::step("sweep over " + name);
    known.at(name)(options, rows);
  }
}

}  // namespace xmoe_bench
