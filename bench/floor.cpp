// SPDX-License-Identifier: Apache-2.0
// The layer beside the loop over experts that one writes with Eigen: the same numbers, the same
// routing, in turn in one process. Fails if the layer is slower anywhere.
#include "report.hpp"
#include "sides.hpp"

#include <cmath>
#include <cstring>
#include <exception>
#include <limits>

namespace xmoe_bench {

namespace {

constexpr const char* usage =
    R"(usage: xmoe_floor [options]
  --workload NAME    W1 W2 W3 W4 W5 W6a W6b irregular; may be repeated (all but the last)
  --pass NAME        forward or backward (both)
  --threads N        may be repeated (as many as the machine has)
  --skew NAME        uniform, zipf or one_hot; may be repeated (uniform)
  --rounds N         measurements of each side (11)
  --quick            5 rounds
  --check            compare results only, measure nothing
  --json FILE        write all numbers to a file
Exit status: 0; 1 if the layer is slower than the loop; 2 on wrong use or wrong results.
)";

struct Options {
  std::vector<Shape> workloads;
  std::vector<std::string> passes;
  std::vector<index> threads;
  std::vector<std::pair<std::string_view, Skew>> skews;
  int rounds = 11;
  bool check_only = false;
  std::string json;
};

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

/// One shape under one routing, with both sides.
class Comparison {
 public:
  Comparison(const Options& options, const Shape& shape, std::string_view skew_name, Skew skew)
      : options_(options), skew_(skew_name), problem_(shape, skew) {}

  void run(index threads, std::vector<Row>& rows) {
    const bool training = std::find(options_.passes.begin(), options_.passes.end(), "backward") !=
                          options_.passes.end();
    GradientMemory gradients;
    ours_.reset();  // one at a time: gigabytes
    ours_ = make_xmoe(problem_, threads, training, gradients);
    eigen_ = make_eigen(problem_, threads, gradients);
    for (const std::string& pass : options_.passes) {
      const bool backward = pass == "backward";
      Row row;
      row.workload = problem_.shape.name;
      row.pass = pass;
      row.skew = skew_;
      row.threads = threads;
      // backward: two products of the forward's size; weights are read, gradients read and written
      row.flops = problem_.flops() * (backward ? 2 : 1);
      row.bytes = problem_.weight_bytes() * (backward ? 3 : 1);
      row.error = backward ? check_backward() : check_forward();
      check_error(row);
      if (!options_.check_only) {
        measure(backward, row);
        print(row);
        rows.push_back(std::move(row));
      } else {
        std::printf("%s %s: the sides agree, relative difference %.1e\n", row.workload.c_str(),
                    pass.c_str(), row.error);
      }
    }
  }

 private:
  index calls() const { return problem_.shape.routings(); }

  double check_forward() {
    double worst = 0.0;
    for (index i = 0; i < calls(); ++i) {
      ours_->forward(i);
      eigen_->forward(i);
      worst = std::max(worst, difference(ours_->y, eigen_->y));
    }
    return worst;
  }
  /// Also leaves both sides recorded, ready to be measured.
  double check_backward() {
    double worst = 0.0;
    for (index i = 0; i < calls(); ++i) {
      ours_->record(i);
      eigen_->record(i);
      worst = std::max(worst, difference(ours_->y, eigen_->y));
    }
    std::vector<float> gradients[2];
    Side* const sides[2] = {ours_.get(), eigen_.get()};
    for (int s = 0; s < 2; ++s) {  // they share the memory of the gradients
      sides[s]->zero_gradients();
      sides[s]->backward(0);
      gradients[s] = sides[s]->project_gradients();
    }
    worst = std::max(worst, difference(gradients[0], gradients[1]));
    worst = std::max(worst, difference(ours_->dx, eigen_->dx));
    return std::max(worst, difference(ours_->dweight, eigen_->dweight));
  }
  /// Sums in another order: the rounding of the longest ones.
  void check_error(const Row& row) const {
    const auto length = static_cast<double>(problem_.shape.model_dim + problem_.shape.up_rows() +
                                            problem_.shape.tokens);
    const double tolerance =
        static_cast<double>(std::numeric_limits<float>::epsilon()) * std::sqrt(length);
    if (!(row.error < tolerance)) {
      std::fprintf(stderr, "xmoe_floor: %s %s: the sides differ by %g, more than %g\n",
                   row.workload.c_str(), row.pass.c_str(), row.error, tolerance);
      std::exit(2);
    }
  }

