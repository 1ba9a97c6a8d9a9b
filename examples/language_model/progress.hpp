// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "trainer.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace lm {

/// One line on the terminal that says how far the job is. Silent when nobody looks.
class Progress {
 public:
  /// `total`: training steps of all models.
  explicit Progress(index total)
      : total_(total), visible_(isatty(STDERR_FILENO) == 1), start_(seconds_now()) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Steps that an earlier run did: they count as done, not as speed.
  void skip(index steps) { skipped_ += steps; }

  void step(const char* model, const Trainer& trainer, const Trainer::Step& last) {
    ++done_;
    loss_ = loss_ == 0 || trainer.steps_done() == 1 ? last.loss : 0.95 * loss_ + 0.05 * last.loss;
    const double now = seconds_now();
    if (!visible_ || now - shown_ < 0.1) {
      return;
    }
    shown_ = now;
    const double share = static_cast<double>(skipped_ + done_) / static_cast<double>(total_);
    const double left = (now - start_) / static_cast<double>(done_) *
                        static_cast<double>(total_ - skipped_ - done_);
    const auto filled = static_cast<std::size_t>(share * 12);
    const std::string bar = std::string(filled, '#') + std::string(12 - filled, '.');
    char line[256];
    std::snprintf(line, sizeof line,
                  "[%s] %.0f%% %s %td  loss %.3f  %.1fk tokens/s  %.2f experts/token  ETA %d:%02d",
                  bar.c_str(), 100 * share, model, trainer.steps_done(), loss_,
                  trainer.tokens_per_second() / 1000, last.work.experts_per_token(),
                  static_cast<int>(left) / 60, static_cast<int>(left) % 60);
    std::fprintf(stderr, "\r%.*s\033[K", columns() - 1, line);
    std::fflush(stderr);
  }

  /// Takes the line away, so that others can print.
  void clear() {
    if (visible_) {
      std::fputs("\r\033[K", stderr);
      std::fflush(stderr);
      shown_ = 0;
    }
  }

 private:
  /// Width of the terminal: a longer line would leave its pieces behind.
  static int columns() {
    winsize size{};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? size.ws_col : 100;
  }

  index total_, skipped_ = 0, done_ = 0;
  bool visible_;
  double start_, shown_ = 0;
  double loss_ = 0;  // smoothed
};

}  // namespace lm
