// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <tuple>

#include "support/policy_case.hpp"

// Every policy stands once or more in the list of its slot; the suites run for each entry, and
// listing_test.cpp compares the lists with the headers.
namespace conformance {

using tests::index;

/// A policy with hyper-parameters, and the header that it comes from.
template <class P>
struct Entry {
  const char* header;  ///< stem: "threshold" for router/select/threshold.hpp
  P policy;
};
template <class P>
Entry(const char*, P) -> Entry<P>;

/// body(entry) for every entry of a list; the text of a failure names it.
template <class List, class F>
void each(const List& list, F&& body) {
  index place = 0;
  std::apply(
      [&](const auto&... entry) {
        const auto one = [&](const auto& e) {
          INFO("entry " << place++ << ", " << e.header << ".hpp");
          body(e);
        };
        (one(entry), ...);
      },
      list);
}

template <class List>
std::vector<std::string> headers(const List& list) {
  std::vector<std::string> names;
  each(list, [&](const auto& e) { names.emplace_back(e.header); });
  return names;
}

inline constexpr index all_tokens[] = {0, 1, 2, 17, 33};
inline constexpr index all_experts[] = {1, 2, 3, 7, 8, 60, 64};

/// out[i] = v[order[i]], in rows of `cols`.
template <class T>
std::vector<T> permuted(const std::vector<T>& v, const std::vector<index>& order, index cols = 1) {
  std::vector<T> result;
  for (const index i : order) {
    result.insert(result.end(), v.begin() + i * cols, v.begin() + (i + 1) * cols);
  }
  return result;
}

/// Every tensor of a bundle, stored by name and loaded by name into another bundle.
template <class S, class Own>
void check_round_trip(Own& own, Own& other) {
  xmoe::Parameters from, to;
  xmoe::detail::append(from, "policy.", own);
  xmoe::detail::append(to, "policy.", other);
  REQUIRE(from.size() == to.size());
  for (const xmoe::Parameter& p : from) {
    std::vector<S> numbers(static_cast<std::size_t>(p.size()));
    p.template as<S>().store(numbers);
    index found = 0;
    for (const xmoe::Parameter& q : to) {
      if (q.name == p.name) {
        ++found;
        q.template as<S>().load(numbers);
      }
    }
    CHECK(found == 1);  // names are distinct, and the same in every bundle
  }
  for (std::size_t i = 0; i < from.size(); ++i) {
    CHECK(tests::wide(from[i].template as<S>().values()) ==
          tests::wide(to[i].template as<S>().values()));
  }
}

}  // namespace conformance
