// SPDX-License-Identifier: Apache-2.0
// Layers whose router is a real one: what the decision costs beside the experts, and what its
// threshold does.
#include <xmoe/xmoe.hpp>

#include "progress.hpp"
#include "sweeps.hpp"

namespace xmoe_bench {

namespace {

/// Logits of the linear gate deviate by about 0.58 times this; 8 of 128 experts at a threshold of
/// 0.9 on the inputs of below.
constexpr float gate_scale = 6.3f;

/// Numbers between -1 and 1 in fixed order.
float scattered(index i) {
  const auto h = static_cast<std::uint32_t>(i) * 0x9e3779b9u;
  return static_cast<float>(static_cast<std::int32_t>((h ^ (h >> 15)) * 0x7feb352du)) * 0x1p-31f;
}

/// A layer of a workload's shape. Shared experts count as chosen ones.
template <class Select, class Expert, class Traits>
class RoutedLayer {
 public:
  RoutedLayer(const Shape& shape, const Select& select, index threads)
      : shape_(shape),
        calls_(shape.routings()),
        layer_({shape.model_dim, shape.experts(), shape.expert_dim}, config(select),
               xmoe::cpu::Backend(threads)),
        x_(calls_ * shape.tokens * shape.model_dim),
        y_(shape.tokens * shape.model_dim) {
    const xmoe::Random random{.seed = 3};
    for (index i = 0; i < x_.size(); ++i) {
      x_[i] = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
    }
    for (const xmoe::Parameter& parameter : layer_.parameters()) {
      const float scale = parameter.name.starts_with("router") ? gate_scale : 1.f;
      std::visit([&](auto* weights) { fill(*weights, scale); }, parameter.tensor);
    }
  }

  void set(const Select& select) { layer_.config().router.select = select; }

  /// Adds a sample of each: seconds of a whole call, and of its decision alone.
  void time(index repeats, Samples& whole, Samples& decision) {
    const auto walk = [&](auto&& call) {
      const double total = seconds([&] {
        for (index repeat = 0; repeat < repeats; ++repeat) {
          for (index i = 0; i < calls_; ++i) {
            call(xmoe::In<float>(x_.data() + i * y_.size(), shape_.tokens, shape_.model_dim));
          }
        }
      });
      return total / static_cast<double>(repeats * calls_);
    };
    whole.values.push_back(walk([&](xmoe::In<float> x) { forward(x); }));
    decision.values.push_back(walk([&](xmoe::In<float> x) { layer_.route(x); }));
  }
  double experts_per_token() { return forward(first()).experts_per_token(); }

 private:
  using Router = xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, Select, xmoe::weigh::Raw>;
  using Layer = xmoe::MoeLayer<Router, Expert, xmoe::dispatch::Dropless, Traits>;

  static typename Layer::Config config(const Select& select) {
    typename Layer::Config result;
    result.router.select = select;
    result.expert.bias = false;
    return result;
  }
  template <class W>
  static void fill(xmoe::Panels<W>& weights, float scale) {
    using Sum = xmoe::sum_type<W>;
    const float bound = scale / std::sqrt(static_cast<float>(weights.cols()));
    for (index i = 0; i < weights.count() * weights.rows(); ++i) {
      for (index col = 0; col < weights.cols(); ++col) {
        weights.at(i / weights.rows(), i % weights.rows(), col) =
            static_cast<W>(static_cast<Sum>(bound * scattered(i * weights.cols() + col)));
      }
    }
  }
  xmoe::Summary forward(xmoe::In<float> x) {
    return layer_.forward(x, xmoe::Out<float>(y_.data(), shape_.tokens, shape_.model_dim));
  }
  xmoe::In<float> first() const { return {x_.data(), shape_.tokens, shape_.model_dim}; }

