// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "settings.hpp"

namespace lm {

/// What the command line asks for.
struct Options {
  enum class Command { compare, train, generate };
  Command command = Command::compare;
  Settings settings{};
  std::string text{};  // empty: King James
  std::string folder = "build/main-job";
  index threads = 2;
  index seeds = 1;
  index checkpoint_every = 500;
  index validation_batches = 96;
  bool resume = false;
  std::string model{};  // train
  // generate
  std::string checkpoint = "build/main-job/fine-seed1.ckpt";
  std::string prompt = "In the beginning";
  index units = 200;
  double temperature = 0.8;
};

/// Throws user_error on a wrong command line; empty if only help was asked for, and given.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace lm
