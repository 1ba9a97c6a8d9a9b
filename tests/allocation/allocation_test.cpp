// SPDX-License-Identifier: Apache-2.0
// On prepared memory, forward, record and backward allocate nothing. Counts every operator new of
// this program.
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {
std::atomic<long> allocations = 0;

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (p == nullptr) {
    std::abort();  // in a test: out of memory
  }
  return p;
}
}  // namespace

// Every form, so that no sanitizer sees memory of one allocator go back to another.
#define COUNTED [[gnu::noinline]] void*
#define FREED [[gnu::noinline]] void
constexpr std::size_t usual = alignof(std::max_align_t);
using Nothrow = const std::nothrow_t&;
using Align = std::align_val_t;

COUNTED operator new(std::size_t n) { return counted(n, usual); }
COUNTED operator new[](std::size_t n) { return counted(n, usual); }
COUNTED operator new(std::size_t n, Align a) { return counted(n, std::size_t(a)); }
COUNTED operator new[](std::size_t n, Align a) { return counted(n, std::size_t(a)); }
COUNTED operator new(std::size_t n, Nothrow) noexcept { return counted(n, usual); }
COUNTED operator new[](std::size_t n, Nothrow) noexcept { return counted(n, usual); }
COUNTED operator new(std::size_t n, Align a, Nothrow) noexcept {
  return counted(n, std::size_t(a));
}
COUNTED operator new[](std::size_t n, Align a, Nothrow) noexcept {
  return counted(n, std::size_t(a));
}
FREED operator delete(void* p) noexcept { std::free(p); }
FREED operator delete[](void* p) noexcept { std::free(p); }
FREED operator delete(void* p, std::size_t) noexcept { std::free(p); }
FREED operator delete[](void* p, std::size_t) noexcept { std::free(p); }
FREED operator delete(void* p, Align) noexcept { std::free(p); }
FREED operator delete[](void* p, Align) noexcept { std::free(p); }
FREED operator delete(void* p, std::size_t, Align) noexcept { std::free(p); }
FREED operator delete[](void* p, std::size_t, Align) noexcept { std::free(p); }
FREED operator delete(void* p, Nothrow) noexcept { std::free(p); }
FREED operator delete[](void* p, Nothrow) noexcept { std::free(p); }
FREED operator delete(void* p, Align, Nothrow) noexcept { std::free(p); }
FREED operator delete[](void* p, Align, Nothrow) noexcept { std::free(p); }

#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

template <class Layer>
void check_no_allocation(const tests::Case& c, index threads) {
  using S = tests::scalar_of<Layer>;
  const index tokens = c.x.rows;
  const Layer layer = tests::make_layer<Layer>(c.setup, cpu::Backend(threads));
  const Numbers<S> x(c.x), dy(c.dy);
  Numbers<S> y(tokens, c.x.cols), dx(tokens, c.x.cols);
  Workspace scratch(layer.workspace_bytes(tokens));
  Workspace training(layer.training_workspace_bytes(tokens));
  typename Layer::Tape tape;
  layer.prepare(tape, tokens);
  typename Layer::Gradients g = layer.make_gradients();

  long before = allocations;
  const auto spent = [&] {
    const long now = allocations;
    return now - std::exchange(before, now);
  };
  for (int repeat = 0; repeat < 3; ++repeat) {
    layer.forward(scratch, x.view(), y.view());
    CHECK(spent() == 0);
    layer.record(training, x.view(), y.view(), tape);
    CHECK(spent() == 0);
    layer.backward(training, tape, dy.view(), dx.view(), g);
    CHECK(spent() == 0);
    spent();
  }
  CHECK(scratch.peak() <= scratch.capacity());
  // fewer tokens fit the same memory
  const index few = tokens / 2;
  const auto part = [&](auto view) {
    return decltype(view)(view.data(), few, view.cols(), view.stride());
  };
  spent();
  layer.forward(scratch, part(x.view()), part(y.view()));
  layer.record(training, part(x.view()), part(y.view()), tape);
  layer.backward(training, tape, part(dy.view()), part(dx.view()), g);
  CHECK(spent() == 0);
  // and a layer that kept its own memory allocates nothing the second time
  layer.forward(x.view(), y.view());
  spent();
  layer.forward(x.view(), y.view());
  CHECK(spent() == 0);
}

tests::CaseOptions options() {
  tests::CaseOptions o;
  o.shape = {50, 6, 19, 23};
  o.router.threshold = 0.8;
  o.gate_bias = true;
  return o;
}

TEST_CASE("the counter counts", "[allocation]") {
  const long before = allocations;
  void* const memory = ::operator new(100);  // a plain call: compilers may drop unused vectors
  const long after = allocations;
  ::operator delete(memory);
  CHECK(after == before + 1);
}

TEST_CASE("threshold with capacity allocates nothing", "[allocation]") {
  auto o = options();
  o.activation = reference::Activation::gelu_tanh;
  o.capacity = {true, 2.0, 1, reference::Priority::rank_then_probability, {}};
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                         expert::Ffn<activation::Gelu>, dispatch::Capacity>;
  for (index threads : {1, 3}) {
    check_no_allocation<Layer>(tests::random_case(1, o), threads);
  }
}

TEST_CASE("dropless top-k of gated experts allocates nothing", "[allocation]") {
  auto o = options();
  o.router.select = reference::Select::top_k;
  o.router.k = 3;
  o.gated = true;
  o.activation = reference::Activation::silu;
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                         expert::Glu<activation::Silu>, dispatch::Dropless>;
  for (index threads : {1, 3}) {
    check_no_allocation<Layer>(tests::random_case(2, o), threads);
  }
}

TEST_CASE("workspace_bytes holds for every routing and is no more than needed", "[allocation]") {
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                         expert::Ffn<activation::Relu>, dispatch::Dropless>;
  auto o = options();
  o.router.select = reference::Select::top_k;
  o.router.k = 2;
  for (double spread : {0.0, 1.0, 100.0}) {  // all equal, mixed, sure
    o.logit_spread = spread;
    const tests::Case c = tests::random_case(3, o);
    const Layer layer = tests::make_layer<Layer>(c.setup);
    const Numbers<float> x(c.x);
    Numbers<float> y(50, 19);
    Workspace exact(layer.workspace_bytes(50));
    layer.forward(exact, x.view(), y.view());
    CHECK(exact.peak() == exact.capacity());
  }
}

}  // namespace
