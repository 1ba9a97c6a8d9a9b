// SPDX-License-Identifier: Apache-2.0
#include "tree.hpp"

#include <random>

#include "support/catch.hpp"

namespace {

namespace fs = std::filesystem;

/// A tree of headers in a temporary folder: one good header a room, and what a test adds.
class Planted {
 public:
  Planted() {
    static int number = 0;
    root_ = fs::temp_directory_path() / ("xmoe_tree_" + std::to_string(std::random_device()()) +
                                         "_" + std::to_string(++number));
    add("core/view.hpp", "", "");
    add("router/gate/linear.hpp", "::gate", "#include <xmoe/core/view.hpp>\n");
    add("backend/cpu/backend.hpp", "::cpu", "#include <Eigen/Core>\n#include <vector>\n");
    add("moe_layer.hpp", "", "#include <xmoe/backend/cpu/backend.hpp>\n");
    add("xmoe.hpp", "", "#include <xmoe/moe_layer.hpp>\n#include <xmoe/router/gate/linear.hpp>\n");
  }
  ~Planted() { fs::remove_all(root_); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;

  void add(const std::string& path, const std::string& space, const std::string& includes) {
    write(path, "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n" + includes +
                    "\nnamespace xmoe::inline XMOE_ABI" + space + " {\n}\n");
  }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / "xmoe" / path).parent_path());
    std::ofstream(root_ / "xmoe" / path) << text;
  }
  /// The rules that are broken, each once.
  std::set<std::string> broken() const {
    std::set<std::string> rules;
    for (const tree::Finding& finding : tree::check(root_)) {
      rules.insert(finding.rule);
    }
    return rules;
  }

 private:
  fs::path root_;
};

using Rules = std::set<std::string>;

}  // namespace

TEST_CASE("the headers keep the rules of the tree", "[static]") {
  const std::vector<tree::Finding> findings = tree::check(fs::path(XMOE_TEST_ROOT) / "include");
  for (const tree::Finding& finding : findings) {
    UNSCOPED_INFO(finding.rule << ": " << finding.file << ": " << finding.text);
  }
  CHECK(findings.empty());
  CHECK(tree::read_all(fs::path(XMOE_TEST_ROOT) / "include").size() > 20);
}

TEST_CASE("the checker accepts a good tree", "[static]") {
  Planted good;
  CHECK(good.broken().empty());
  good.add("interop/eigen.hpp", "::interop", "#include <Eigen/Core>\n#include <map>\n");
  CHECK(good.broken().empty());
}

TEST_CASE("the checker reports each broken rule", "[static]") {
  Planted bad;
  SECTION("a room to the right") {
    bad.add("core/view.hpp", "", "#include <xmoe/router/gate/linear.hpp>\n");
    CHECK(bad.broken() == Rules{"order"});
  }
  SECTION("a room beside") {
    bad.add("expert/ffn.hpp", "::expert", "#include <xmoe/router/gate/linear.hpp>\n");
    bad.add("moe_layer.hpp", "",
            "#include <xmoe/backend/cpu/backend.hpp>\n#include <xmoe/expert/ffn.hpp>\n");
    CHECK(bad.broken() == Rules{"order"});
  }
  SECTION("the umbrella from inside") {
    bad.add("router/gate/linear.hpp", "::gate", "#include <xmoe/xmoe.hpp>\n");
    CHECK(bad.broken() == Rules{"order", "umbrella"});
  }
  SECTION("a room that the design does not have") {
    bad.add("utils/helpers.hpp", "::utils", "");
    CHECK(bad.broken() == Rules{"room", "umbrella"});
  }
  SECTION("Eigen in a public room") {
    bad.add("core/view.hpp", "", "#include <Eigen/Core>\n");
    CHECK(bad.broken() == Rules{"eigen"});
    bad.add("core/view.hpp", "", "#include <unsupported/Eigen/CXX11/ThreadPool>\n");
    CHECK(bad.broken() == Rules{"eigen"});
  }
  SECTION("a heavy standard header") {
    const std::string header = GENERATE(as<std::string>(), "ranges", "random", "iostream", "regex",
                                        "filesystem", "functional", "map");
    bad.add("core/view.hpp", "", "#include <" + header + ">\n");
    CHECK(bad.broken() == Rules{"heavy"});
  }
  SECTION("a header that does not exist") {
    bad.add("core/view.hpp", "", "#include <xmoe/core/shape.hpp>\n");
    CHECK(bad.broken() == Rules{"missing"});
  }
  SECTION("a header in quotes") {
    bad.add("core/view.hpp", "", "#include \"config.hpp\"\n");
    CHECK(bad.broken() == Rules{"quotes"});
  }
  SECTION("another namespace than the folder's") {
    bad.add("router/gate/linear.hpp", "::select", "#include <xmoe/core/view.hpp>\n");
    CHECK(bad.broken() == Rules{"namespace"});
    bad.add("router/gate/linear.hpp", "", "#include <xmoe/core/view.hpp>\n");
    CHECK(bad.broken() == Rules{"namespace"});
  }
  SECTION("no license line") {
    bad.write("core/view.hpp", "#pragma once\n");
    CHECK(bad.broken() == Rules{"license"});
  }
  SECTION("no guard") {
    bad.write("core/view.hpp", "// SPDX-License-Identifier: Apache-2.0\n");
    CHECK(bad.broken() == Rules{"once"});
  }
  SECTION("too long") {
    bad.add("core/view.hpp", "", std::string(400, '\n'));
    CHECK(bad.broken() == Rules{"length"});
  }
  SECTION("forgotten in the umbrella") {
    bad.add("router/gate/cosine.hpp", "::gate", "#include <xmoe/core/view.hpp>\n");
    CHECK(bad.broken() == Rules{"umbrella"});
  }
  SECTION("forgotten in the umbrella of CUDA") {
    bad.add("backend/cuda/sort.cuh", "::cuda", "");
    bad.add("backend/cuda/route.cuh", "::cuda", "");
    bad.add("cuda.cuh", "", "#include <xmoe/backend/cuda/sort.cuh>\n");
    CHECK(bad.broken() == Rules{"umbrella"});
  }
  SECTION("CUDA in a .hpp") {
    bad.add("backend/cuda/backend.cuh", "::cuda", "");
    bad.add("moe_layer.hpp", "",
            "#include <xmoe/backend/cpu/backend.hpp>\n#include <xmoe/backend/cuda/backend.cuh>\n");
    CHECK(bad.broken() == Rules{"cuda", "order"});
  }
  SECTION("another suffix") {
    bad.add("core/view.h", "", "");
    CHECK(bad.broken() == Rules{"suffix"});
  }
}

TEST_CASE("the top of the repository holds what the design names", "[static]") {
  const std::set<std::string> allowed = {
      "include",        "tests",   "bench",     "examples", "cmake",
      "CMakeLists.txt", "LICENSE", "README.md", "build",    "CMakePresets.json"};
  for (const auto& entry : fs::directory_iterator(XMOE_TEST_ROOT)) {
    const std::string name = entry.path().filename().string();
    INFO(name);
    CHECK((name[0] == '.' || name == "CMakeUserPresets.json" || allowed.count(name) > 0));
  }
}
