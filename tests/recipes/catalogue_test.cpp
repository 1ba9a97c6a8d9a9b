// SPDX-License-Identifier: Apache-2.0
#include <xmoe/recipes/catalogue.hpp>

#include <xmoe/xmoe.hpp>

#include <filesystem>
#include <map>
#include <set>

#include "support/catch.hpp"

namespace xmoe {
namespace {

std::map<std::string, int> systems() {
  std::map<std::string, int> count;
  recipes::for_each([&](const auto& recipe) { ++count[recipe.citation.system]; });
  return count;
}

TEST_CASE("catalogue: every recipe says where it comes from", "[recipes]") {
  recipes::for_each([](const auto& recipe) {
    const recipes::Citation& c = recipe.citation;
    INFO(c.system);
    const std::string source = c.source, verified = c.verified;
    CHECK(std::string(c.title).size() > 5);
    const bool paper = source.size() == 10 && source.find('.') == 4 &&
                       source.find_first_not_of("0123456789.") == std::string::npos;
    CHECK((paper || source.find('/') != std::string::npos));  // or a repository
    CHECK((verified.find("authors' code") == 0 || verified.find("formula only") == 0 ||
           verified.find("after the abstract") == 0));
    CHECK(recipe.make().sizes.experts > 1);
    CHECK(recipe.make().sizes.model_dim > 1);
    CHECK(recipe.router().find("v0") == std::string::npos);
    CHECK(recipe.dispatch().find("dispatch::") == 0);
    CHECK(recipe.expert().find("expert::") == 0);
  });
  for (const auto& [system, count] : systems()) {
    INFO(system);
    CHECK(count == 1);
  }
}

TEST_CASE("catalogue: every header of a recipe is in it", "[recipes]") {
  std::set<std::string> headers;
  const auto folder = std::filesystem::path(XMOE_TEST_ROOT) / "include/xmoe/recipes";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    headers.insert(entry.path().stem().string());
  }
  for (const char* part : {"recipe", "catalogue", "composition"}) {
    CHECK(headers.erase(part) == 1);
  }
  CHECK(headers.size() == systems().size());
}

TEST_CASE("catalogue: a type's name", "[recipes]") {
  using recipes::type_name;
  CHECK(type_name<gate::Linear>() == "gate::Linear");
  CHECK(type_name<weigh::Raw>() == "weigh::Raw");
}

}  // namespace
}  // namespace xmoe
