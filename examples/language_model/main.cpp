// SPDX-License-Identifier: Apache-2.0
// Small language models with Mixture-of-Experts layers: train, compare, sample. See --help.
#include "options.hpp"
#include "plot.hpp"
#include "progress.hpp"
#include "sampler.hpp"

#include <csignal>

namespace lm {
namespace {

volatile std::sig_atomic_t interrupted = 0;
constexpr int stopped = 130;  // exit code after a signal, as shells have it

Corpus load_corpus(const Options& options) {
  const std::string text = options.text.empty() ? king_james() : read_file(options.text);
  Corpus corpus(text, static_cast<std::int32_t>(options.settings.units));
  corpus.check(options.settings.context);
  std::printf(
      "text: %s, %zu bytes; %d units of byte pairs; %zu units to learn from, %zu held out\n",
      options.text.empty() ? "King James Bible" : options.text.c_str(), text.size(),
      corpus.vocabulary.units(), corpus.training.size(), corpus.held_out.size());
  return corpus;
}

std::filesystem::path checkpoint_path(const Options& options, Kind kind, std::uint64_t seed) {
  return std::filesystem::path(options.folder) /
         (std::string(name_of(kind)) + "-seed" + std::to_string(seed) + ".ckpt");
}

/// Trains to the end, or until a signal comes; false in that case. Leaves a checkpoint either way.
bool train(Trainer& trainer, Kind kind, std::uint64_t seed, const Options& options,
           Progress& progress) {
  const std::string path = checkpoint_path(options, kind, seed).string();
  if (options.resume && std::filesystem::exists(path)) {
    trainer.load(path);
    progress.skip(trainer.steps_done());
  }
  while (!trainer.finished() && interrupted == 0) {
    progress.step(name_of(kind), trainer, trainer.step());
    if (trainer.finished() || interrupted != 0 ||
        (options.checkpoint_every > 0 && trainer.steps_done() % options.checkpoint_every == 0)) {
      trainer.save(path);
    }
  }
  progress.clear();
  if (!trainer.finished()) {
    std::printf("stopped after %td steps of model %s; --resume goes on from there\n",
                trainer.steps_done(), name_of(kind));
  }
  return trainer.finished();
}

Result judge(Trainer& trainer, Kind kind, std::uint64_t seed, const Options& options) {
  Result result{.kind = kind, .seed = seed, .parameters = trainer.parameter_count()};
  result.score = trainer.validate(options.validation_batches);
  result.training = trainer.work();
  result.seconds = trainer.seconds();
  result.tokens_per_second = trainer.tokens_per_second();
  result.milestones = trainer.milestones();
  std::printf("%s, seed %llu: perplexity %.3f after %td steps, %.0f s\n", name_of(kind),
              static_cast<unsigned long long>(seed), result.score.perplexity(),
              trainer.steps_done(), result.seconds);
  std::fflush(stdout);
  return result;
}

/// Runs a trained model with other choices than it was trained with, and without capacity. False
/// if a signal came.
bool sweep(Trainer& trainer, Kind kind, const std::vector<double>& choices, const Options& options,
           std::vector<SweepPoint>& points) {
  const Ratios ratios(options.settings);
  for (const double choice : choices) {
    trainer.model().configure(choice, false);
    const Score score = trainer.validate(options.validation_batches);
    points.push_back({kind, choice, score.work.experts_per_token(), ratios.use(score.work),
                      score.perplexity(), score.bits_per_character()});
    if (interrupted != 0) {
      return false;
    }
  }
  trainer.model().configure({}, true);
  return true;
}

std::vector<double> choices_of(Kind kind, const Settings& settings) {
  switch (kind) {
    case Kind::coarse:
      return {1};
    case Kind::fine:
      return {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
    case Kind::control:
      break;
  }
  std::vector<double> ks;
  for (const double k : {1, 2, 3, 4, 6, 8, 12, 16}) {
    if (k <= static_cast<double>(settings.experts * settings.split)) {
      ks.push_back(k);
    }
  }
  return ks;
}

/// Makes the folder of results; with --resume there must be a checkpoint of one of the models in
/// it.
void open_folder(const Options& options, std::span<const Kind> kinds) {
  bool found = !options.resume;
  for (index s = 0; s < options.seeds; ++s) {
    for (const Kind kind : kinds) {
      const std::uint64_t seed = options.settings.seed + static_cast<std::uint64_t>(s);
      found = found || std::filesystem::exists(checkpoint_path(options, kind, seed));
    }
  }
  if (!found) {
    throw user_error("--resume: there is no checkpoint to go on from in '" + options.folder + "'");
  }
  std::filesystem::create_directories(options.folder);
}

/// The main job: three models of the same weights, steps and data.
int compare(const Options& options) {
  const double start = seconds_now();
  open_folder(options, all_kinds);
  const Corpus corpus = load_corpus(options);
  const xmoe::cpu::Backend backend(options.threads);
  std::vector<Result> results;
  std::vector<SweepPoint> points;
  Progress progress(3 * options.seeds * options.settings.steps);
  for (index s = 0; s < options.seeds; ++s) {
    Settings settings = options.settings;
    settings.seed += static_cast<std::uint64_t>(s);
    for (const Kind kind : all_kinds) {
      Trainer trainer(kind, settings, corpus, backend);
      if (!train(trainer, kind, settings.seed, options, progress)) {
        return stopped;
      }
      results.push_back(judge(trainer, kind, settings.seed, options));
      if (s == 0 && !sweep(trainer, kind, choices_of(kind, settings), options, points)) {
        std::printf("stopped while model %s was judged; --resume judges it again\n", name_of(kind));
        return stopped;
      }
    }
  }
  const double seconds = seconds_now() - start;
  print_table(results, options.settings);
  print_sweep(points, Kind::fine, "XMoE with another threshold after training (nothing dropped)");
  print_sweep(points, Kind::control,
              "the control with another number of experts after training (nothing dropped)");
  print_verdict(results, options.settings);
  const std::filesystem::path folder(options.folder);
  write_file(folder / "result.json", to_json(results, options.settings, seconds).dump(2) + "\n");
  const bool drawn = write_curve(folder, points, options.settings);
  std::printf("\n%.0f s in all; %s holds result.json, curve.csv, %s and the checkpoints\n", seconds,
              options.folder.c_str(), drawn ? "curve.svg" : "curve.gp");
  return 0;
}

int train_one(const Options& options) {
  const Kind kind = kind_of(options.model);
  open_folder(options, {&kind, 1});
  const Corpus corpus = load_corpus(options);
  const std::uint64_t seed = options.settings.seed;
  Trainer trainer(kind, options.settings, corpus, xmoe::cpu::Backend(options.threads));
  Progress progress(options.settings.steps);
  if (!train(trainer, kind, seed, options, progress)) {
    return stopped;
  }
  print_table({judge(trainer, kind, seed, options)}, options.settings);
  return 0;
}

int generate(const Options& options) {
  const Checkpoint checkpoint = Checkpoint::read(options.checkpoint);
  const auto settings = checkpoint.header.at("settings").get<Settings>();
  const BytePairs vocabulary = vocabulary_from(checkpoint.header.at("vocabulary"));
  const Kind kind = kind_of(checkpoint.header.at("model").get<std::string>());
  const auto model =
      make_model(kind, settings, vocabulary.units(), xmoe::cpu::Backend(options.threads));
  checkpoint.restore(model->parameters(), "");
  model->configure({}, false);  // one token at a time: capacity would make no sense

  Sampler sampler(*model, settings.context, options.temperature, options.settings.seed);
  std::vector<std::int32_t> units =
      vocabulary.encode(options.prompt.empty() ? "\n" : options.prompt);
  std::printf("%s", options.prompt.c_str());
  for (index i = 0; i < options.units && interrupted == 0; ++i) {
    sampler.extend(units);
    std::printf("%s", vocabulary.decode(std::span(units).last(1)).c_str());
    std::fflush(stdout);
  }
  std::printf("\n");
  return 0;
}

int run(int argc, char** argv) {
  const std::optional<Options> options = parse_options(argc, argv);
  if (!options) {
    return 0;
  }
  switch (options->command) {
    case Options::Command::train:
      return train_one(*options);
    case Options::Command::generate:
      return generate(*options);
    case Options::Command::compare:
      break;
  }
  return compare(*options);
}

}  // namespace
}  // namespace lm

int main(int argc, char** argv) {
  const auto stop = [](int signal) {
    lm::interrupted = 1;
    std::signal(signal, SIG_DFL);  // a second one ends the program at once
  };
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  try {
    return lm::run(argc, argv);
  } catch (const lm::user_error& problem) {
    std::fprintf(stderr, "language_model: %s\n", lm::replaced(problem.what(), "\n", " ").c_str());
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "language_model: %s\n", problem.what());
  }
  return 2;
}
