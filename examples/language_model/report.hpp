// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "trainer.hpp"

#include <functional>

namespace lm {

/// What is known of one trained model.
struct Result {
  Kind kind = Kind::coarse;
  std::uint64_t seed = 1;
  index parameters = 0;
  Score score{};    // held-out text, as the model was trained
  Work training{};  // of all its steps
  double seconds = 0;
  double tokens_per_second = 0;
  std::vector<Milestone> milestones{};
};

/// A trained model, run with another threshold or number of experts and without capacity.
struct SweepPoint {
  Kind kind = Kind::fine;
  double choice = 0;
  double experts_per_token = 0;
  double r_use = 0;
  double perplexity = 0;
  double bits_per_character = 0;
};

/// Work relative to the coarse model's nominal work, one expert of width H0 for every token.
struct Ratios {
  double reference;  // FLOPs of a token in one layer
  explicit Ratios(const Settings& s) : reference(4.0 * static_cast<double>(s.dim * s.expert_dim)) {}
  double use(const Work& w) const { return w.flops_routed / w.tokens / reference; }
  double pad(const Work& w) const { return w.flops_padded / w.tokens / reference; }
  double router(const Work& w) const { return w.flops_router / w.tokens / reference; }
};

/// A figure over seeds.
struct Figure {
  double mean = 0;
  double deviation = 0;  // of the sample; 0 for one seed
  std::size_t count = 0;

  Figure(const std::vector<Result>& results, Kind kind,
         const std::function<double(const Result&)>& f) {
    std::vector<double> values;
    for (const Result& r : results) {
      if (r.kind == kind) {
        values.push_back(f(r));
        mean += values.back();
      }
    }
    count = values.size();
    mean /= static_cast<double>(std::max<std::size_t>(count, 1));
    for (const double v : values) {
      deviation += (v - mean) * (v - mean);
    }
    deviation = count > 1 ? std::sqrt(deviation / static_cast<double>(count - 1)) : 0;
  }
  std::string text(int digits) const {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, count > 1 ? "%.*f (%.*f)" : "%.*f", digits, mean, digits,
                  deviation);
    return buffer;
  }
};

/// The choice that a model was trained with: a threshold or a number of experts.
inline double trained_choice(Kind kind, const Settings& s) {
  return kind == Kind::fine ? s.threshold : static_cast<double>(kind == Kind::coarse ? 1 : s.top_k);
}

inline std::string short_number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", value);
  return buffer;
}
inline std::string describe(Kind kind, const Settings& s) {
  const bool is_coarse = kind == Kind::coarse;
  const index split = is_coarse ? 1 : s.split;
  return std::to_string(s.experts * split) + " x " + std::to_string(s.expert_dim / split) +
         (kind == Kind::fine ? ", t=" + short_number(s.threshold)
                             : ", k=" + std::to_string(is_coarse ? 1 : s.top_k));
}

/// The table of the models side by side.
inline void print_table(const std::vector<Result>& results, const Settings& settings) {
  const Ratios ratios(settings);
  const auto has = [&](Kind kind) {
    return std::any_of(results.begin(), results.end(),
                       [&](const Result& r) { return r.kind == kind; });
  };
  const auto line = [&](const char* label, const std::function<std::string(Kind)>& cell) {
    std::printf("  %-41s", label);
    for (const Kind kind : all_kinds) {
      if (has(kind)) {
        std::printf("%18s", cell(kind).c_str());
      }
    }
    std::printf("\n");
  };
  const auto row = [&](const char* label, int digits,
                       const std::function<double(const Result&)>& f) {
    line(label, [&](Kind kind) { return Figure(results, kind, f).text(digits); });
  };
  std::printf("\n");
  line("", name_of);
  line("experts x width, choice", [&](Kind kind) { return describe(kind, settings); });
  std::printf("quality on held-out text\n");
  row("perplexity a unit", 3, [](const Result& r) { return r.score.perplexity(); });
  row("bits a character", 4, [](const Result& r) { return r.score.bits_per_character(); });
  std::printf("work of a MoE layer at the end, 1 = one coarse expert a token\n");
  row("routed (r_use)", 3, [&](const Result& r) { return ratios.use(r.score.work); });
  row("routed, mean over training", 3, [&](const Result& r) { return ratios.use(r.training); });
  row("padded to capacity (r_pad)", 3, [&](const Result& r) { return ratios.pad(r.score.work); });
  row("router beside it", 3, [&](const Result& r) { return ratios.router(r.score.work); });
  row("routed, kFLOPs a token", 1,
      [](const Result& r) { return r.score.work.flops_routed / r.score.work.tokens / 1e3; });
  row("padded, kFLOPs a token", 1,
      [](const Result& r) { return r.score.work.flops_padded / r.score.work.tokens / 1e3; });
  std::printf("routing at the end\n");
  row("experts a token", 2, [](const Result& r) { return r.score.work.experts_per_token(); });
  row("dropped by capacity, %", 2, [](const Result& r) { return 100 * r.score.work.dropped(); });
  row("entropy of the router / log E", 2, [&](const Result& r) {
    const index split = r.kind == Kind::coarse ? 1 : settings.split;
    return r.score.work.mean_entropy() / std::log(static_cast<double>(settings.experts * split));
  });
  std::printf("training\n");
  row("parameters, million", 3,
      [](const Result& r) { return static_cast<double>(r.parameters) / 1e6; });
  row("wall-clock, s", 1, [](const Result& r) { return r.seconds; });
  row("tokens/s", 0, [](const Result& r) { return r.tokens_per_second; });
}

