// SPDX-License-Identifier: Apache-2.0
// The program on the README's first screen is examples/quickstart.cpp, letter by letter.
#include <fstream>
#include <sstream>
#include <string>

#include "support/catch.hpp"

namespace {

std::string read(const std::string& name) {
  std::ifstream in(std::string(XMOE_TEST_ROOT) + "/" + name);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

/// What stands in the first block of the given language.
std::string first_block(const std::string& text, const std::string& language) {
  const std::string open = "```" + language + "\n";
  const std::size_t begin = text.find(open);
  if (begin == std::string::npos) {
    return "";
  }
  const std::size_t end = text.find("```", begin + open.size());
  return text.substr(begin + open.size(), end - begin - open.size());
}

/// Without the license line, which the README spares its readers.
std::string without_license(const std::string& text) {
  const std::string line = "// SPDX-License-Identifier: Apache-2.0\n";
  return text.compare(0, line.size(), line) == 0 ? text.substr(line.size()) : text;
}

}  // namespace

TEST_CASE("the README shows the quickstart as it is", "[static][readme]") {
  const std::string program = without_license(read("examples/quickstart.cpp"));
  REQUIRE(program.size() > 100);
  CHECK(without_license(first_block(read("README.md"), "cpp")) == program);
}

TEST_CASE("the reader of blocks reads the first one whole", "[static][readme]") {
  CHECK(first_block("a\n```cpp\nint x;\n\nint y;\n```\n```cpp\nz\n```\n", "cpp") ==
        "int x;\n\nint y;\n");
  CHECK(first_block("a\n```sh\nls\n```\n", "cpp").empty());
  CHECK(without_license("// SPDX-License-Identifier: Apache-2.0\nx") == "x");
  CHECK(without_license("x") == "x");
}
