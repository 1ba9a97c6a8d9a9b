// SPDX-License-Identifier: Apache-2.0
// What a call on the device does besides its numbers: bits, memory, waiting, errors, reports.
#include "layer_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

using ThresholdRouter = Router<gate::Linear, score::Softmax, select::Threshold>;
template <class Traits, class Dispatch = dispatch::Dropless>
using LayerOn = MoeLayer<ThresholdRouter, expert::Ffn<>, Dispatch, Traits>;

Case case_of(Shape shape, std::uint64_t seed = 21) {
  CaseOptions o;
  o.shape = shape;
  o.activation = reference::Activation::gelu_tanh;
  o.gate_bias = true;
  o.router.threshold = 0.7;
  return random_case(seed, o);
}

/// All bits of a result.
template <class S>
std::vector<std::uint8_t> bytes(const std::vector<S>& numbers) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(numbers.data());
  return {first, first + numbers.size() * sizeof(S)};
}

/// y of the first `rows` tokens.
template <class L>
std::vector<std::uint8_t> forward(const ThroughCopies<L>& layer, const Case& c, index rows) {
  using S = scalar_of<L>;
  const index cols = c.x.cols;
  auto numbers = rounded<S>(c.x.values);
  numbers.resize(static_cast<std::size_t>(rows * cols));
  const OnDevice<S> x(numbers), y(ThroughCopies<L>::nans(rows * cols));
  layer.layer.forward(typename L::ConstMatrix(matrix(x, rows, cols)), matrix(y, rows, cols));
  return bytes(y.numbers());
}

TEMPLATE_TEST_CASE("device layer: weights start as on the CPU", "[cuda][layer]", float, double,
                   bfloat16, half) {
  using Host = Cpu<sum_type<TestType>, TestType>;
  LayerOn<Host> host({12, 4, 9});
  LayerOn<Cuda<TestType>> device({12, 4, 9});
  host.initialize({.seed = 5});
  device.initialize({.seed = 5});
  const auto list = device.parameters();
  const auto want = host.parameters();
  REQUIRE(list.size() == want.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    CHECK(list[i].name == want[i].name);
    std::vector<double> got(static_cast<std::size_t>(list[i].size()));
    list[i].store(nullptr, std::span<double>(got));
    std::visit(
        [&](auto* t) {
          using W = std::remove_cvref_t<decltype(t->at(0, 0))>;
          std::vector<W> numbers(static_cast<std::size_t>(t->size()));
          t->store(std::span<W>(numbers));
          REQUIRE(got.size() == numbers.size());
          for (std::size_t j = 0; j < got.size(); ++j) {
            const bool bias = list[i].name.find("bias") != std::string::npos;
            const double w = number(numbers[j]);
            CHECK(got[j] == (bias ? number(TestType(static_cast<sum_type<TestType>>(w))) : w));
            sum += std::abs(w);
          }
        },
        want[i].tensor);
  }
  CHECK(sum > 1.0);
  // and back
  LayerOn<Host> other({12, 4, 9});
  cuda::download(nullptr, device.parameters(), other.parameters());
  std::vector<double> a(static_cast<std::size_t>(list[0].size())), b(a);
  other.parameters()[0].template as<typename Host::routing>();
  device.parameters()[0].store(nullptr, std::span<double>(a));
  device.initialize({.seed = 6});
  device.parameters()[0].store(nullptr, std::span<double>(b));
  CHECK(a != b);
}

TEMPLATE_TEST_CASE("device layer: float and double have the CPU's bits", "[cuda][layer]", float,
                   double) {
  using S = TestType;
  const Case c = case_of({45, 7, 24, 40});
  const ThroughCopies<LayerOn<Cuda<S>>> device(c.setup);
  auto host = make_layer<LayerOn<Cpu<S>>>(c.setup);
  const Numbers<S> x(c.x);
  Numbers<S> y(45, 24);
  host.forward(x.view(), y.view());
  const std::vector<S> want(y.view().data(), y.view().data() + 45 * 24);
  CHECK(forward(device, c, 45) == bytes(want));
  const auto ours = device.route(x.view());
  const auto theirs = host.route(x.view());
  CHECK(std::equal(ours.expert().begin(), ours.expert().end(), theirs.expert().begin(),
                   theirs.expert().end()));
  CHECK(bytes(std::vector<typename Cuda<S>::routing>(ours.weight().begin(), ours.weight().end())) ==
        bytes(std::vector<typename Cuda<S>::routing>(theirs.weight().begin(),
                                                     theirs.weight().end())));
}

