// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <charconv>
#include <cstdlib>

namespace xmoe_bench {

namespace {

constexpr const char* usage =
    R"(usage: xmoe_compare [options]
Measures the layer beside other ways to compute it, in one process and in turn.

  --quick            about 3 minutes: few rounds, one coarse sweep, PyTorch only on W1 to W3
What to measure; repeated options add. Without any: all workloads, sweeps, the router.
  --workload NAME    W1 W2 W3 W4 W5 W6a W6b irregular (all but the last)
  --scalar NAME      f32 or bf16: storage of the experts' weights (both)
  --pass NAME        forward or backward (both)
  --skew NAME        uniform zipf one_hot hot: how unevenly tokens choose (uniform)
  --threads N        (as many as the machine has)
  --sweep NAME       tokens experts skew threads granularity threshold, or all
  --router           the router's share of a layer's time
                     With --sweep or --router the workloads are measured only if named.
How
  --rounds N         measurements of each side (5 to 15, as many as fit into 10 s)
  --check            compare results only
  --strict           exit with 1 if the layer is slower than the Eigen loop by more than 3 %
  --json FILE        all numbers
  --html FILE        charts
  --help
PyTorch takes part if the Python named by XMOE_BENCH_PYTHON (python3) has it; oneDNN and libxsmm if
they were there when this was built.
Exit status: 0; 1 with --strict only; 2 on wrong use, wrong results, or a file that cannot be
written.
)";

constexpr const char* sweep_names[] = {"tokens",  "experts",     "skew",
                                       "threads", "granularity", "threshold"};

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "xmoe_compare: %s; --help tells more\n", what.c_str());
  std::exit(2);
}

class Parser {
 public:
  Parser(int count, char** arguments) : rest_(arguments + 1, arguments + count) {}

  Options run() {
    for (; next_ < rest_.size(); ++next_) {
      option(rest_[next_]);
    }
    complete();
    return std::move(options_);
  }

 private:
  void option(const std::string& name) {
    if (name == "--workload") {
      const std::string text = value();
      const Shape* shape = find_shape(text);
      if (shape == nullptr) {
        refuse("there is no workload " + text);
      }
      options_.workloads.push_back(*shape);
    } else if (name == "--scalar") {
      add(options_.scalars, scalars, "scalar");
    } else if (name == "--pass") {
      add(options_.passes, passes, "pass");
    } else if (name == "--skew") {
      add(options_.skews, skews, "skew");
    } else if (name == "--threads") {
      options_.threads.push_back(number(1024));
    } else if (name == "--sweep") {
      add_sweep(value());
    } else if (name == "--router") {
      options_.router = true;
    } else if (name == "--rounds") {
      rounds_ = number(1000);
    } else if (name == "--quick") {
      options_.quick = true;
    } else if (name == "--check") {
      options_.check_only = true;
    } else if (name == "--strict") {
      options_.strict = true;
    } else if (name == "--json") {
      options_.json = value();
    } else if (name == "--html") {
      options_.html = value();
    } else if (name == "--help") {
      std::printf("%s", usage);
      std::exit(0);
    } else {
      refuse("unknown option " + name);
    }
  }

  std::string value() {
    const std::string name = rest_[next_];
    if (++next_ == rest_.size()) {
      refuse(name + " needs a value");
    }
    return rest_[next_];
  }
  int number(int most) {
    const std::string name = rest_[next_];
    const std::string text = value();
    int result = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
    if (error != std::errc() || end != text.data() + text.size() || result < 1 || result > most) {
      refuse(name + " " + text + ": a number from 1 to " + std::to_string(most) + " is expected");
    }
    return result;
  }
  template <class Value, class List>
  void add(std::vector<Value>& chosen, const List& list, const char* kind) {
    const std::string text = value();
    for (const auto& [name, each] : list) {
      if (name == text) {
        chosen.push_back(each);
        return;
      }
    }
    refuse("there is no " + std::string(kind) + " " + text);
  }
  void add_sweep(const std::string& text) {
    bool known = false;
    for (const char* name : sweep_names) {
      if (text == "all" || text == name) {
        options_.sweeps.emplace_back(name);
        known = true;
      }
    }
    if (!known) {
      refuse("there is no sweep " + text);
    }
  }

  void complete() {
    Options& o = options_;
    const bool selected = !o.workloads.empty() || !o.passes.empty() || !o.skews.empty();
    const bool others = !o.sweeps.empty() || o.router;
    o.table = selected || !others;
    if (!selected && !others && !o.check_only) {
      add_sweep(o.quick ? "tokens" : "all");
      o.router = !o.quick;
    }
    if (o.workloads.empty()) {
      o.workloads.assign(std::begin(shapes), std::end(shapes));
    }
    fill(o.scalars, scalars);
    fill(o.passes, passes);
    std::sort(o.passes.begin(), o.passes.end());
    if (o.threads.empty()) {
      o.threads = {std::max<index>(1, std::thread::hardware_concurrency())};
    }
    if (o.skews.empty()) {
      o.skews = {Skew::uniform};
    }
    if (o.quick) {
      o.effort = {.least = 3, .most = 7, .seconds = 2.0, .sample = 0.01};
    }
    if (rounds_ > 0) {
      o.effort.least = o.effort.most = rounds_;
    }
    if (o.check_only) {
      o.effort.least = o.effort.most = 0;
    }
  }
  template <class Value, class List>
  static void fill(std::vector<Value>& chosen, const List& list) {
    if (chosen.empty()) {
      for (const auto& each : list) {
        chosen.push_back(each.second);
      }
    }
  }

  std::vector<std::string> rest_;
  std::size_t next_ = 0;
  int rounds_ = 0;
  Options options_;
};

}  // namespace

Options parse(int count, char** arguments) { return Parser(count, arguments).run(); }

}  // namespace xmoe_bench
