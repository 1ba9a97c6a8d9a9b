// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/policy_case.hpp"

namespace tests {

/// Two trained tensors and a remembered one, with gradients.
template <class S>
struct List {
  xmoe::Panels<S> a{1, 2, 3}, b{1, 2, 1}, c{1, 2, 1}, da{1, 2, 3}, db{1, 2, 1}, dc{1, 2, 1};
  xmoe::Parameters parameters{{"a", xmoe::Role::trained, &a},
                              {"b", xmoe::Role::trained, &b},
                              {"c", xmoe::Role::remembered, &c}};
  xmoe::Parameters gradients{{"a", xmoe::Role::trained, &da},
                             {"b", xmoe::Role::trained, &db},
                             {"c", xmoe::Role::remembered, &dc}};

  List() {
    a.load(std::vector<S>{1, 2, 3, 4, 5, 6});
    b.load(std::vector<S>{-1, 10});
    c.load(std::vector<S>{7, 7});
    da.load(narrow<S>({0.5, -1, 0, 0.25, 2, -3}));
    db.load(narrow<S>({1e-3, -40}));
    dc.load(std::vector<S>{1, 1});
  }
  /// The numbers of a and b, or of their gradients.
  reference::Vector values() const { return both(a, b); }
  reference::Vector slopes() const { return both(da, db); }

 private:
  static reference::Vector both(const xmoe::Panels<S>& first, const xmoe::Panels<S>& second) {
    std::vector<S> one(6), two(2);
    first.store(one);
    second.store(two);
    reference::Vector all = wide(one);
    for (const S v : two) {
      all.push_back(static_cast<double>(v));
    }
    return all;
  }
};

/// A float option as the optimizer sees it.
inline double exactly(float option) { return static_cast<double>(option); }

}  // namespace tests
