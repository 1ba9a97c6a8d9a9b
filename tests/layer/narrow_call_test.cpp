// SPDX-License-Identifier: Apache-2.0
// What holds for calls of every layer holds for weights of 16 bits: threads, batch mates, memory,
// poison, parameters.
#include "layer/narrow_case.hpp"
#include "support/catch.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

template <class W>
constexpr W quiet_nan = W(std::numeric_limits<float>::quiet_NaN());

tests::Case make_case(std::uint64_t seed, const tests::Shape& shape, bool gated) {
  tests::Case c = tests::random_case(seed, tests::narrow_options(shape, gated, false));
  c.setup = tests::rounded<half>(tests::rounded<bfloat16>(c.setup));
  return c;
}
reference::Matrix picked(const reference::Matrix& m, const std::vector<index>& rows) {
  reference::Matrix result(static_cast<index>(rows.size()), m.cols);
  for (index i = 0; i < result.rows; ++i) {
    reference::set_row(result, i, reference::row_of(m, rows[static_cast<std::size_t>(i)]));
  }
  return result;
}
bool same(const std::vector<tests::Tensor>& a, const std::vector<tests::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& s, const auto& t) { return s.values == t.values; });
}
/// y and the gradient of x of some rows are those rows of all results.
bool rows_same(const std::vector<tests::Tensor>& all, const std::vector<tests::Tensor>& some,
               const std::vector<index>& rows, index dim) {
  for (std::size_t t = 0; t < 2; ++t) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto there = all[t].values.begin() + rows[i] * dim;
      if (!std::equal(there, there + dim, some[t].values.begin() + static_cast<index>(i) * dim)) {
        return false;
      }
    }
  }
  return true;
}

template <class Layer>
void check_threads_and_mates(bool gated) {
  for (const auto& [dim, hidden] :
       std::vector<std::pair<index, index>>{{1, 1}, {33, 31}, {64, 200}, {200, 33}}) {
    INFO("D " << dim << ", H " << hidden);
    const tests::Case c = make_case(3, {130, 5, dim, hidden}, gated);
    Layer layer = tests::make_narrow<Layer>(c.setup, 1);
    const auto all = tests::narrow_results(layer, c);
    CHECK(tests::magnitude(all[0].values) > 0.0);
    for (const index threads : {2, 3, 8}) {
      layer.set_backend(cpu::Backend(threads));
      CHECK(same(all, tests::narrow_results(layer, c)));
    }
    for (const std::vector<index>& rows :
         std::vector<std::vector<index>>{{0}, {129}, {64, 3}, {5, 6, 7, 8, 9, 100, 101}}) {
      tests::Case few = c;
      few.x = picked(c.x, rows);
      few.dy = picked(c.dy, rows);
      CHECK(rows_same(all, tests::narrow_results(layer, few), rows, dim));
    }
    tests::Case other = c;  // the comparison notices another row
    other.x = picked(c.x, {1});
    other.dy = picked(c.dy, {1});
    CHECK_FALSE(rows_same(all, tests::narrow_results(layer, other), {0}, dim));
  }
}

TEMPLATE_TEST_CASE("narrow layer: threads and batch mates change nothing bitwise",
                   "[layer][batch][narrow][threads]", bfloat16, half) {
  check_threads_and_mates<tests::NarrowFfn<TestType>>(false);
  check_threads_and_mates<tests::NarrowGlu<TestType>>(true);
}

TEMPLATE_TEST_CASE("narrow layer: hidden activations in several runs",
                   "[layer][batch][narrow][threads]", bfloat16, half) {
  using Layer = tests::NarrowGlu<TestType>;
  const tests::Case c = make_case(4, {600, 3, 4, 8200}, true);  // 1200 rows, about 1000 fit
  Layer layer = tests::make_narrow<Layer>(c.setup, 1);
  const Numbers<float> x(c.x);
  Numbers<float> y(600, 4), again(600, 4);
  layer.forward(x.view(), y.view());
  layer.set_backend(cpu::Backend(3));
  layer.forward(x.view(), again.view());
  CHECK(y == again);
  for (const index t : {0, 300, 599}) {
    const Numbers<float> one(picked(c.x, {t}));
    Numbers<float> alone(1, 4);
    layer.forward(one.view(), alone.view());
    CHECK(std::equal(&alone.view()(0, 0), &alone.view()(0, 0) + 4, &y.view()(t, 0)));
  }
}

TEMPLATE_TEST_CASE("narrow layer: weights of experts without tokens do not leak", "[layer][narrow]",
                   bfloat16, half) {
  using W = TestType;
  using Layer = tests::NarrowFfn<W>;
  const tests::Case c = make_case(5, {2, 9, 33, 17}, false);
  Layer layer = tests::make_narrow<Layer>(c.setup);
  const auto clean = tests::narrow_results(layer, c);
  const auto routing = layer.route(Numbers<float>(c.x).view());
  index idle = 0;
  for (index e = 0; e < 9; ++e) {
    if (std::count(routing.expert().begin(), routing.expert().end(), e) == 0) {
      ++idle;
      for (const Parameter& p : layer.parameters()) {
        if (auto* const* t = std::get_if<Panels<W>*>(&p.tensor)) {
          std::fill_n((*t)->matrix(e), (*t)->matrix_size(), quiet_nan<W>);
        }
      }
    }
  }
  CHECK(idle > 0);
  CHECK(same(clean, tests::narrow_results(layer, c)));
  for (const Parameter& p : layer.parameters()) {  // and those of the others do
    if (auto* const* t = std::get_if<Panels<W>*>(&p.tensor)) {
      (*t)->at(routing.expert()[0], 0, 0) = quiet_nan<W>;
    }
  }
  CHECK_FALSE(same(clean, tests::narrow_results(layer, c)));
}