/// What the models say when the work is turned up or down after training.
inline void print_sweep(const std::vector<SweepPoint>& sweep, Kind kind, const char* label) {
  std::printf("\n%s\n  %-22s", label, kind == Kind::fine ? "threshold t" : "experts k");
  const auto row = [&](const char* name, int digits, auto&& f) {
    std::printf("\n  %-22s", name);
    for (const SweepPoint& p : sweep) {
      if (p.kind == kind) {
        std::printf("%9.*f", digits, f(p));
      }
    }
  };
  for (const SweepPoint& p : sweep) {
    if (p.kind == kind) {
      std::printf("%9s", short_number(p.choice).c_str());
    }
  }
  row("routed work (r_use)", 3, [](const SweepPoint& p) { return p.r_use; });
  row("perplexity a unit", 3, [](const SweepPoint& p) { return p.perplexity; });
  std::printf("\n");
}

/// What it means, in words that follow the figures.
inline void print_verdict(const std::vector<Result>& results, const Settings& settings) {
  const Ratios ratios(settings);
  const auto perplexity = [&](Kind kind) {
    return Figure(results, kind, [](const Result& r) { return r.score.perplexity(); }).mean;
  };
  const auto mean = [&](Kind kind, const std::function<double(const Result&)>& f) {
    return Figure(results, kind, f).mean;
  };
  const auto use = [&](const Result& r) { return ratios.use(r.score.work); };
  const auto with_router = [&](const Result& r) { return use(r) + ratios.router(r.score.work); };
  const auto in_training = [&](const Result& r) { return ratios.use(r.training); };
  const double gain = 100 * (1 - perplexity(Kind::fine) / perplexity(Kind::coarse));
  const double work = mean(Kind::fine, use);
  std::printf(
      "\nXMoE (fine) against Switch (coarse): perplexity %.1f %% %s at r_use %.2f; with the "
      "routers, %.2f against %.2f.\n",
      std::abs(gain), gain >= 0 ? "lower" : "higher", work, mean(Kind::fine, with_router),
      mean(Kind::coarse, with_router));
  std::printf(
      "The target%s, at least 1.5 %% lower at r_use <= 0.40 at the end of training, is %s.\n",
      settings.steps < 3000 ? " of the full run (3000 steps)" : "",
      gain >= 1.5 && work <= 0.40 ? "met" : "not met");

  const double over = 100 * (1 - perplexity(Kind::control) / perplexity(Kind::fine));
  std::printf(
      "The control, the same small experts but always %td of them, is %.1f %% %s than XMoE, "
      "at r_use %.2f.\n",
      settings.top_k, std::abs(over), over >= 0 ? "lower" : "higher", mean(Kind::control, use));
  if (gain > 0 && std::abs(over) < 1.5) {
    std::printf(
        "So the better quality comes from the SMALL EXPERTS. What the threshold adds is a dial:\n"
        "the work falls by itself as the router learns (r_use %.2f over all of training, %.2f at "
        "its\n"
        "end), each token takes what it needs, and t may still be turned down afterwards.\n",
        mean(Kind::fine, in_training), work);
  }
}

/// Everything as JSON. Figures are means over the seeds.
inline nlohmann::ordered_json to_json(const std::vector<Result>& results, const Settings& settings,
                                      double seconds) {
  const Ratios ratios(settings);
  nlohmann::ordered_json json;
  const auto put = [&](const char* name, Kind kind, const std::function<double(const Result&)>& f) {
    const Figure figure(results, kind, f);
    json[name] = figure.mean;
    if (figure.count > 1) {
      json[std::string(name) + "_deviation"] = figure.deviation;
    }
  };
  for (const Kind kind : all_kinds) {
    put((std::string(name_of(kind)) + "_ppl").c_str(), kind,
        [](const Result& r) { return r.score.perplexity(); });
  }
  put("r_use", Kind::fine, [&](const Result& r) { return ratios.use(r.score.work); });
  put("r_use_training", Kind::fine, [&](const Result& r) { return ratios.use(r.training); });
  put("r_pad", Kind::fine, [&](const Result& r) { return ratios.pad(r.score.work); });
  json["seconds"] = seconds;
  for (const Kind kind : all_kinds) {
    put((std::string(name_of(kind)) + "_tokens_per_second").c_str(), kind,
        [](const Result& r) { return r.tokens_per_second; });
  }
  put("parameters", Kind::fine, [](const Result& r) { return static_cast<double>(r.parameters); });
  json["parameters"] = static_cast<index>(json["parameters"].get<double>());
  json["seed"] = settings.seed;
  json["settings"] = nlohmann::json(settings);
  for (const Result& r : results) {
    json["models"].push_back(
        nlohmann::ordered_json{{"model", name_of(r.kind)},
                               {"seed", r.seed},
                               {"parameters", r.parameters},
                               {"ppl", r.score.perplexity()},
                               {"bits_per_character", r.score.bits_per_character()},
                               {"r_use", ratios.use(r.score.work)},
                               {"r_use_training", ratios.use(r.training)},
                               {"r_pad", ratios.pad(r.score.work)},
                               {"r_router", ratios.router(r.score.work)},
                               {"experts_per_token", r.score.work.experts_per_token()},
                               {"dropped", r.score.work.dropped()},
                               {"entropy", r.score.work.mean_entropy()},
                               {"seconds", r.seconds},
                               {"tokens_per_second", r.tokens_per_second},
                               {"milestones", nlohmann::json(r.milestones)}});
  }
  return json;
}

}  // namespace lm
