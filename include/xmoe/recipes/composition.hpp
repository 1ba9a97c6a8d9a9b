// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <string>
#include <string_view>

namespace xmoe::inline XMOE_ABI::recipes {

/// The name of a type as one would write it inside of namespace xmoe: without that namespace, and
/// without the name of the inline one. Template arguments that are defaults are named too.
template <class T>
std::string type_name() {
  const std::string_view function = __PRETTY_FUNCTION__;  // ... [with T = NAME; ...] or [T = NAME]
  const std::size_t begin = function.find("T = ") + 4;
  const std::size_t stop = function.find(';', begin);
  const std::size_t end = stop == std::string_view::npos ? function.rfind(']') : stop;
  std::string name(function.substr(begin, end - begin));
  for (std::size_t at = name.find("xmoe::"); at != std::string::npos; at = name.find("xmoe::")) {
    name.erase(at, 6);
    if (name.compare(at, 2, "v0") == 0) {
      name.erase(at, name.find("::", at) + 2 - at);
    }
  }
  for (std::size_t at = name.find(" >"); at != std::string::npos; at = name.find(" >")) {
    name.erase(at, 1);
  }
  return name;
}

}  // namespace xmoe::inline XMOE_ABI::recipes
