// SPDX-License-Identifier: Apache-2.0
// More routers in a whole layer against the oracle, in double: renormalized thresholds, top-1,
// limits on the number of experts, a placeholder, other priorities.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using reference::Priority;
using reference::Score;
using reference::Select;
using reference::Weigh;
using tests::index;

template <class Sel, class W, class D>
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, Sel, W>, expert::Ffn<activation::Relu>,
                       D, Cpu<double>>;

tests::CaseOptions options(Select select, Weigh weigh) {
  tests::CaseOptions o;
  o.shape = {23, 5, 11, 7};
  o.activation = reference::Activation::relu;
  o.router.select = select;
  o.router.weigh = weigh;
  o.router.threshold = 0.8;
  return o;
}

TEST_CASE("threshold, normalized, at most three", "[layer][oracle]") {
  auto o = options(Select::threshold, Weigh::normalized);
  o.router.max_experts = 3;
  tests::check_layer<Layer<select::Threshold, weigh::Normalized, dispatch::Dropless>>(
      tests::random_case(1, o));
}

TEST_CASE("one expert a token under capacity", "[layer][oracle]") {
  auto o = options(Select::top_k, Weigh::raw);
  o.router.k = 1;
  o.capacity = {true, 1.0, 1, Priority::rank_then_probability, {}};
  tests::check_layer<Layer<select::TopOne, weigh::Raw, dispatch::Capacity>>(
      tests::random_case(2, o));
}

TEST_CASE("placeholder in front of the experts", "[layer][oracle]") {
  auto o = options(Select::threshold, Weigh::raw);
  o.router.placeholder = true;
  o.capacity = {true, 1.0, 1, Priority::rank_then_probability, {}};
  tests::check_layer<
      Layer<select::Threshold, weigh::Raw, dispatch::WithPlaceholder<dispatch::Capacity>>>(
      tests::random_case(3, o));
}

TEST_CASE("by token, softmax of the picked", "[layer][oracle]") {
  auto o = options(Select::threshold, Weigh::softmax_of_chosen);
  o.capacity = {true, 1.5, 1, Priority::rank_then_token, {}};
  tests::check_layer<Layer<select::Threshold, weigh::SoftmaxPicked,
                           dispatch::CapacityBy<priority::RankThenToken>>>(
      tests::random_case(4, o));
}

TEST_CASE("by probability", "[layer][oracle]") {
  auto o = options(Select::threshold, Weigh::raw);
  o.capacity = {true, 1.5, 1, Priority::probability, {}};
  tests::check_layer<
      Layer<select::Threshold, weigh::Raw, dispatch::CapacityBy<priority::Probability>>>(
      tests::random_case(5, o));
}

}  // namespace
