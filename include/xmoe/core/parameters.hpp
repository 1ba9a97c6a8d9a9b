// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/panels.hpp>

#include <string>
#include <variant>
#include <vector>

namespace xmoe::inline XMOE_ABI {

/// What a tensor is for.
enum class Role {
  trained,     ///< changed by an optimizer
  remembered,  ///< saved with the model, but no gradient leads to it (selection biases)
};

/// One named tensor of a layer; a reference into the layer, its gradients or its moments.
struct Parameter {
  std::string name;  ///< "router.gate.weight", "expert.up.weight", ...
  Role role = Role::trained;
  std::variant<Panels<float>*, Panels<double>*, Panels<bfloat16>*, Panels<half>*> tensor;

  /// The tensor, when its scalar is S. Throws value_error otherwise.
  template <class S>
  Panels<S>& as() const {
    if (auto* const* found = std::get_if<Panels<S>*>(&tensor)) {
      return **found;
    }
    detail::fail<value_error>("xmoe::Parameter::as: '%s' has another scalar type", name.c_str());
  }
  index size() const {
    return std::visit([](const auto* t) { return t->size(); }, tensor);
  }
};

/// The ordered list of a layer's tensors: initialise, optimise, count, save and check share it.
/// Valid as long as the layer (or gradients) it was taken from is neither moved nor destroyed.
using Parameters = std::vector<Parameter>;

/// Numbers in all tensors, padding excluded.
inline index count(const Parameters& parameters) {
  index total = 0;
  for (const Parameter& p : parameters) {
    total += p.size();
  }
  return total;
}

/// Bundle of a policy that owns nothing.
struct NoWeights {
  static void tensors(auto&, auto&&) {}
};

/// What a policy owns on given traits: its member template `Weights`, or NoWeights.
namespace detail {
template <class Policy, class Traits>
struct find_weights {
  using type = NoWeights;
};
template <class Policy, class Traits>
requires requires { typename Policy::template Weights<Traits>; }
struct find_weights<Policy, Traits> {
  using type = typename Policy::template Weights<Traits>;
};

/// Visits the tensors of a part of a bundle under a prefix.
template <class Part, class Visit>
void nested(Part& part, const char* prefix, Visit& visit) {
  std::remove_const_t<Part>::tensors(
      part, [&](const char* name, auto& tensor, Role role = Role::trained) {
        visit((std::string(prefix) + name).c_str(), tensor, role);
      });
}

/// Appends the tensors of a bundle under a prefix.
template <class Weights>
void append(Parameters& list, const std::string& prefix, Weights& weights) {
  Weights::tensors(weights, [&](const char* name, auto& tensor, Role role = Role::trained) {
    if (tensor.count() > 0) {
      list.push_back({prefix + name, role, &tensor});
    }
  });
}
}  // namespace detail

template <class Policy, class Traits>
using weights_of = typename detail::find_weights<Policy, Traits>::type;

}  // namespace xmoe::inline XMOE_ABI