  Shape shape_;
  index calls_;
  Layer layer_;
  xmoe::Buffer<float> x_;  ///< [calls,T,D]
  xmoe::Buffer<float> y_;  ///< [T,D]
};

/// Rounds until the time is up.
template <class Routed>
void measure(Routed& layer, bool quick, Row& row, Samples& decision) {
  Samples warm;
  layer.time(1, warm, warm);
  const auto repeats = 1 + static_cast<index>(0.01 / (warm.values[0] + warm.values[1]) / 4.0);
  const int rounds = quick ? 3 : 7;
  for (int round = 0; round < rounds; ++round) {
    layer.time(repeats, row.ours, decision);
  }
}

template <class Select, class Expert, class Traits>
void share(const Shape& shape, const Select& select, const char* name, const Options& options,
           Scalar scalar, std::vector<Row>& rows) {
  Progress::detail(std::string(shape.name) + ": share of the router");
  RoutedLayer<Select, Expert, Traits> layer(shape, select, options.most_threads());
  Row row;
  row.workload = shape.name;
  row.scalar = name_of(scalars, scalar);
  row.pass = "forward";
  row.sweep = "router";
  row.parameter = "tokens";
  row.value = static_cast<double>(shape.tokens);
  row.threads = options.most_threads();
  Samples decision;
  measure(layer, options.quick, row, decision);
  row.rivals.push_back({"route", decision, row.ours});
  const double part = row.rivals[0].ratio();
  row.more = {{"router_share", part}, {"experts_per_token", layer.experts_per_token()}};
  Progress::clear();
  std::printf("%-9s %-4s %-10s %2td %7td %11.1f %9.3f %9.4f %6.1f%%\n", row.workload.c_str(),
              row.scalar.c_str(), name, row.threads, shape.tokens, row.more[1].second,
              row.ours.median() * 1e3, decision.median() * 1e3, part * 100.0);
  std::fflush(stdout);
  rows.push_back(std::move(row));
}

template <class Traits>
void shares(const Options& options, Scalar scalar, std::vector<Row>& rows) {
  using Relu = xmoe::expert::Ffn<xmoe::activation::Relu>;
  using Silu = xmoe::expert::Glu<xmoe::activation::Silu>;
  const Shape& w1 = *find_shape("W1");
  for (const Shape& shape : {w1, w1.with_tokens(1)}) {
    share<xmoe::select::Threshold, Relu, Traits>(shape, {}, "threshold", options, scalar, rows);
  }
  for (const char* name : {"W2", "W3", "W4", "W5", "W6b", "W6a"}) {
    const Shape& shape = *find_shape(name);
    const xmoe::select::TopK top_k{.k = shape.per_token + shape.shared};
    if (shape.gated) {
      share<xmoe::select::TopK, Silu, Traits>(shape, top_k, "top k", options, scalar, rows);
    } else {
      share<xmoe::select::TopK, Relu, Traits>(shape, top_k, "top k", options, scalar, rows);
    }
  }
}

template <class Traits>
void thresholds(const Options& options, Scalar scalar, std::vector<Row>& rows) {
  using Relu = xmoe::expert::Ffn<xmoe::activation::Relu>;
  const Shape& shape = *find_shape("W1");
  RoutedLayer<xmoe::select::Threshold, Relu, Traits> layer(shape, {}, options.most_threads());
  for (const float t :
       {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 0.85f, 0.9f, 0.95f, 0.98f, 0.99f}) {
    layer.set({.threshold = t});
    Row row;
    row.workload = shape.name;
    row.scalar = name_of(scalars, scalar);
    row.pass = "forward";
    row.sweep = "threshold";
    row.parameter = "threshold";
    row.value = static_cast<double>(t);
    row.threads = options.most_threads();
    const double chosen = layer.experts_per_token();
    Samples decision;
    measure(layer, options.quick, row, decision);
    row.rivals.push_back({"route", decision, row.ours});
    // over a layer of 8 experts of 3072 of which a token visits one, as the paper counts
    const double r_use = chosen * static_cast<double>(shape.expert_dim) / 3072.0;
    row.more = {{"experts_per_token", chosen}, {"r_use", r_use}};
    Progress::clear();
    std::printf("%-9s %-4s %9.2f %13.2f %6.3f %9.3f %4.1f%% %9.4f\n", row.workload.c_str(),
                row.scalar.c_str(), row.value, chosen, r_use, row.ours.median() * 1e3,
                row.ours.spread() * 100.0, decision.median() * 1e3);
    std::fflush(stdout);
    rows.push_back(std::move(row));
  }
}

template <class F>
void for_each_scalar(const Options& options, const F& body) {
  for (const Scalar scalar : options.scalars) {
    if (scalar == Scalar::bf16) {
      body.template operator()<xmoe::Cpu<float, xmoe::bfloat16>>(scalar);
    } else {
      body.template operator()<xmoe::Cpu<float>>(scalar);
    }
  }
}

}  // namespace

void run_router_share(const Options& options, std::vector<Row>& rows) {
  std::printf(
      "\nshare of the router (gate, softmax, selection) in a forward\n"
      "%-9s %-4s %-10s %2s %7s %11s %9s %9s %7s\n",
      "workload", "", "selection", "n", "tokens", "experts/tok", "layer ms", "router ms", "share");
  for_each_scalar(options,
                  [&]<class Traits>(Scalar scalar) { shares<Traits>(options, scalar, rows); });
}

void run_threshold_sweep(const Options& options, std::vector<Row>& rows) {
  std::printf(
      "\nsweep: threshold (softmax router; r_use: FLOPs over those of a top-1 layer 8 x "
      "3072)\n%-9s %-4s %9s %13s %6s %9s %5s %9s\n",
      "workload", "", "threshold", "experts/token", "r_use", "layer ms", "+-", "router ms");
  for_each_scalar(options,
                  [&]<class Traits>(Scalar scalar) { thresholds<Traits>(options, scalar, rows); });
}

}  // namespace xmoe_bench
