// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/autotune.hpp>

#include <filesystem>
#include <functional>
#include <thread>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using cpu::AutotuneOptions;
using cpu::AutotuneResult;
using cpu::Tuning;

/// Stands for a layer: takes the time, and gives the numbers, that a test wants.
struct Actor {
  using traits = Cpu<float>;
  cpu::Workers workers{1};
  std::function<int(const Tuning&)> microseconds;
  std::function<float(const Tuning&)> answer = [](const Tuning&) { return 1.f; };
  mutable int calls = 0;

  Sizes sizes() const { return {2, 3, 4}; }
  const cpu::Workers& backend() const { return workers; }
  void set_backend(cpu::Workers w) { workers = w; }
  void forward(const Batch<float>&, Out<float> y) const {
    ++calls;
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::microseconds(microseconds(workers.tuning()));
    while (std::chrono::steady_clock::now() < end) {
    }
    for (index i = 0; i < y.rows() * y.cols(); ++i) {
      y.data()[i] = answer(workers.tuning());
    }
  }
};
const std::vector<float> numbers(10, 1.f);
const Batch<float> five(In<float>(numbers.data(), 5, 2));

struct CacheFile {
  std::string path =
      (std::filesystem::temp_directory_path() /
       ("xmoe_tuning_" + std::to_string(std::hash<std::thread::id>{}(std::this_thread::get_id())) +
        std::to_string(std::chrono::steady_clock::now().time_since_epoch().count())))
          .string();
  ~CacheFile() { std::filesystem::remove(path); }
};

TEST_CASE("autotune: takes what is faster, and says by how much", "[backend]") {
  Actor actor;
  actor.microseconds = [](const Tuning& t) { return t.column_items_per_thread == 2 ? 100 : 400; };
  const AutotuneResult r = cpu::autotune(actor, five);
  CHECK(r.tuning.column_items_per_thread == 2);
  CHECK(r.ratio < 0.9);
  CHECK(r.tried >= 8);
  CHECK(r.rejected == 0);
  CHECK(actor.workers.tuning() == r.tuning);
}

TEST_CASE("autotune: the default stays when nothing beats it", "[backend]") {
  Actor actor;
  actor.microseconds = [](const Tuning& t) { return t == Tuning{} ? 100 : 300; };
  const AutotuneResult r = cpu::autotune(actor, five);
  CHECK(r.tuning == Tuning{});
  CHECK(r.ratio == 1.0);
  CHECK(actor.workers.tuning() == Tuning{});
}

TEST_CASE("autotune: faster but other numbers is refused", "[backend]") {
  Actor actor;
  actor.microseconds = [](const Tuning& t) { return t.distance == 4096 ? 50 : 300; };
  actor.answer = [](const Tuning& t) { return t.distance == 4096 ? 2.f : 1.f; };
  const AutotuneResult r = cpu::autotune(actor, five);
  CHECK(r.tuning == Tuning{});
  CHECK(r.rejected == 1);
}

TEST_CASE("autotune: a real layer gives the same bits under every tuning", "[backend]") {
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                         expert::Glu<activation::Silu>, dispatch::Dropless>;
  Layer layer({96, 5, 70}, {}, cpu::Backend(2));
  layer.initialize({.seed = 1});
  tests::Generator random(2);
  const std::vector<float> x = tests::narrow<float>(tests::normals(random, 300 * 96));
  const In<float> tokens(x.data(), 300, 96);
  std::vector<float> want(x.size()), got(x.size());
  layer.forward(tokens, Out<float>(want.data(), 300, 96));
  cpu::Backend backend = layer.backend();
  for (const Tuning& t :
       {Tuning{1, 1, 1, 1}, Tuning{100, 100, 1 << 30, 1 << 20}, Tuning{7, 3, 40'000, 64}}) {
    backend.set_tuning(t);
    layer.set_backend(backend);
    layer.forward(tokens, Out<float>(got.data(), 300, 96));
    CHECK(tests::same_bits(got, want));
  }
  const AutotuneResult r = cpu::autotune(layer, Batch<float>(tokens), {.rounds = 1});
  CHECK(r.rejected == 0);
  layer.forward(tokens, Out<float>(got.data(), 300, 96));
  CHECK(tests::same_bits(got, want));
}

TEST_CASE("autotune: the cache is text, read back, and asked before measuring", "[backend]") {
  const CacheFile file;
  Actor actor;
  actor.microseconds = [](const Tuning& t) { return t.cache_bytes == 300 * 1024 ? 50 : 200; };
  const AutotuneOptions options{.rounds = 3, .cache = file.path};
  const AutotuneResult first = cpu::autotune(actor, five, options);
  CHECK_FALSE(first.cached);
  CHECK(first.tuning.cache_bytes == 300 * 1024);
  std::ifstream in(file.path);
  std::string line;
  REQUIRE(std::getline(in, line));
  INFO(line);
  CHECK(line.find("model_dim 2, experts 3, expert_dim 4, tokens 5") != std::string::npos);
  CHECK(line.find("cache_bytes 307200") != std::string::npos);
  Actor other = actor;
  other.set_backend(cpu::Workers(1));
  other.calls = 0;
  const AutotuneResult again = cpu::autotune(other, five, options);
  CHECK(again.cached);
  CHECK(again.tuning == first.tuning);
  CHECK(other.calls == 0);
  CHECK(other.workers.tuning() == first.tuning);
  const Batch<float> four(In<float>(numbers.data(), 4, 2));  // another case: measured
  CHECK_FALSE(cpu::autotune(other, four, options).cached);
}

TEST_CASE("autotune: what is wrong with the options or the file", "[backend]") {
  Actor actor;
  actor.microseconds = [](const Tuning&) { return 1; };
  CHECK(tests::message_of<value_error>([&] { cpu::autotune(actor, five, {.rounds = 0}); }) ==
        "xmoe::cpu::autotune: rounds is 0, gain is 0.03; need at least 1, and a share below "
        "1");
  const CacheFile file;
  std::ofstream(file.path) << "somebody's notes\n";
  CHECK(tests::message_of<io_error>([&] { cpu::autotune(actor, five, {.cache = file.path}); }) ==
        "xmoe::cpu::autotune: " + file.path + ", line 1: cannot read 'somebody's notes'");
  CHECK(tests::message_of<io_error>([&] {
          cpu::autotune(actor, five, {.rounds = 1, .cache = "/no/such/folder/file"});
        }) == "xmoe::cpu::autotune: cannot write /no/such/folder/file");
  CHECK(tests::message_of<value_error>([] { cpu::Workers(1).set_tuning({.distance = 0}); }) ==
        "xmoe::cpu::Backend::set_tuning: items_per_thread 12, column_items_per_thread 4, "
        "cache_bytes 614400, distance 0: all must be at least 1");
}

}  // namespace
}  // namespace xmoe
