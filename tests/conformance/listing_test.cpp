// SPDX-License-Identifier: Apache-2.0
#include "conformance/listing.hpp"

#include <fstream>
#include <random>

#include "conformance/batch_select.hpp"
#include "conformance/dispatch.hpp"
#include "conformance/expert.hpp"
#include "conformance/gate.hpp"
#include "conformance/loss.hpp"
#include "conformance/score.hpp"
#include "conformance/select.hpp"
#include "conformance/weigh.hpp"
#include "support/catch.hpp"

namespace conformance {
namespace {

namespace fs = std::filesystem;
using Problems = std::vector<std::string>;

template <class List>
std::set<std::string> stems(const List& list) {
  const std::vector<std::string> names = headers(list);
  return {names.begin(), names.end()};
}

/// Selectors stand in two lists, by what they see.
std::set<std::string> all_selects() {
  std::set<std::string> all = stems(selects());
  all.merge(stems(batch_selects()));
  return all;
}

listing::Lists lists() {
  return {{"router/gate", stems(gates())},
          {"router/score", stems(scores())},
          {"router/select", all_selects()},
          {"router/weigh", stems(weighs())},
          {"dispatch", stems(dispatches())},
          {"expert", stems(experts())},
          {"training/loss", stems(std::tuple_cat(losses(), other_losses()))}};
}
/// Headers in policy folders that hold no policy; and weigh/sampled, whose weights depend on what
/// was not chosen and whose gradient is an estimate: its own test has its contract.
const std::set<std::string>& no_policies() {
  static const std::set<std::string> all = {
      "expert/activation.hpp",     "expert/init.hpp",        "expert/steps.hpp",
      "dispatch/grouping.hpp",     "dispatch/priority.hpp",  "router/weigh/sampled.hpp",
      "router/select/parts.hpp",   "training/loss/over.hpp", "router/select/auction.hpp",
      "router/select/by_token.hpp"};
  return all;
}
/// Not "recipes": a recipe is a few lines about policies that have their own tests. What holds for
/// all of them, and that each is listed, is tests/recipes/catalogue_test.cpp; their routers are
/// compared with formulas in catalogue_*_test.cpp, many in one file.
const std::vector<listing::Room>& rooms() {
  static const std::vector<listing::Room> all = {
      {"core"},    {"backend"},  {"router"},  {"expert"},  {"dispatch"},
      {"metrics"}, {"training"}, {"convert"}, {"interop"}, {"backend/cuda", "cuda", ".cuh"}};
  return all;
}
/// Headers that are tested under another name: parts that show only through what is built of them.
const std::map<std::string, std::string>& elsewhere() {
  static const std::map<std::string, std::string> all = {
      {"backend/cpu/multiply.hpp", "backend/cpu/grouped_forward_test.cpp"},
      {"backend/cpu/vector.hpp", "backend/cpu/grouped_forward_test.cpp"},
      {"router/select/auction.hpp", "router/select/assign_test.cpp"},
      {"router/select/by_token.hpp", "router/select/column_test.cpp"},
      {"core/checks.hpp", "layer/error_test.cpp"},
      {"router/adjust/expert_dropout.hpp", "router/gate/adjusted_test.cpp"},
      {"router/adjust/gauss_noise.hpp", "router/gate/adjusted_test.cpp"},
      {"router/adjust/gumbel_noise.hpp", "router/gate/adjusted_test.cpp"},
      {"router/adjust/mask.hpp", "router/gate/adjusted_test.cpp"},
      {"router/adjust/temper.hpp", "router/gate/adjusted_test.cpp"},
      {"router/gate/noisy.hpp", "router/gate/cosine_test.cpp"},
      {"router/gate/projected.hpp", "router/gate/cosine_test.cpp"},
      {"router/near_best.hpp", "router/weigh/sampled_test.cpp"},
      {"router/select/draw.hpp", "router/weigh/sampled_test.cpp"},
      {"core/run.hpp", "layer/training_test.cpp"},
      {"training/control/coefficient_servo.hpp", "training/control/load_bias_test.cpp"},
      {"training/control/schedule.hpp", "training/control/load_bias_test.cpp"},
      {"recipes/composition.hpp", "recipes/catalogue_test.cpp"},
      {"core/scratch_pool.hpp", "threads/determinism_test.cpp"},
      {"backend/cuda/call.cuh", "cuda/moe_layer_call_test.cpp"},
      {"interop/device_layer.hpp", "cuda/handle_test.cpp"},
      {"router/select/parts.hpp", "conformance/select_test.cpp"},
      {"backend/cuda/capacity_claims.cuh", "cuda/capacity_test.cpp"},
      {"backend/cuda/combine_kernels.cuh", "cuda/combine_test.cpp"},
      {"backend/cuda/dispatch.cuh", "cuda/moe_layer_test.cpp"},
      {"backend/cuda/error.cuh", "cuda/platform_test.cpp"},
      {"backend/cuda/expert.cuh", "cuda/moe_layer_test.cpp"},
      {"backend/cuda/gate_gradient.cuh", "cuda/gate_test.cpp"},
      {"backend/cuda/gate_product.cuh", "cuda/gate_test.cpp"},
      {"backend/cuda/gradients.cuh", "cuda/moe_layer_call_test.cpp"},
      {"backend/cuda/grouped_ffn_kernel.cuh", "cuda/grouped_ffn_test.cpp"},
      {"backend/cuda/lanes.cuh", "cuda/route_test.cpp"},
      {"backend/cuda/loss_kernels.cuh", "cuda/loss_test.cpp"},
      {"backend/cuda/readback.cuh", "cuda/moe_layer_call_test.cpp"},
      {"backend/cuda/route_backward.cuh", "cuda/route_test.cpp"},
      {"backend/cuda/route_forward.cuh", "cuda/route_test.cpp"},
      {"backend/cuda/route_lanes.cuh", "cuda/route_test.cpp"},
      {"backend/cuda/router.cuh", "cuda/moe_layer_test.cpp"},
      {"backend/cuda/routing.cuh", "cuda/route_test.cpp"},
      {"backend/cuda/runtime.cuh", "cuda/platform_test.cpp"},
      {"backend/cuda/sort_chunk.cuh", "cuda/sort_test.cpp"},
      {"backend/cuda/tape.cuh", "cuda/moe_layer_call_test.cpp"},
      {"backend/cuda/traits.cuh", "cuda/moe_layer_call_test.cpp"}};
  return all;
}
/// Tests in these rooms that mirror no header.
const std::set<std::string>& no_mirrors() {
  static const std::set<std::string> all = {
      "cuda/emulation_faults_test.cpp",  "cuda/emulation_races_test.cpp",
      "cuda/emulation_runtime_test.cpp", "cuda/emulation_trace_test.cpp",
      "cuda/moe_layer_call_test.cpp",    "cuda/moe_layer_narrow_test.cpp",
      "cuda/moe_layer_races_test.cpp",   "cuda/route_races_test.cpp",
      "cuda/grouped_races_test.cpp",     "cuda/traffic_grouped_test.cpp",
      "cuda/traffic_router_test.cpp",    "cuda/traffic_rows_test.cpp",
      "cuda/gpu_check_test.cpp",         "cuda/route_family_test.cpp"};
  return all;
}

void show(const Problems& problems) {
  for (const std::string& p : problems) {
    UNSCOPED_INFO(p);
  }
}

TEST_CASE("listing: every policy stands in a conformance list", "[conformance]") {
  const Problems problems = listing::unlisted(XMOE_TEST_ROOT, lists(), no_policies());
  show(problems);
  CHECK(problems.empty());
}

TEST_CASE("listing: every header has its test, every test its header", "[conformance]") {
  const Problems problems = listing::unmirrored(XMOE_TEST_ROOT, rooms(), elsewhere(), no_mirrors());
  show(problems);
  CHECK(problems.empty());
}

/// A small tree of headers and tests in a temporary folder.
class Planted {
 public:
  Planted()
      : root_(fs::temp_directory_path() /
              ("xmoe_listing_" + std::to_string(std::random_device()()))) {
    add("include/xmoe/router/gate/linear.hpp");
    add("include/xmoe/expert/ffn.hpp");
    add("include/xmoe/expert/steps.hpp");
    add("tests/router/gate/linear_test.cpp");
    add("tests/expert/ffn_test.cpp");
    add("tests/expert/steps_test.cpp");
    add("include/xmoe/backend/cuda/sort.cuh");
    add("tests/cuda/sort_test.cpp");
    add("tests/cuda/races_test.cpp");
  }
  ~Planted() { fs::remove_all(root_); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;

  void add(const std::string& path) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << "\n";
  }
  void remove(const std::string& path) { fs::remove(root_ / path); }
  Problems unlisted() const {
    return listing::unlisted(root_, {{"router/gate", {"linear"}}, {"expert", {"ffn"}}},
                             {"expert/steps.hpp"});
  }
  Problems unmirrored() const {
    return listing::unmirrored(root_, {{"router"}, {"expert"}, {"backend/cuda", "cuda", ".cuh"}},
                               {{"expert/glu.hpp", "expert/ffn_test.cpp"}},
                               {"cuda/races_test.cpp"});
  }

