// SPDX-License-Identifier: Apache-2.0
#include <xmoe/interop/metrics_output.hpp>

#include <cstdlib>
#include <locale>
#include <map>
#include <sstream>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

const double nan = std::numeric_limits<double>::quiet_NaN();
const double infinity = std::numeric_limits<double>::infinity();

/// JSON by its grammar (RFC 8259) and nothing more. Leaves come out by path: "load.2",
/// "summary.kept".
class Json {
 public:
  explicit Json(const std::string& text) : text_(text) { good_ = value("") && at_ == text_.size(); }
  bool good() const { return good_; }
  const std::map<std::string, std::string>& leaves() const { return leaves_; }
  double number(const std::string& path) const {
    return std::strtod(leaves_.at(path).c_str(), nullptr);
  }

 private:
  bool take(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }
  bool digits() {
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      ++at_;
    }
    return at_ > start;
  }
  bool number() {
    take('-');
    if (!take('0') && !digits()) {
      return false;
    }
    if (take('.') && !digits()) {
      return false;
    }
    if (take('e') || take('E')) {
      if (!take('+')) {
        take('-');
      }
      return digits();
    }
    return true;
  }
  bool string(std::string& to) {
    if (!take('"')) {
      return false;
    }
    while (at_ < text_.size() && !take('"')) {
      const auto code = static_cast<unsigned char>(text_[at_]);
      if (code < 0x20) {
        return false;
      }
      if (!take('\\')) {
        to += text_[at_++];
      } else if (take('u')) {
        const std::string hex = text_.substr(at_, 4);
        to += static_cast<char>(std::stoi(hex, nullptr, 16));
        at_ += 4;
      } else if (take('"') || take('\\')) {
        to += text_[at_ - 1];
      } else {
        return false;
      }
    }
    return text_[at_ - 1] == '"';
  }
  bool value(const std::string& path) {
    const auto below = [&](const std::string& name) {
      return path.empty() ? name : path + "." + name;
    };
    const std::size_t start = at_;
    if (take('{')) {
      if (take('}')) {
        return true;
      }
      do {
        std::string name;
        if (!string(name) || !take(':') || !value(below(name))) {
          return false;
        }
      } while (take(','));
      return take('}');
    }
    if (take('[')) {
      if (take(']')) {
        return true;
      }
      index i = 0;
      do {
        if (!value(below(std::to_string(i++)))) {
          return false;
        }
      } while (take(','));
      return take(']');
    }
    std::string leaf;
    if (at_ < text_.size() && text_[at_] == '"') {
      if (!string(leaf)) {
        return false;
      }
    } else if (text_.compare(at_, 4, "null") == 0) {
      at_ += 4;
      leaf = "null";
    } else if (number()) {
      leaf = text_.substr(start, at_ - start);
    } else {
      return false;
    }
    return leaves_.emplace(path, leaf).second;
  }

  std::string text_;
  std::size_t at_ = 0;
  bool good_ = false;
  std::map<std::string, std::string> leaves_;
};

template <class... A>
std::string json(const A&... a) {
  std::ostringstream out;
  interop::write_json(out, a...);
  return out.str();
}
template <class... A>
std::string csv(const A&... a) {
  std::ostringstream out;
  interop::write_csv(out, a...);
  return out.str();
}

TEST_CASE("metrics output: the check of JSON is strict", "[interop]") {
  for (const char* bad : {"", "{", "{}x", "[1,]", "{\"a\":nan}", "[inf]", "[.5]", "[1.]", "[01]",
                          "{\"a\":1 }", "{\"a\":1,\"a\":2}", "[\"\n\"]", "[1e]", "[\"a]", "[+1]"}) {
    INFO(bad);
    CHECK(!Json(bad).good());
  }
  CHECK(Json(R"({"a":[1,-2.5e-7,null],"b":{"c":"x\"y"}})").leaves() ==
        std::map<std::string, std::string>{
            {"a.0", "1"}, {"a.1", "-2.5e-7"}, {"a.2", "null"}, {"b.c", "x\"y"}});
}

TEST_CASE("metrics output: numbers of a struct read back as they were", "[interop]") {
  Statistics s;
  s.summary = {9007199254740993, 2, 3, 4, 5};  // more than a double holds
  s.load = {3, 0, 7};
  s.claims = {};
  s.wanted_per_token = 0.1;
  s.kept_per_token = 1.0 / 3.0;
  s.skip_ratio = 5e-324;
  s.entropy = -0.0;
  s.flops_routed = 1.7976931348623157e308;
  s.flops_wanted = 1e22;
  s.flops_padded = infinity;
  s.balance_deviation = nan;
  s.top_score.median = 0.3000000000000000444;
  const Json read(json(s));
  REQUIRE(read.good());
  CHECK(read.leaves().at("summary.tokens") == "9007199254740993");
  CHECK(read.leaves().at("load.2") == "7");
  CHECK(read.leaves().count("claims.0") == 0);
  CHECK(read.leaves().at("flops_padded") == "null");
  CHECK(read.leaves().at("balance_deviation") == "null");
  for (const auto& [path, want] :
       std::map<std::string, double>{{"wanted_per_token", s.wanted_per_token},
                                     {"kept_per_token", s.kept_per_token},
                                     {"skip_ratio", s.skip_ratio},
                                     {"entropy", s.entropy},
                                     {"flops_routed", s.flops_routed},
                                     {"flops_wanted", s.flops_wanted},
                                     {"top_score.median", s.top_score.median}}) {
    INFO(path);
    CHECK(tests::same_bits<double>({read.number(path)}, {want}));
  }
}