TEMPLATE_TEST_CASE("device layer: the same bits for any order of threads, device and batch mates",
                   "[cuda][layer]", float, double, bfloat16, half) {
  const Case c = case_of({37, 5, 24, 40});
  const ThroughCopies<LayerOn<Cuda<TestType>>> layer(c.setup);
  const auto all = forward(layer, c, 37);
  for (const unsigned seed : {1u, 2u}) {
    for (const int multiprocessors : {1, 7}) {
      const Emulated emulated(seed, multiprocessors);
      CHECK(forward(layer, c, 37) == all);
      const auto few = forward(layer, c, 3);
      CHECK(std::equal(few.begin(), few.end(), all.begin()));
    }
  }
}

TEMPLATE_TEST_CASE("device layer: any stride and alignment, the same bits", "[cuda][layer]", float,
                   double, bfloat16, half) {
  using S = TestType;
  using L = LayerOn<Cuda<S>>;
  const Case c = case_of({37, 5, 24, 40});
  const ThroughCopies<L> held(c.setup);
  const auto want = forward(held, c, 37);
  const auto numbers = rounded<S>(c.x.values);
  for (const index stride : {25, 32}) {
    std::vector<S> wide(static_cast<std::size_t>(37 * stride), S(7.f));
    for (index t = 0; t < 37; ++t) {
      std::copy_n(numbers.begin() + t * 24, 24, wide.begin() + t * stride);
    }
    const OnDevice<S> x(wide, 1), y(wide, 1);  // one number behind an aligned address
    held.layer.forward(typename L::ConstMatrix(matrix(x, 37, 24, stride)),
                       matrix(y, 37, 24, stride));
    const auto all = y.numbers();
    std::vector<S> got;
    for (index t = 0; t < 37; ++t) {
      got.insert(got.end(), all.begin() + t * stride, all.begin() + t * stride + 24);
      CHECK(number(all[static_cast<std::size_t>((t + 1) * stride - 1)]) == 7.0);  // gaps are left
    }
    CHECK(bytes(got) == want);
  }
}

TEST_CASE("device layer: jitter and random priorities are the CPU's", "[cuda][layer]") {
  using D = dispatch::CapacityBy<priority::Random>;
  Case c = case_of({45, 7, 24, 40});
  c.setup.capacity = {true, 0.6, 1, reference::Priority::rank_then_probability, {}};
  ThroughCopies<LayerOn<Cuda<float>, D>> device(c.setup);
  auto host = make_layer<LayerOn<Cpu<float>, D>>(c.setup);
  device.layer.config().router.gate.jitter = host.config().router.gate.jitter = 0.3f;
  const Numbers<float> x(c.x), dy(c.dy);
  Numbers<float> y(45, 24), dx(45, 24);
  const OnDevice<float> there(rounded<float>(c.x.values)), dy_there(rounded<float>(c.dy.values));
  const OnDevice<float> y_there(rounded<float>(c.x.values)), dx_there(rounded<float>(c.x.values));
  decltype(host)::Tape host_tape;
  std::remove_cvref_t<decltype(device.layer)>::Tape tape;
  auto gradients = host.make_gradients();
  auto sums = device.layer.make_gradients();
  std::vector<std::uint8_t> last;
  for (const std::uint64_t stream : {1u, 2u}) {
    host.record(x.view(), y.view(), host_tape, {9, stream});
    host.backward(host_tape, dy.view(), dx.view(), gradients);
    const cuda::DeviceMatrix<const float> in(matrix(there, 45, 24)), up(matrix(dy_there, 45, 24));
    device.layer.record(in, matrix(y_there, 45, 24), tape, {9, stream});
    device.layer.backward(tape, up, matrix(dx_there, 45, 24), sums);
    const auto got = bytes(y_there.numbers());
    CHECK(got == bytes(std::vector<float>(y.view().data(), y.view().data() + 45 * 24)));
    CHECK(got != last);
    last = got;
    check_close<float>("dx", widened(dx_there.numbers()), numbers(dx.view()), 100);
  }
  std::vector<double> a(7 * 24), b(a);
  sums.parameters()[0].store(nullptr, std::span<double>(a));
  std::vector<float> want(7 * 24);
  gradients.parameters()[0].as<float>().store(std::span<float>(want));
  check_close<float>("gate", a, widened(want), 100);
  CHECK(magnitude(a) > 0.1);
}

