// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "checkpoint.hpp"
#include "language_model.hpp"

#include <chrono>
#include <cmath>
#include <numbers>

namespace lm {

inline double seconds_now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

/// How well a model says held-out text, and at what work.
struct Score {
  double loss = 0;  // sum of -log p, nats
  double units = 0;
  double characters = 0;
  Work work;

  double perplexity() const { return std::exp(loss / units); }
  double bits_per_character() const { return loss / std::numbers::ln2 / characters; }
};

/// One point of the learning curve.
struct Milestone {
  index step = 0;
  double perplexity = 0;         // a quick look: fewer validation batches than the final score
  double experts_per_token = 0;  // in training, since the milestone before
  NLOHMANN_DEFINE_TYPE_INTRUSIVE(Milestone, step, perplexity, experts_per_token)
};

/// Trains one model: Adam, gradients clipped to norm 1, a warm-up, then a cosine down to 5 %.
class Trainer {
 public:
  static constexpr index milestone_every = 250;
  static constexpr index milestone_batches = 24;

  Trainer(Kind kind, const Settings& settings, const Corpus& corpus, xmoe::cpu::Backend backend)
      : kind_(kind),
        settings_(settings),
        corpus_(corpus),
        model_(make_model(kind, settings, corpus.vocabulary.units(), backend)),
        backend_(backend),
        parameters_(model_->parameters()),
        gradients_(model_->gradients()) {
    corpus.check(settings.context);
    for (const xmoe::Parameter& p : parameters_) {
      adam_.emplace_back(Parameters{p}, xmoe::optimizer::Adam::Options{
                                            .beta1 = 0.9f, .beta2 = 0.98f, .epsilon = 1e-8f});
    }
    model_->initialize(settings.seed);
  }

  LanguageModel& model() { return *model_; }
  index steps_done() const { return step_; }
  bool finished() const { return step_ >= settings_.steps; }
  index parameter_count() const { return xmoe::count(parameters_); }
  /// Time spent in step(), that of continued runs added up.
  double seconds() const { return seconds_; }
  double tokens_per_second() const {
    return seconds_ > 0
               ? static_cast<double>(step_ * settings_.batch * settings_.context) / seconds_
               : 0;
  }
  /// What the MoE layers did in all steps.
  const Work& work() const { return work_; }
  const std::vector<Milestone>& milestones() const { return milestones_; }

  struct Step {
    double loss = 0;
    Work work;
  };
  Step step() {
    const double start = seconds_now();
    Step result;
    const Batch batch =
        corpus_.training_batch(settings_.seed, step_, settings_.batch, settings_.context);
    result.loss = model_->learn(batch, settings_.balance, result.work);
    xmoe::optimizer::clip_by_norm(gradients_, 1.0);
    backend_.parallel(static_cast<index>(adam_.size()), [&](index item, index) {
      const std::size_t i = size(item);
      adam_[i].options().learning_rate = static_cast<float>(learning_rate(step_));
      adam_[i].step({parameters_[i]}, {gradients_[i]});
    });
    ++step_;
    work_ += result.work;
    recent_ += result.work;
    seconds_ += seconds_now() - start;
    if (step_ % milestone_every == 0 || finished()) {
      milestones_.push_back(
          {step_, validate(milestone_batches).perplexity(), recent_.experts_per_token()});
      recent_ = Work();
    }
    return result;
  }

  /// Batches spread evenly over the held-out text; the model stays as it is.
  Score validate(index batches) {
    Score score;
    for (index n = 0; n < batches; ++n) {
      const Batch batch = corpus_.validation_batch(n, batches, settings_.batch, settings_.context);
      Work work;
      score.loss += model_->evaluate(batch, work);
      score.units += static_cast<double>(batch.tokens());
      score.characters += static_cast<double>(batch.characters);
      score.work += work;
    }
    return score;
  }

  void save(const std::string& path) {
    Checkpoint checkpoint;
    checkpoint.header = identity();
    checkpoint.header["vocabulary"] = to_json(corpus_.vocabulary);
    checkpoint.header["step"] = step_;
    checkpoint.header["seconds"] = seconds_;
    checkpoint.header["work"] = work_;
    checkpoint.header["recent"] = recent_;
    checkpoint.header["milestones"] = milestones_;
    checkpoint.add(parameters_, "");
    checkpoint.add(moments(), "adam.");
    checkpoint.write(path);
  }

  /// Continues where a checkpoint was written, bit for bit. Throws user_error if it is one of
  /// another text or of other settings.
  void load(const std::string& path) {
    const Checkpoint checkpoint = Checkpoint::read(path);
    const nlohmann::json mine = identity();
    for (const auto& [key, value] : mine.items()) {
      const nlohmann::json theirs = checkpoint.header.value(key, nlohmann::json());
      if (theirs == value) {
        continue;
      }
      for (const auto& [name, setting] : value.items()) {
        if (value.is_object() && theirs.is_object() &&
            theirs.value(name, nlohmann::json()) != setting) {
          throw user_error("'" + path + "' was made with " + name + " " +
                           theirs.value(name, nlohmann::json()).dump() + ", not " + setting.dump());
        }
      }
      throw user_error("'" + path + "' was made with another " + key);
    }
    try {
      checkpoint.restore(parameters_, "");
      checkpoint.restore(moments(), "adam.");
      checkpoint.header.at("step").get_to(step_);
      checkpoint.header.at("seconds").get_to(seconds_);
      checkpoint.header.at("work").get_to(work_);
      checkpoint.header.at("recent").get_to(recent_);
      checkpoint.header.at("milestones").get_to(milestones_);
    } catch (const nlohmann::json::exception&) {
      throw user_error("'" + path + "' has an incomplete header");
    }
    for (xmoe::optimizer::Adam& adam : adam_) {
      adam.steps() = step_;
    }
  }

 private:
  double learning_rate(index step) const {
    const double warm_up = static_cast<double>(std::min(settings_.warm_up, settings_.steps / 5));
    const double now = static_cast<double>(step + 1);
    if (now < warm_up) {
      return settings_.learning_rate * now / warm_up;
    }
    const double part =
        (now - warm_up) / std::max(1.0, static_cast<double>(settings_.steps) - warm_up);
    return settings_.learning_rate * (0.05 + 0.95 * 0.5 * (1 + std::cos(std::numbers::pi * part)));
  }

  Parameters moments() {
    Parameters all;
    for (std::size_t i = 0; i < adam_.size(); ++i) {
      const Parameters own = adam_[i].state({parameters_[i]});
      all.insert(all.end(), own.begin(), own.end());
    }
    return all;
  }

  /// What must be equal for a run to go on.
  nlohmann::json identity() const {
    return {{"model", name_of(kind_)}, {"settings", settings_}, {"text", corpus_.fingerprint}};
  }

  Kind kind_;
  Settings settings_;
  const Corpus& corpus_;
  std::unique_ptr<LanguageModel> model_;
  xmoe::cpu::Backend backend_;
  Parameters parameters_, gradients_;
  std::vector<xmoe::optimizer::Adam> adam_;  // one a tensor, so that threads share them out
  index step_ = 0;
  double seconds_ = 0;
  Work work_, recent_;
  std::vector<Milestone> milestones_;
};

}  // namespace lm