TEST_CASE("metrics output: random numbers round trip in both forms", "[interop]") {
  tests::Generator random(77);
  std::vector<double> values;
  while (values.size() < 1000) {
    const double v = __builtin_bit_cast(double, random.bits());
    if (is_finite(v)) {
      values.push_back(v);
    }
  }
  const In<double> matrix(values.data(), 100, 10);
  const Json read(json(matrix));
  REQUIRE(read.good());
  std::vector<double> from_json, from_csv;
  for (index i = 0; i < 100; ++i) {
    for (index j = 0; j < 10; ++j) {
      from_json.push_back(read.number("values." + std::to_string(i) + "." + std::to_string(j)));
    }
  }
  CHECK(tests::same_bits(from_json, values));
  std::istringstream lines(csv(matrix));
  std::string line;
  std::getline(lines, line);
  CHECK(line == ",0,1,2,3,4,5,6,7,8,9");
  for (index i = 0; std::getline(lines, line); ++i) {
    const char* at = line.c_str();
    char* end = nullptr;
    CHECK(std::strtol(at, &end, 10) == i);
    for (at = end; *at == ','; at = end) {
      from_csv.push_back(std::strtod(at + 1, &end));
    }
  }
  CHECK(tests::same_bits(from_csv, values));
}

TEST_CASE("metrics output: the text of small cases", "[interop]") {
  CHECK(json(metrics::Overlap{2, 0.5, nan}) == R"({"common":2,"jaccard":0.5,"share":null})");
  CHECK(csv(metrics::Overlap{2, 0.5, nan}) == "name,value\ncommon,2\njaccard,0.5\nshare,nan\n");
  CHECK(csv(metrics::Load{3, {1, 2}}) == "name,value\ntokens,3\ncount.0,1\ncount.1,2\n");
  CHECK(csv(metrics::balance({1, 1})).find("\nload.median,1\n") != std::string::npos);
  const std::vector<double> values = {0.5, -infinity, nan, infinity};
  const In<double> map(values.data(), 2, 2);
  CHECK(json(map) == R"({"rows":["0","1"],"columns":["0","1"],"values":[[0.5,null],[null,null]]})");
  CHECK(csv(map) == ",0,1\n0,0.5,-inf\n1,nan,inf\n");
  CHECK(json(In<double>()) == R"({"rows":[],"columns":[],"values":[]})");
  CHECK(csv(In<double>()) == "\n");
  const In<double> strided(values.data(), 2, 1, 2);
  CHECK(csv(strided) == ",0\n0,0.5\n1,nan\n");
}

TEST_CASE("metrics output: labels are quoted", "[interop]") {
  const std::vector<double> values = {1, 2};
  const In<double> map(values.data(), 1, 2);
  const std::vector<std::string> rows = {"a,\"b\"\n\\"}, columns = {"plain", std::string(1, '\1')};
  CHECK(csv(map, rows, columns) == ",plain,\1\n\"a,\"\"b\"\"\n\\\",1,2\n");
  const Json read(json(map, rows, columns));
  REQUIRE(read.good());
  CHECK(read.leaves().at("rows.0") == rows[0]);
  CHECK(read.leaves().at("columns.0") == "plain");
  CHECK(read.leaves().at("columns.1") == columns[1]);
  CHECK(tests::message_of<shape_error>([&] { json(map, columns); }) ==
        "xmoe::interop::write_json: 2 and 0 labels for 1 rows and 2 columns");
  CHECK_THROWS_AS(csv(map, rows, rows), shape_error);
}

TEST_CASE("metrics output: locales and streams that fail", "[interop]") {
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  std::ostringstream out;
  out.imbue(std::locale(out.getloc(), new Comma));
  interop::write_json(out, metrics::Overlap{1234567, 0.5, 0.25});
  CHECK(out.str() == R"({"common":1234567,"jaccard":0.5,"share":0.25})");
  std::ostringstream bad;
  bad.setstate(std::ios::badbit);
  CHECK_THROWS_AS(interop::write_json(bad, metrics::Overlap{}), io_error);
  CHECK_THROWS_AS(interop::write_csv(bad, metrics::Overlap{}), io_error);
  CHECK_THROWS_AS(interop::write_csv(bad, In<double>()), io_error);
}

}  // namespace
}  // namespace xmoe