TEST_CASE("device layer: with its own workspace a call neither allocates, copies nor waits",
          "[cuda][layer]") {
  using L = LayerOn<Cuda<float>, dispatch::Capacity>;
  const Case c = case_of({37, 5, 24, 40});
  const ThroughCopies<L> held(c.setup);
  const L& layer = held.layer;
  const OnDevice<float> x(rounded<float>(c.x.values)), dy(rounded<float>(c.dy.values));
  const OnDevice<float> y(ThroughCopies<L>::nans(37 * 24)), dx(ThroughCopies<L>::nans(37 * 24));
  cuda::DeviceWorkspace workspace(layer.workspace_bytes(37));
  cuda::DeviceWorkspace scratch(layer.training_workspace_bytes(37));
  L::Tape tape;
  layer.prepare(tape, 37);
  auto gradients = layer.make_gradients();
  const L::ConstMatrix in(matrix(x, 37, 24));

  const auto before = emulation::counters();
  layer.forward(workspace, in, matrix(y, 37, 24));
  layer.record(scratch, in, matrix(y, 37, 24), tape);
  layer.add_loss(tape, loss::ZLoss{});
  layer.backward(scratch, tape, L::ConstMatrix(matrix(dy, 37, 24)), matrix(dx, 37, 24), gradients);
  const auto after = emulation::counters();
  CHECK(after.launches > before.launches);
  CHECK(after.allocations == before.allocations);
  CHECK(after.frees == before.frees);
  CHECK(after.copies == before.copies);
  CHECK(after.synchronizations == before.synchronizations);
  // the twin: what reads is seen
  layer.summary();
  CHECK(emulation::counters().copies > after.copies);
  CHECK(emulation::counters().synchronizations > after.synchronizations);
}

TEST_CASE("device layer: the workspace is exact", "[cuda][layer][error]") {
  using L = LayerOn<Cuda<float>>;
  const Case c = case_of({9, 5, 24, 40});
  const ThroughCopies<L> held(c.setup);
  const OnDevice<float> x(rounded<float>(c.x.values)), y(ThroughCopies<L>::nans(9 * 24));
  const index bytes = held.layer.workspace_bytes(9);
  cuda::DeviceWorkspace enough(bytes), short_of(bytes - 1);
  held.layer.forward(enough, L::ConstMatrix(matrix(x, 9, 24)), matrix(y, 9, 24));
  CHECK_THROWS_AS(held.layer.forward(short_of, L::ConstMatrix(matrix(x, 9, 24)), matrix(y, 9, 24)),
                  value_error);
}

TEST_CASE("device layer: summary and statistics are the CPU's", "[cuda][layer]") {
  using D = dispatch::WithPlaceholder<dispatch::Capacity>;
  CaseOptions o;
  o.shape = {40, 5, 12, 9};
  o.router.threshold = 0.7;
  o.router.placeholder = true;
  o.capacity = {true, 0.6, 1, reference::Priority::rank_then_probability, {}};
  const Case c = random_case(3, o);
  const ThroughCopies<LayerOn<Cuda<double>, D>> device(c.setup);
  auto host = make_layer<LayerOn<Cpu<double>, D>>(c.setup);
  std::vector<std::uint8_t> mask(40, 1);
  mask[3] = mask[17] = 0;
  const Numbers<double> x(c.x);
  Numbers<double> y(40, 12);
  decltype(host)::Tape host_tape;
  const Summary want = host.record({x.view(), {mask.data(), 40}}, y.view(), host_tape);

  const OnDevice<double> dx(rounded<double>(c.x.values)),
      dy(ThroughCopies<decltype(device.layer)>::nans(40 * 12));
  const OnDevice<std::uint8_t> valid(mask);
  std::remove_cvref_t<decltype(device.layer)>::Tape tape;
  device.layer.record({matrix(dx, 40, 12), {valid.data(), 40}}, matrix(dy, 40, 12), tape);
  const Summary got = device.layer.summary(Mode::train);
  CHECK(got.tokens == want.tokens);
  CHECK(got.wanted == want.wanted);
  CHECK(got.kept == want.kept);
  CHECK(got.dropped == want.dropped);
  CHECK(got.capacity == want.capacity);
  CHECK(want.dropped > 0);
  const Statistics a = device.layer.statistics(tape);
  const Statistics b = host.statistics(host_tape);
  CHECK(a.load == b.load);
  CHECK(a.claims == b.claims);
  CHECK(a.entropy == b.entropy);
  CHECK(a.skip_ratio == b.skip_ratio);
  CHECK(a.flops_padded == b.flops_padded);
  CHECK(a.first_choice_drop_percent == b.first_choice_drop_percent);
  CHECK(b.entropy > 0.1);
}