/// A workspace of so many bytes, all of them 0xff.
Workspace poisoned(index bytes) {
  Workspace workspace(bytes);
  std::memset(static_cast<void*>(workspace.take<char>(bytes)), 0xff,
              static_cast<std::size_t>(bytes));
  workspace.clear();
  return workspace;
}

template <class Layer>
void check_workspaces(bool gated) {
  const tests::Case c = make_case(6, {37, 4, 45, 31}, gated);
  for (const index threads : {1, 3}) {
    Layer layer = tests::make_narrow<Layer>(c.setup, threads);
    const auto plain = tests::narrow_results(layer, c);
    const Numbers<float> x(c.x), dy(c.dy);
    Numbers<float> y(37, 45), dx(37, 45);
    y.fill(std::numeric_limits<float>::quiet_NaN());
    dx.fill(std::numeric_limits<float>::quiet_NaN());
    Workspace exact = poisoned(layer.workspace_bytes(37));
    layer.forward(exact, x.view(), y.view());
    CHECK(tests::numbers(y.view()) == plain[0].values);
    if (gated) {  // top-k: every routing is the worst one
      CHECK(exact.peak() == exact.capacity());
      Workspace less(layer.workspace_bytes(37) - 64);
      CHECK_THROWS_AS(layer.forward(less, x.view(), y.view()), value_error);
    }
    Workspace training = poisoned(layer.training_workspace_bytes(37));
    typename Layer::Tape tape;
    layer.prepare(tape, 37);
    y.fill(std::numeric_limits<float>::quiet_NaN());
    layer.record(training, x.view(), y.view(), tape);
    auto gradients = layer.make_gradients();
    layer.backward(training, tape, dy.view(), dx.view(), gradients);
    CHECK(tests::numbers(y.view()) == plain[0].values);
    CHECK(tests::numbers(dx.view()) == plain[1].values);
    if (gated) {
      CHECK(training.peak() == training.capacity());
    }
  }
}

TEMPLATE_TEST_CASE("narrow layer: workspaces to the byte, whatever is in them",
                   "[layer][narrow][threads]", bfloat16, half) {
  check_workspaces<tests::NarrowFfn<TestType>>(false);
  check_workspaces<tests::NarrowGlu<TestType>>(true);
}

TEMPLATE_TEST_CASE("narrow layer: workspaces are enough for a batch that is nearly all padding",
                   "[layer][narrow][threads]", bfloat16, half) {
  using Layer = tests::NarrowGlu<TestType>;
  const tests::Case c = make_case(8, {1000, 3, 512, 4}, true);
  const Numbers<float> x(c.x);
  std::vector<std::uint8_t> valid(1000, 0);
  valid[3] = valid[500] = 1;
  for (const index threads : {1, 2, 8}) {
    Layer layer = tests::make_narrow<Layer>(c.setup, threads);
    Numbers<float> y(1000, 512);
    Workspace exact = poisoned(layer.workspace_bytes(1000));
    INFO(threads << " threads");
    CHECK_NOTHROW(layer.forward(exact, Batch<float>{x.view(), {valid.data(), 1000}}, y.view()));
    CHECK(tests::magnitude(tests::numbers(y.view())) > 0.0);
  }
}

TEMPLATE_TEST_CASE("narrow layer: tensors, gradients and memory", "[layer][narrow]", bfloat16,
                   half) {
  using W = TestType;
  using Layer = tests::NarrowFfn<W>;
  const tests::Case c = make_case(7, {3, 4, 64, 96}, false);
  Layer layer = tests::make_narrow<Layer>(c.setup);
  auto gradients = layer.make_gradients();
  const Parameters weights = layer.parameters(), slopes = gradients.parameters();
  REQUIRE(weights.size() == 5);
  REQUIRE(slopes.size() == 5);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::string& name = weights[i].name;
    INFO(name);
    CHECK(slopes[i].name == name);
    CHECK(slopes[i].size() == weights[i].size());
    CHECK(std::holds_alternative<Panels<float>*>(slopes[i].tensor));
    const bool matrix = name == "expert.up.weight" || name == "expert.down.weight";
    CHECK(std::holds_alternative<Panels<W>*>(weights[i].tensor) == matrix);
    CHECK(std::holds_alternative<Panels<float>*>(weights[i].tensor) == !matrix);
    if (matrix) {
      const Panels<float>& wide = slopes[i].as<float>();
      const auto bytes = [](const auto& p) {
        return p.values().size() * static_cast<index>(sizeof(p.values()[0]));
      };
      CHECK(2 * bytes(weights[i].as<W>()) == bytes(wide));
      CHECK_THROWS_AS(weights[i].as<float>(), value_error);
    }
  }
  CHECK(count(weights) == count(slopes));
}

}  // namespace
