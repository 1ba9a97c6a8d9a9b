// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "attention.hpp"
#include "corpus.hpp"
#include "cross_entropy.hpp"
#include "norm.hpp"
#include "work.hpp"

#include <deque>
#include <optional>

namespace lm {

struct Shape {
  index units = 512;  // V
  index dim = 96;     // D
  index blocks = 2;
  index heads = 4;
  index context = 64;  // longest L
};

/// A causal language model whose feed-forward parts are Mixture-of-Experts layers:
///
///   stream = embedding[unit] + position
///   in every block:   stream += attention(norm(stream));   stream += experts(norm(stream))
///   logits = head(norm(stream))
///
/// S is float for training and double for the gradient check; Experts is an xmoe::MoeLayer on S.
/// Dense parts work on one sequence an item; the MoE layers see all tokens of the batch at once,
/// because capacity is shared by them.
template <class S, class Experts>
class Transformer {
 public:
  Transformer(Shape shape, xmoe::Sizes sizes, typename Experts::Config config,
              xmoe::cpu::Backend backend)
      : shape_(shape), sizes_(sizes), backend_(backend), weights_(shape), gradients_(shape) {
    for (index i = 0; i < shape.blocks; ++i) {
      blocks_.emplace_back(shape, Experts(sizes, config, backend));
      block_gradients_.emplace_back(shape, blocks_.back().experts.make_gradients());
      tapes_.emplace_back();
    }
    zero_gradients();
  }

  void initialize(std::uint64_t seed);
  Parameters parameters() { return list(weights_, blocks_, true); }
  Parameters gradients() { return list(gradients_, block_gradients_, true); }
  void zero_gradients();
  /// Settings of every MoE layer: f(layer).
  void for_each_layer(auto&& f) {
    for (auto& block : blocks_) {
      f(block.experts);
    }
  }

  /// Fills logits() and says what the MoE layers did; `in_full`: with the routers' entropy.
  Work forward(const Batch& batch, bool in_full);
  /// After forward: the sum of -log p(target). Turns logits() into the gradient of its mean.
  double loss(const Batch& batch);
  /// After loss: adds to gradients() those of the mean loss and of the layers' balance losses,
  /// whose sum is returned.
  double backward(const Batch& batch, double balance);

  /// [T,V]
  const Matrix<S>& logits() const { return logits_; }

 private:
  struct Weights {
    Panels<S> embedding;  // [V,D]
    Panels<S> position;   // [context,D]
    Norm<S> norm;
    Linear<S> head;  // [V,D]
    explicit Weights(const Shape& s)
        : embedding(dense<S>(s.units, s.dim)),
          position(dense<S>(s.context, s.dim)),
          norm(s.dim),
          head(s.units, s.dim) {}
  };
  template <class E>
  struct Block {
    Norm<S> attention_norm;
    Attention<S> attention;
    Norm<S> expert_norm;
    E experts;
    Block(const Shape& s, E e)
        : attention_norm(s.dim),
          attention(s.dim, s.heads),
          expert_norm(s.dim),
          experts(std::move(e)) {}
  };
  /// What one block keeps between forward and backward.
  struct Saved {
    typename Norm<S>::Saved attention_norm, expert_norm;
    typename Attention<S>::Saved attention;
    Matrix<S> attention_in, expert_in;  // [T,D] outputs of the norms
    Saved(index sequences, index length, const Shape& s)
        : attention_norm(sequences, sequences * length, s.dim),
          expert_norm(sequences, sequences * length, s.dim),
          attention(sequences * length, length, s.dim, s.heads),
          attention_in(sequences * length, s.dim),
          expert_in(sequences * length, s.dim) {}
  };

  static Parameters list(Weights& weights, auto& blocks, bool with_experts);
  void make_room(const Batch& batch);
  /// body(sequence, first row of it)
  void for_each_sequence(const Batch& batch, auto&& body) {
    backend_.parallel(batch.sequences, [&](index b, index) { body(b, b * batch.length); });
  }

  Shape shape_;
  xmoe::Sizes sizes_;
  xmoe::cpu::Backend backend_;
  Weights weights_, gradients_;
  std::deque<Block<Experts>> blocks_;
  std::deque<Block<typename Experts::Gradients>> block_gradients_;
  std::deque<typename Experts::Tape> tapes_;