 private:
  fs::path root_;
};

TEST_CASE("listing: the checker accepts a good tree", "[conformance]") {
  Planted tree;
  CHECK(tree.unlisted().empty());
  CHECK(tree.unmirrored().empty());
  tree.add("include/xmoe/expert/glu.hpp");  // tested elsewhere
  CHECK(tree.unmirrored().empty());
}

TEST_CASE("listing: the checker reports what is missing", "[conformance]") {
  Planted tree;
  SECTION("a policy without an entry and a test") {
    tree.add("include/xmoe/router/gate/cosine.hpp");
    CHECK(tree.unlisted() == Problems{"router/gate/cosine.hpp is in no conformance list"});
    CHECK(tree.unmirrored() ==
          Problems{"router/gate/cosine.hpp has no test tests/router/gate/cosine_test.cpp"});
  }
  SECTION("an entry without a policy") {
    tree.remove("include/xmoe/expert/ffn.hpp");
    CHECK(tree.unlisted() == Problems{"expert has no header for the list's ffn"});
    CHECK(tree.unmirrored() == Problems{"tests/expert/ffn_test.cpp has no header expert/ffn.hpp"});
  }
  SECTION("an exception that is none any more") {
    tree.remove("include/xmoe/expert/steps.hpp");
    CHECK(tree.unlisted() == Problems{"the exception expert/steps.hpp does not exist"});
  }
  SECTION("a room whose tests lie elsewhere") {
    tree.remove("tests/cuda/sort_test.cpp");
    CHECK(tree.unmirrored() ==
          Problems{"backend/cuda/sort.cuh has no test tests/cuda/sort_test.cpp"});
    tree.add("tests/cuda/sort_test.cpp");
    tree.remove("include/xmoe/backend/cuda/sort.cuh");
    CHECK(tree.unmirrored() ==
          Problems{"tests/cuda/sort_test.cpp has no header backend/cuda/sort.cuh"});
  }
  SECTION("a test without a mirror that is gone") {
    tree.remove("tests/cuda/races_test.cpp");
    CHECK(tree.unmirrored() == Problems{"the exception tests/cuda/races_test.cpp does not exist"});
  }
  SECTION("a test that was lost") {
    tree.remove("tests/router/gate/linear_test.cpp");
    CHECK(tree.unmirrored() ==
          Problems{"router/gate/linear.hpp has no test tests/router/gate/linear_test.cpp"});
  }
}

}  // namespace
}  // namespace conformance