TEST_CASE("device layer: a decision made elsewhere", "[cuda][layer]") {
  using L = LayerOn<Cuda<float>, dispatch::Capacity>;
  const Case c = case_of({31, 5, 24, 40});
  const ThroughCopies<L> held(c.setup);
  const auto want = forward(held, c, 31);
  const OnDevice<float> x(rounded<float>(c.x.values)), y(ThroughCopies<L>::nans(31 * 24));
  const L::ConstMatrix in(matrix(x, 31, 24));
  auto routing = held.layer.route(in);
  held.layer.apply(in, routing, matrix(y, 31, 24));
  CHECK(bytes(y.numbers()) == want);
  std::vector<float> weight(routing.weight().begin(), routing.weight().end());
  weight[weight.size() / 2] += 1.f;
  held.layer.apply(in, Routing<float>::from(5, routing.offsets(), routing.expert(), weight),
                   matrix(y, 31, 24));
  CHECK(bytes(y.numbers()) != want);
  const index none[1] = {0};
  CHECK_THROWS_AS(held.layer.apply(in, Routing<float>::from(5, none, {}, {}), matrix(y, 31, 24)),
                  shape_error);
}

TEST_CASE("device layer: nothing to do", "[cuda][layer]") {
  using L = LayerOn<Cuda<float>>;
  const ThroughCopies<L> held(case_of({1, 5, 24, 40}).setup);
  const L& layer = held.layer;
  L::Tape tape;
  auto gradients = layer.make_gradients();
  layer.forward(L::ConstMatrix(nullptr, 0, 24), L::Matrix(nullptr, 0, 24));
  layer.record(L::ConstMatrix(nullptr, 0, 24), L::Matrix(nullptr, 0, 24), tape);
  layer.add_loss(tape, loss::ZLoss{});
  layer.backward(tape, L::ConstMatrix(nullptr, 0, 24), L::Matrix(nullptr, 0, 24), gradients);
  CHECK(layer.losses(tape) == 0.0);
  CHECK(layer.summary().kept == 0);
  CHECK_FALSE(gradients.touched(0));
  CHECK(layer.statistics(tape).load == std::vector<index>(5, 0));
}

TEST_CASE("device layer: losses have the CPU's values", "[cuda][layer]") {
  using Balance = loss::LoadBalance<loss::counting::FirstChoice, loss::over::Scores>;
  const Case c = case_of({37, 5, 24, 40});
  const ThroughCopies<LayerOn<Cuda<double>>> device(c.setup);
  auto host = make_layer<LayerOn<Cpu<double>>>(c.setup);
  const Numbers<double> x(c.x);
  Numbers<double> y(37, 24);
  decltype(host)::Tape host_tape;
  host.record(x.view(), y.view(), host_tape);
  const double want =
      host.add_loss(host_tape, Balance{0.5f}) + host.add_loss(host_tape, loss::ZLoss{0.25f});
  const OnDevice<double> dx(rounded<double>(c.x.values)), dy(std::vector<double>(37 * 24));
  std::remove_cvref_t<decltype(device.layer)>::Tape tape;
  device.layer.record(std::remove_cvref_t<decltype(device.layer)>::ConstMatrix(matrix(dx, 37, 24)),
                      matrix(dy, 37, 24), tape);
  device.layer.add_loss(tape, Balance{0.5f});
  device.layer.add_loss(tape, loss::ZLoss{0.25f});
  CHECK(within(device.layer.losses(tape), want, 1e-13 * std::abs(want)));
  CHECK(want > 0.1);
  for (int i = 2; i < 16; ++i) {
    device.layer.add_loss(tape, loss::ZLoss{});
  }
  CHECK_THROWS_AS(device.layer.add_loss(tape, loss::ZLoss{}), value_error);
}