  void measure(bool backward, Row& row) {
    Limits limits(row.threads);
    index repeats = 1;
    const auto run_all = [&](Side& side) {
      for (index i = 0; i < calls(); ++i) {
        backward ? side.backward(i) : side.forward(i);
      }
    };
    const auto time = [&](Side& side, Samples& wall, Samples& processor) {
      const Time total = times([&] {
        for (index repeat = 0; repeat < repeats; ++repeat) {
          run_all(side);
        }
      });
      wall.values.push_back(total.wall / static_cast<double>(calls() * repeats));
      processor.values.push_back(total.processor / static_cast<double>(calls() * repeats));
    };
    run_all(*ours_);  // warm
    const double once = seconds([&] { run_all(*eigen_); });
    repeats = 1 + static_cast<index>(0.02 / once);  // 20 ms or more
    const index readable = std::min<index>(problem_.up.size(), 128 << 20);
    for (int round = 0; round < options_.rounds; ++round) {
      std::fprintf(stderr, "\r%s %s, %td threads: round %d of %d ", row.workload.c_str(),
                   row.pass.c_str(), row.threads, round + 1, options_.rounds);
      row.peak_gflops.values.push_back(limits.gflops());
      row.peak_gbytes.values.push_back(limits.read_gbytes(problem_.up.data(), readable));
      const auto time_ours = [&] { time(*ours_, row.ours, row.ours_processor); };
      const auto time_eigen = [&] { time(*eigen_, row.eigen, row.eigen_processor); };
      if (round % 2 == 0) {
        time_ours();
        time_eigen();
      } else {
        time_eigen();
        time_ours();
      }
    }
    std::fprintf(stderr, "\r%60s\r", "");
  }

  const Options& options_;
  std::string skew_;
  Problem problem_;
  std::unique_ptr<Side> ours_;
  std::unique_ptr<Side> eigen_;
};

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "xmoe_floor: %s\n%s", what.c_str(), usage);
  std::exit(2);
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == count) {
        refuse(name + " needs a value");
      }
      return arguments[++i];
    };
    const auto number = [&]() -> int {
      const std::string text = value();
      const int result = std::atoi(text.c_str());
      if (result < 1 || result > 4096) {
        refuse(name + " " + text + " is not a number from 1 on");
      }
      return result;
    };
    if (name == "--workload") {
      const std::string text = value();
      const Shape* shape = find_shape(text);
      if (shape == nullptr) {
        refuse("there is no workload " + text);
      }
      options.workloads.push_back(*shape);
    } else if (name == "--pass") {
      options.passes.push_back(value());
      if (options.passes.back() != "forward" && options.passes.back() != "backward") {
        refuse("there is no pass " + options.passes.back());
      }
    } else if (name == "--threads") {
      options.threads.push_back(number());
    } else if (name == "--skew") {
      const std::string text = value();
      const auto* skew = std::find_if(std::begin(skews), std::end(skews),
                                      [&](const auto& s) { return s.first == text; });
      if (skew == std::end(skews)) {
        refuse("there is no skew " + text);
      }
      options.skews.push_back(*skew);
    } else if (name == "--rounds") {
      options.rounds = number();
    } else if (name == "--quick") {
      options.rounds = 5;
    } else if (name == "--check") {
      options.check_only = true;
    } else if (name == "--json") {
      options.json = value();
    } else if (name == "--help") {
      std::printf("%s", usage);
      std::exit(0);
    } else {
      refuse("unknown option " + name);
    }
  }
  if (options.workloads.empty()) {
    options.workloads.assign(std::begin(shapes), std::end(shapes));
  }
  if (options.passes.empty()) {
    options.passes = {"forward", "backward"};
  }
  if (options.threads.empty()) {
    options.threads = {std::max<index>(1, std::thread::hardware_concurrency())};
  }
  if (options.skews.empty()) {
    options.skews = {skews[0]};
  }
  return options;
}

int run(const Options& options) {
  std::printf("%s, compiler %s\n", processor().c_str(), __VERSION__);
  if (!options.check_only) {
    print_header();
  }
  std::vector<Row> rows;
  for (const Shape& shape : options.workloads) {
    for (const auto& [name, skew] : options.skews) {
      std::fprintf(stderr, "\r%s: preparing ", std::string(shape.name).c_str());
      Comparison comparison(options, shape, name, skew);
      for (const index threads : options.threads) {
        comparison.run(threads, rows);
      }
    }
  }
  if (!options.json.empty()) {
    write_json(options.json, rows);
  }
  const auto slower =
      std::count_if(rows.begin(), rows.end(), [](const Row& row) { return row.slower(); });
  if (slower > 0) {
    std::printf("slower than the Eigen loop in %td of %zu rows\n", slower, rows.size());
  }
  return slower > 0 ? 1 : 0;
}

}  // namespace

}  // namespace xmoe_bench

int main(int count, char** arguments) {
  try {
    return xmoe_bench::run(xmoe_bench::parse(count, arguments));
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "xmoe_floor: %s\n", problem.what());
    return 2;
  }
}
