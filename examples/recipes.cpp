// SPDX-License-Identifier: Apache-2.0
// Every published system that the library composes, as a page: recipes [FILE], else on the
// terminal.
#include <xmoe/xmoe.hpp>

#include <xmoe/recipes/catalogue.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

/// A table's cell: no line ends, no bars.
std::string cell(std::string text) {
  for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
    text.replace(at, 1, "\\|");
  }
  return text;
}
std::string code(std::string text) {
  text.insert(text.begin(), '`');
  text.push_back('`');
  return text;
}
std::string link(const xmoe::recipes::Citation& c) {
  const std::string source = c.source;
  const bool paper = source.find('/') == std::string::npos;
  std::ostringstream text;
  text << '[' << cell(c.title) << "](" << (paper ? "https://arxiv.org/abs/" : "https://github.com/")
       << source << ')';
  return text.str();
}

std::string page() {
  std::vector<std::string> rows;
  xmoe::recipes::for_each([&](const auto& recipe) {
    const auto published = recipe.make();
    using Recipe = std::decay_t<decltype(recipe)>;
    std::string losses = xmoe::recipes::type_name<typename Recipe::losses>();
    losses = losses.substr(losses.find('<') + 1);
    losses.pop_back();
    std::ostringstream row;
    row << "| " << cell(recipe.citation.system) << " | " << link(recipe.citation) << " | "
        << code(recipe.router()) << " | " << code(recipe.dispatch()) << " | "
        << code(recipe.expert()) << " | " << (losses.empty() ? "none" : code(losses)) << " | "
        << published.sizes.model_dim << ", " << published.sizes.experts << " x "
        << published.sizes.expert_dim << " | " << cell(recipe.citation.verified) << " | "
        << cell(recipe.citation.not_covered) << " |\n";
    rows.push_back(row.str());
  });
  std::sort(rows.begin(), rows.end());
  std::ostringstream text;
  text << "# Recipes\n\n"
       << rows.size()
       << " published systems as compositions. The types are those of the code, with default "
          "arguments as the compiler spells them; sizes are model_dim, experts x expert_dim.\n\n"
          "| system | paper or code | router | dispatch | experts | losses | sizes | verified | "
          "not covered |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const std::string& row : rows) {
    text << row;
  }
  return text.str();
}

}  // namespace

int main(int count, char** arguments) {
  const std::string text = page();
  if (count < 2) {
    std::cout << text;
    return 0;
  }
  const std::filesystem::path file = arguments[1];
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file);
  out << text;
  out.close();
  if (!out) {
    std::cerr << "recipes: cannot write " << file << "\n";
    return 1;
  }
  std::cout << "wrote " << file << "\n";
  return 0;
}