TEST_CASE("device layer: gradients add up, start anew, know who was touched", "[cuda][layer]") {
  using L = LayerOn<Cuda<float>>;
  Case c = case_of({6, 40, 24, 10});
  const ThroughCopies<L> held(c.setup);
  const OnDevice<float> x(rounded<float>(c.x.values)), dy(rounded<float>(c.dy.values));
  const OnDevice<float> y(ThroughCopies<L>::nans(6 * 24)), dx(ThroughCopies<L>::nans(6 * 24));
  L::Tape tape;
  held.layer.record(L::ConstMatrix(matrix(x, 6, 24)), matrix(y, 6, 24), tape);
  auto gradients = held.layer.make_gradients();
  const auto all = [&] {
    std::vector<float> numbers;
    for (const auto& p : gradients.parameters()) {
      std::vector<float> some(static_cast<std::size_t>(p.size()));
      p.store(nullptr, std::span<float>(some));
      numbers.insert(numbers.end(), some.begin(), some.end());
    }
    return numbers;
  };
  const auto run = [&] {
    held.layer.backward(tape, L::ConstMatrix(matrix(dy, 6, 24)), matrix(dx, 6, 24), gradients);
  };
  run();
  const auto once = all();
  const auto load = held.layer.statistics(tape).load;
  index idle = 0;
  for (index e = 0; e < 40; ++e) {
    CHECK(gradients.touched(e) == (load[static_cast<std::size_t>(e)] > 0));
    idle += gradients.touched(e) ? 0 : 1;
  }
  CHECK(idle > 0);
  run();
  const auto twice = all();
  CHECK(twice != once);
  gradients.restart();
  run();
  CHECK(all() == once);
  gradients.zero();
  CHECK(all() == std::vector<float>(once.size(), 0.f));
  CHECK_FALSE(gradients.touched(0));
  run();
  CHECK(all() == once);
}

TEST_CASE("device layer: a bad logit is reported by the next summary", "[cuda][layer][error]") {
  using L = LayerOn<Cuda<float>>;
  Case c = case_of({9, 5, 24, 40});
  ThroughCopies<L> held(c.setup);
  auto numbers = rounded<float>(c.x.values);
  numbers[5 * 24 + 7] = std::numeric_limits<float>::quiet_NaN();
  const OnDevice<float> x(numbers), y(ThroughCopies<L>::nans(9 * 24));
  held.layer.forward(L::ConstMatrix(matrix(x, 9, 24)), matrix(y, 9, 24));
  std::string text;
  try {
    held.layer.summary();
  } catch (const value_error& e) {
    text = e.what();
  }
  INFO(text);
  CHECK(text.find("token 5, expert 0 is NaN or +Inf") != std::string::npos);
  CHECK(held.layer.summary().tokens == 9);  // it is said once
  held.layer.config().router.nonfinite = NonFinite::propagate;
  held.layer.forward(L::ConstMatrix(matrix(x, 9, 24)), matrix(y, 9, 24));
  CHECK(held.layer.summary().tokens == 9);
  const auto result = y.numbers();
  CHECK(is_nan(result[5 * 24]));
  CHECK_FALSE(is_nan(result[4 * 24]));
}

