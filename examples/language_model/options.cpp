// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <CLI/CLI.hpp>

namespace lm {
namespace {

constexpr const char* description = R"(Language models with Mixture-of-Experts layers.

Without a command: trains three models of the same weights, steps and data
  coarse    8 large experts, each token goes to the best one (Switch)
  fine      64 small experts, each token takes as many as reach a probability (XMoE)
  control   64 small experts, a fixed number of them for every token
and compares quality and work.)";

/// An option with a number in low .. high.
template <class Number>
void number(CLI::App& app, const char* name, Number& value, Number low, Number high,
            const char* text) {
  app.add_option(name, value, text)
      ->check(CLI::Range(low, high).description(""))
      ->type_name("N")
      ->capture_default_str();
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options o;
  Settings& s = o.settings;
  CLI::App app(description, "language_model");
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  app.add_option("--text", o.text, "learn from this file, not from the King James Bible")
      ->type_name("FILE");
  const CLI::Option* steps = app.add_option("--steps", s.steps, "training steps of every model")
                                 ->check(CLI::Range(index{1}, index{10'000'000}).description(""))
                                 ->type_name("N")
                                 ->capture_default_str();
  bool quick = false;
  app.add_flag("--quick", quick, "a quick look: --steps 750");
  number<index>(app, "--seeds", o.seeds, 1, 100, "runs; figures become mean (deviation)");
  number<std::uint64_t>(app, "--seed", s.seed, 0, 1'000'000, "the first one");
  number<index>(app, "--threads", o.threads, 1, 256, "change the time, not the results");
  app.add_option("--out", o.folder, "folder of checkpoints and results")
      ->type_name("FOLDER")
      ->capture_default_str();
  number<index>(app, "--checkpoint-every", o.checkpoint_every, 0, 10'000'000, "steps");
  app.add_flag("--resume", o.resume, "go on from the checkpoints in the folder");
  number<double>(app, "--threshold", s.threshold, 0.01, 1, "t of the fine model");
  number<index>(app, "--top-k", s.top_k, 1, 64, "experts a token of the control");
  number<index>(app, "--batch", s.batch, 1, 4096, "sequences of 64 units in a step");
  number<double>(app, "--learning-rate", s.learning_rate, 1e-7, 1, "the highest");
  number<double>(app, "--balance", s.balance, 0, 10, "coefficient of the load-balance loss");
  number<index>(app, "--validation", o.validation_batches, 1, 10'000, "batches of held-out text");

  app.add_subcommand("compare", "the same as without a command")->fallthrough();
  CLI::App* train = app.add_subcommand("train", "train one model; the options above hold");
  train->fallthrough();
  train->add_option("model", o.model, "coarse, fine or control")
      ->type_name("MODEL")
      ->required()
      ->check(CLI::IsMember({"coarse", "fine", "control"}));
  CLI::App* generate = app.add_subcommand("generate", "let a trained model go on with a text");
  generate->add_option("--checkpoint", o.checkpoint, "the model")
      ->type_name("FILE")
      ->capture_default_str();
  generate->add_option("--prompt", o.prompt, "how the text begins")
      ->type_name("TEXT")
      ->capture_default_str();
  number<index>(*generate, "--units", o.units, 1, 1'000'000, "how much to write");
  number<double>(*generate, "--temperature", o.temperature, 0, 10, "0: always the most probable");
  number<std::uint64_t>(*generate, "--seed", s.seed, 0, 1'000'000, "another one, another text");
  number<index>(*generate, "--threads", o.threads, 1, 256, "change the time, not the text");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
    return {};
  } catch (const CLI::ParseError& problem) {
    throw user_error(std::string(problem.what()) + " (see --help)");
  }
  if (quick && steps->count() == 0) {
    s.steps = 750;
  }
  if (*train && o.seeds > 1) {
    throw user_error("--seeds does not go with train: it trains one model");
  }
  o.command = *generate ? Options::Command::generate
              : *train  ? Options::Command::train
                        : Options::Command::compare;
  return o;
}

}  // namespace lm