  index sequences_ = 0, length_ = 0;  // of the batch that there is room for
  std::deque<Saved> saved_;
  std::optional<typename Norm<S>::Saved> saved_norm_;
  Matrix<S> stream_, dstream_;  // [T,D]
  Matrix<S> branch_, dbranch_;  // [T,D] what is added to the stream, and gradients beside it
  Matrix<S> head_in_, logits_;  // [T,D] [T,V]
};

template <class S, class Experts>
Work Transformer<S, Experts>::forward(const Batch& batch, bool in_full) {
  make_room(batch);
  const index length = batch.length;
  const auto embedding = rows_of(weights_.embedding);
  const auto position = rows_of(weights_.position);
  for (index i = 0; i < batch.tokens(); ++i) {
    stream_.row(i) = embedding.row(batch.input[size(i)]) + position.row(i % length);
  }
  Work work;
  for (std::size_t n = 0; n < blocks_.size(); ++n) {
    Block<Experts>& block = blocks_[n];
    Saved& saved = saved_[n];
    for_each_sequence(batch, [&](index b, index first) {
      auto stream = stream_.middleRows(first, length);
      auto branch = branch_.middleRows(first, length);
      auto attention_in = saved.attention_in.middleRows(first, length);
      block.attention_norm.forward(first, stream, attention_in, saved.attention_norm);
      block.attention.forward(b, attention_in, branch, saved.attention);
      stream += branch;
      block.expert_norm.forward(first, stream, saved.expert_in.middleRows(first, length),
                                saved.expert_norm);
    });
    // Evaluation records too: these layers do nothing in training that they do not do otherwise.
    work += Work(block.experts.record(saved.expert_in, branch_, tapes_[n]), sizes_);
    if (in_full) {
      const xmoe::Statistics statistics = block.experts.statistics(tapes_[n]);
      work.entropy += statistics.entropy * static_cast<double>(statistics.summary.tokens);
    }
    stream_ += branch_;
  }
  for_each_sequence(batch, [&](index, index first) {
    auto head_in = head_in_.middleRows(first, length);
    weights_.norm.forward(first, stream_.middleRows(first, length), head_in, *saved_norm_);
    weights_.head.forward(head_in, logits_.middleRows(first, length));
  });
  return work;
}

template <class S, class Experts>
double Transformer<S, Experts>::loss(const Batch& batch) {
  std::vector<double> sums(size(batch.sequences));
  const S mean = S(1) / static_cast<S>(batch.tokens());
  for_each_sequence(batch, [&](index b, index first) {
    const std::span<const std::int32_t> target(batch.target);
    sums[size(b)] = cross_entropy<S>(logits_.middleRows(first, batch.length),
                                     target.subspan(size(first), size(batch.length)), mean);
  });
  double total = 0;
  for (const double sum : sums) {
    total += sum;
  }
  return total;
}

template <class S, class Experts>
double Transformer<S, Experts>::backward(const Batch& batch, double balance) {
  const index length = batch.length;
  const Matrix<S>& dlogits = logits_;
  for_each_sequence(batch, [&](index b, index first) {
    auto dhead_in = dbranch_.middleRows(first, length);
    auto dstream = dstream_.middleRows(first, length);
    weights_.head.backward(dlogits.middleRows(first, length), dhead_in);
    dstream.setZero();
    weights_.norm.backward(b, first, dhead_in, dstream, *saved_norm_);
  });
  weights_.head.weight_gradient(backend_, dlogits, head_in_, gradients_.head);
  weights_.norm.weight_gradient(*saved_norm_, gradients_.norm);

  double balance_loss = 0;
  for (std::size_t n = blocks_.size(); n-- > 0;) {
    Block<Experts>& block = blocks_[n];
    Block<typename Experts::Gradients>& gradient = block_gradients_[n];
    Saved& saved = saved_[n];
    balance_loss += static_cast<double>(block.experts.add_loss(
        tapes_[n], xmoe::loss::LoadBalance<>{.coefficient = static_cast<float>(balance)}));
    block.experts.backward(tapes_[n], dstream_, dbranch_, gradient.experts);
    for_each_sequence(batch, [&](index b, index first) {
      auto dstream = dstream_.middleRows(first, length);
      auto dbranch = dbranch_.middleRows(first, length);
      auto dattention_out = branch_.middleRows(first, length);
      block.expert_norm.backward(b, first, dbranch, dstream, saved.expert_norm);
      dattention_out = dstream;
      block.attention.backward(b, dattention_out, dbranch, saved.attention);
      block.attention_norm.backward(b, first, dbranch, dstream, saved.attention_norm);
    });
    block.attention.weight_gradient(backend_, branch_, saved.attention_in, saved.attention,
                                    gradient.attention);
    block.attention_norm.weight_gradient(saved.attention_norm, gradient.attention_norm);
    block.expert_norm.weight_gradient(saved.expert_norm, gradient.expert_norm);
  }

  auto dembedding = rows_of(gradients_.embedding);
  auto dposition = rows_of(gradients_.position);
  for (index i = 0; i < batch.tokens(); ++i) {
    dembedding.row(batch.input[size(i)]) += dstream_.row(i);
    dposition.row(i % length) += dstream_.row(i);
  }
  return balance_loss;
}

template <class S, class Experts>
void Transformer<S, Experts>::initialize(std::uint64_t seed) {
  // The last weights of a branch are smaller, so that the stream does not grow with the depth.
  const double deviation = 0.05;
  const double last = deviation / std::sqrt(2.0 * static_cast<double>(shape_.blocks));
  const xmoe::Random random{seed, 0};
  std::uint64_t use = 0;
  fill_normal(weights_.embedding, deviation, random.fork(use++));
  fill_normal(weights_.position, deviation, random.fork(use++));
  fill_normal(weights_.head.weight, deviation, random.fork(use++));
  for (Block<Experts>& block : blocks_) {
    fill_normal(block.attention.query_key_value.weight, deviation, random.fork(use++));
    fill_normal(block.attention.output.weight, last, random.fork(use++));
    block.experts.initialize({.seed = seed * 1000 + use++});
  }
}

template <class S, class Experts>
void Transformer<S, Experts>::zero_gradients() {
  for (const xmoe::Parameter& p : list(gradients_, block_gradients_, false)) {
    for (S& value : p.as<S>().values()) {
      value = S(0);
    }
  }
  for (auto& block : block_gradients_) {
    block.experts.restart();
  }
}

template <class S, class Experts>
Parameters Transformer<S, Experts>::list(Weights& weights, auto& blocks, bool with_experts) {
  Parameters all;
  const auto add = [&](const std::string& name, Panels<S>& tensor) {
    all.push_back({name, xmoe::Role::trained, &tensor});
  };
  add("embedding", weights.embedding);
  add("position", weights.position);
  for (std::size_t n = 0; n < blocks.size(); ++n) {
    auto& block = blocks[n];
    const std::string prefix = "block" + std::to_string(n) + ".";
    add(prefix + "attention_norm.gain", block.attention_norm.gain);
    add(prefix + "attention_norm.bias", block.attention_norm.bias);
    add(prefix + "attention.query_key_value", block.attention.query_key_value.weight);
    add(prefix + "attention.output", block.attention.output.weight);
    add(prefix + "expert_norm.gain", block.expert_norm.gain);
    add(prefix + "expert_norm.bias", block.expert_norm.bias);
    for (xmoe::Parameter p : with_experts ? block.experts.parameters() : Parameters{}) {
      p.name = prefix + p.name;
      all.push_back(p);
    }
  }
  add("norm.gain", weights.norm.gain);
  add("norm.bias", weights.norm.bias);
  add("head", weights.head.weight);
  return all;
}

template <class S, class Experts>
void Transformer<S, Experts>::make_room(const Batch& batch) {
  if (batch.sequences == sequences_ && batch.length == length_) {
    return;
  }
  sequences_ = batch.sequences;
  length_ = batch.length;
  const index tokens = batch.tokens();
  saved_.clear();
  for (std::size_t n = 0; n < blocks_.size(); ++n) {
    saved_.emplace_back(sequences_, length_, shape_);
  }
  saved_norm_.emplace(sequences_, tokens, shape_.dim);
  for (Matrix<S>* matrix : {&stream_, &dstream_, &branch_, &dbranch_, &head_in_}) {
    matrix->resize(tokens, shape_.dim);
  }
  logits_.resize(tokens, shape_.units);
}

}  // namespace lm
