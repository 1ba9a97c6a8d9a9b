// SPDX-License-Identifier: Apache-2.0
#include <xmoe/interop/metrics_fields.hpp>

#include <set>
#include <string>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

/// Fields of a struct, by name; each at another address inside the struct.
template <class M>
std::set<std::string> names_of() {
  const M metrics{};
  std::set<std::string> names;
  std::set<const void*> places;
  std::size_t bytes = 0, count = 0;
  interop::fields::each(metrics, [&](const char* name, const auto& field) {
    names.insert(name);
    places.insert(&field);
    bytes += sizeof(field);
    ++count;
  });
  CHECK(names.size() == count);
  CHECK(places.size() == count);
  CHECK(bytes == sizeof(M));  // all of it: these structs have no gaps
  return names;
}

TEST_CASE("metrics fields: every field has its own name and place", "[interop]") {
  CHECK(names_of<metrics::Overlap>() == std::set<std::string>{"common", "jaccard", "share"});
  CHECK(names_of<Summary>().count("capacity") == 1);
  CHECK(names_of<Distribution>().size() == 6);
  CHECK(names_of<Statistics>().count("first_choice_drop_percent") == 1);
  CHECK(names_of<metrics::Load>().size() == 2);
  CHECK(names_of<metrics::Balance>().count("gini") == 1);
  CHECK(names_of<metrics::Confidence>().count("margin") == 1);
  CHECK(names_of<metrics::Agreement>().count("saturation") == 1);
  CHECK(names_of<metrics::Stickiness>().count("reuse_by_chance") == 1);
  CHECK(names_of<metrics::Sparsity>().count("chunk_level") == 1);
  CHECK(names_of<metrics::Specialization>().count("information") == 1);
}

TEST_CASE("metrics fields: a name is that of the value", "[interop]") {
  const metrics::Balance b = metrics::balance({4, 2, 1, 1});
  interop::fields::each(b, [&](const std::string& name, const auto& field) {
    if constexpr (std::is_same_v<decltype(field), const double&>) {
      CHECK((name != "gini" || field == b.gini));
      CHECK((name != "cv_squared" || field == b.cv_squared));
      CHECK((name != "perplexity" || field == b.perplexity));
    }
  });
}

TEST_CASE("metrics fields: what has none", "[interop]") {
  STATIC_REQUIRE(interop::MetricsStruct<Statistics>);
  STATIC_REQUIRE(!interop::MetricsStruct<double>);
  STATIC_REQUIRE(!interop::MetricsStruct<std::vector<double>>);
  STATIC_REQUIRE(!interop::MetricsStruct<metrics::LabelCounts>);  // a heat map: write its shares
}

}  // namespace
}  // namespace xmoe