TEST_CASE("device layer: errors name function, argument and numbers", "[cuda][layer][error]") {
  using L = LayerOn<Cuda<float>>;
  ThroughCopies<L> held(case_of({9, 5, 24, 40}).setup);
  const OnDevice<float> x(std::vector<float>(9 * 24, 1.f)), y(std::vector<float>(9 * 24));
  const L::ConstMatrix in(matrix(x, 9, 24));
  const auto text_of = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const xmoe::error& e) {
      return e.what();
    }
    return "no error";
  };
  const auto launches = emulation::counters().launches;
  CHECK(text_of([&] { held.layer.forward(in, matrix(y, 8, 24)); }) ==
        "xmoe::MoeLayer::forward: y has 8 rows, must have 9");
  CHECK(text_of([&] { held.layer.forward(L::ConstMatrix(matrix(x, 9, 23)), matrix(y, 9, 24)); }) ==
        "xmoe::MoeLayer::forward: x has 23 columns, model_dim is 24");
  CHECK(text_of([&] { held.layer.forward(in, matrix(x, 9, 24)); }) ==
        "xmoe::MoeLayer::forward: y [9 x 24] overlaps x in memory");
  CHECK(text_of([&] {
          held.layer.forward(L::ConstMatrix(nullptr, 2147483647, 24),
                             L::Matrix(nullptr, 2147483647, 24));
        }).find("points nowhere") != std::string::npos);
  CHECK(
      text_of([&] { held.layer.workspace_bytes(1000000000); }) ==
      "xmoe::MoeLayer: 1000000000 tokens with up to 5 experts each are more than 2147483647 rows; "
      "split the batch");
  L::Tape tape;
  auto gradients = held.layer.make_gradients();
  CHECK(text_of([&] { held.layer.backward(tape, in, matrix(y, 9, 24), gradients); }) ==
        "xmoe::MoeLayer::backward: nothing is recorded on this tape");
  held.layer.record(in, matrix(y, 9, 24), tape);
  const LayerOn<Cuda<float>> other({24, 6, 40});
  auto foreign = other.make_gradients();
  CHECK(text_of([&] {
          held.layer.backward(tape, in, matrix(y, 9, 24), foreign);
        }).find("use make_gradients()") != std::string::npos);
  const L::Tape moved = std::move(tape);
  CHECK(text_of([&] { held.layer.losses(tape); }) ==
        "xmoe::MoeLayer::losses: nothing is recorded on this tape");
  CHECK(held.layer.losses(moved) == 0.0);
  CHECK(text_of([&] {
          L({24, 5, 0});
        }) == "xmoe::MoeLayer: model_dim 24, experts 5, expert_dim 0: each must be 1 or more");
  CHECK(text_of([&] {
          L({24, 1500000000, 8});
        }).find("too large for a device") != std::string::npos);
  CHECK(text_of([&] {
          LayerOn<Cpu<float>> host({24, 6, 40});
          cuda::upload(nullptr, host.parameters(), held.layer.parameters());
        }).find("names, order and shapes must be the same") != std::string::npos);
  CHECK(emulation::counters().launches > launches);
}

TEST_CASE("device layer: without a device there is a clear error", "[cuda][layer][error]") {
  const KeptSettings kept;
  CHECK(cuda::available());
  emulation::settings().devices = 0;
  CHECK_FALSE(cuda::available());
  std::string text;
  int code = 0;
  try {
    LayerOn<Cuda<float>> layer({8, 4, 4});
  } catch (const cuda_error& e) {
    text = e.what();
    code = e.code;
  }
  INFO(text);
  CHECK(text.find("xmoe::cuda::Backend") != std::string::npos);
  CHECK(code != 0);
}

TEST_CASE("device layer: what runs on a device and what does not", "[cuda][layer]") {
  using T = Cuda<bfloat16>;
  STATIC_REQUIRE(supports<ThresholdRouter, T>);
  STATIC_REQUIRE(
      supports<
          Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
          T>);
  STATIC_REQUIRE(supports<expert::Ffn<>, T>);
  STATIC_REQUIRE(supports<expert::Glu<>, T>);
  STATIC_REQUIRE(supports<dispatch::Dropless, T>);
  STATIC_REQUIRE(supports<dispatch::Capacity, T>);
  STATIC_REQUIRE(supports<dispatch::WithPlaceholder<dispatch::CapacityBy<priority::Random>>, T>);
  STATIC_REQUIRE(supports<loss::ZLoss, T>);
  struct Gate {};
  STATIC_REQUIRE_FALSE(supports<Gate, T>);
  STATIC_REQUIRE_FALSE(supports<select::Threshold, T>);  // a slot's policy alone is no router
}

}  // namespace
}  // namespace tests
