// SPDX-License-Identifier: Apache-2.0
#include <xmoe/interop/routing_trace.hpp>

#include "trace_case.hpp"

namespace xmoe {
namespace {

using interop::RoutingTraceReader;
using interop::RoutingTraceWriter;
using Weights = RoutingTraceWriter::Weights;
using tests::Bytes;
using tests::same_routing;
using tests::TemporaryFile;

/// Reads everything; the number of records.
index read_all(const std::string& path) {
  RoutingTraceReader reader(path);
  index records = 0;
  while (auto record = reader.next()) {
    ++records;
  }
  return records;
}
std::string refusal(const TemporaryFile& file, const Bytes& bytes) {
  file.write(bytes);
  return tests::message_of<io_error>([&] { read_all(file.path()); });
}

template <class R>
void round_trip(std::uint64_t seed) {
  INFO("seed " << seed);
  tests::Generator random(seed);
  struct Written {
    index step, layer;
    Routing<R> routing;
    bool weights;
    std::vector<std::uint8_t> valid;
  };
  std::vector<Written> all;
  const TemporaryFile file;
  RoutingTraceWriter writer(file.path());
  for (const index experts : {0, 1, 7, 256, 257, 65536, 65537}) {
    for (const index tokens : {0, 1, 8, 33}) {
      for (const index fixed : {-1, 0, 2}) {
        Written w = {random.below(1 << 30), random.below(64), {}, random.below(2) == 0, {}};
        for (index t = 0; fixed < 0 && t < tokens; ++t) {
          w.valid.push_back(static_cast<std::uint8_t>(random.below(2)));
        }
        w.routing = tests::trace_routing<R>(random, tokens, experts, fixed, w.valid);
        writer.append(w.step, w.layer, w.routing.view(),
                      w.weights ? Weights::keep : Weights::leave_out, tests::in(w.valid));
        all.push_back(w);
      }
    }
  }
  writer.close();
  RoutingTraceReader reader(file.path());
  REQUIRE(reader.records() == static_cast<index>(all.size()));
  for (const bool again : {false, true}) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      INFO("record " << i << (again ? ", after rewind" : ""));
      const Written& w = all[i];
      const auto record = reader.next<R>();
      REQUIRE(record.has_value());
      CHECK((record->step == w.step && record->layer == w.layer));
      CHECK(record->has_weights == w.weights);
      CHECK(record->valid == w.valid);
      CHECK(same_routing(record->routing, w.routing, w.weights));
      CHECK(record->routing.view().valid_tokens ==
            (w.valid.empty() ? w.routing.tokens()
                             : std::count(w.valid.begin(), w.valid.end(), std::uint8_t(1))));
      for (const R weight : record->routing.weight()) {
        CHECK((w.weights || weight == R(1)));
      }
    }
    CHECK(!reader.next<R>().has_value());
    CHECK(!reader.next<R>().has_value());
    reader.rewind();
  }
}

TEST_CASE("trace: what was written is read, bit for bit", "[interop]") {
  round_trip<float>(GENERATE(1u, 2u, 3u));
  round_trip<double>(4);  // the weights of these routings are floats
}

TEST_CASE("trace: twins of the comparison", "[interop]") {
  const auto a = tests::routing_of<float>(3, {{{0, .5}, {2, .25}}, {}});
  CHECK(same_routing(a, a));
  CHECK(!same_routing(a, tests::routing_of<float>(3, {{{0, .5}, {1, .25}}, {}})));
  CHECK(!same_routing(a, tests::routing_of<float>(3, {{{0, .5}}, {{2, .25}}})));
  CHECK(!same_routing(a, tests::routing_of<float>(4, {{{0, .5}, {2, .25}}, {}})));
  const auto lighter = tests::routing_of<float>(3, {{{0, .5}, {2, .2}}, {}});
  CHECK(!same_routing(a, lighter));
  CHECK(same_routing(a, lighter, false));
}

/// A file with records of every kind, 200 bytes or so.
Bytes small_file() {
  const TemporaryFile file;
  {
    RoutingTraceWriter writer(file.path());
    const auto uneven = tests::routing_of<float>(3, {{{2, 1.0}, {0, -0.5}}, {}, {{1, 0.25}}});
    const std::vector<std::uint8_t> valid = {1, 0, 1};
    writer.append(1, 0, uneven.view(), Weights::keep, tests::in(valid));
    writer.append(1, 1, tests::routing_of<float>(300, {{{299, .5}}, {{7, .5}}}).view(),
                  Weights::leave_out);
    writer.append(2, 0, tests::routing_of<float>(2, {}).view());
  }  // closed here
  return file.bytes();
}

TEST_CASE("trace: every truncation is refused", "[interop]") {
  const Bytes good = small_file();
  const TemporaryFile file;
  CHECK(refusal(file, good).empty());
  for (std::size_t length = 0; length < good.size(); ++length) {
    INFO("cut to " << length << " bytes");
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(!refusal(file, cut).empty());
    if (length < interop::trace::header_bytes) {
      continue;
    }
    Bytes honest = cut;  // a header that knows of it: the records must notice
    for (std::size_t i = 0; i < 8; ++i) {
      honest[24 + i] = static_cast<unsigned char>(length >> (8 * i));
    }
    CHECK(!refusal(file, honest).empty());
  }
  Bytes longer = good;
  longer.push_back(0);
  CHECK(!refusal(file, longer).empty());
  ++longer[24];
  CHECK(refusal(file, longer).find("expected the end of the file after the last record") !=
        std::string::npos);
}

TEST_CASE("trace: a changed byte is refused or gives another valid routing", "[interop]") {
  const Bytes good = small_file();
  const TemporaryFile file;
  index refused = 0, read = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const unsigned change : {0x01u, 0x02u, 0x10u, 0x80u, 0xffu}) {
      INFO("byte " << i << " xor " << change);
      Bytes bad = good;
      bad[i] = static_cast<unsigned char>(bad[i] ^ change);
      file.write(bad);
      try {
        RoutingTraceReader reader(file.path());
        while (auto record = reader.next()) {
          const Routing<float>& r = record->routing;
          CHECK(same_routing(Routing<float>::from(r.experts(), r.offsets(), r.expert(), r.weight()),
                             r));
          CHECK((record->valid.empty() || static_cast<index>(record->valid.size()) == r.tokens()));
        }
        ++read;
      } catch (const io_error& e) {
        CHECK(std::string(e.what()).find(file.path() + ", byte ") != std::string::npos);
        ++refused;
      }
    }
  }
  CHECK(refused > 300);
  CHECK(read > 100);  // steps, layers, weights
}

TEST_CASE("trace: messages name path, byte and expectation", "[interop]") {
  const Bytes good = small_file();
  const TemporaryFile file;
  const auto with = [&](std::size_t byte, const Bytes& value) {
    Bytes bad = good;
    std::copy(value.begin(), value.end(), bad.begin() + static_cast<std::ptrdiff_t>(byte));
    return refusal(file, bad);
  };
  const std::string start = "xmoe::interop::RoutingTraceReader: " + file.path() + ", byte ";
  const Bytes huge(8, 0xff);
  CHECK(with(3, {'x'}) == start + "3: expected the magic xmoetrc");
  CHECK(with(8, {2}) == start + "8: expected version 1");
  CHECK(with(12, {64}) == start + "12: expected a header of 32 bytes");
  CHECK(with(16, huge) == start + "16: more records than the file has room for");
  CHECK(with(24, Bytes(8, 0)) ==
        start + "24: expected the size of the file; its writer was not closed");
  CHECK(with(24, huge) == start + "24: expected the size of the file");
  CHECK(with(32, huge) == start + "32: expected a step below 2^63");
  CHECK(with(40, {0, 0, 0, 0x80}) == start + "40: expected a layer below 2^31");
  CHECK(with(44, {0, 0, 0, 0x80}) == start + "44: expected fewer than 2^31 experts");
  CHECK(with(44, {2}) == start + "68: expert is 2, expected less than 2");
  CHECK(with(48, {0, 0, 0, 0x80}) == start + "48: expected fewer than 2^31 tokens");
  CHECK(with(48, {0, 0, 0, 0x7f}).find(start + "64: expected a count for every token") == 0);
  CHECK(with(52, {3}) == start + "52: expected counts of 0, 1, 2, 4 bytes");
  CHECK(with(53, {7}) == start + "53: expected flags that are known");
  CHECK(with(56, huge) == start + "56: more assignments than the file has room for");
  CHECK(with(56, {2}) == start + "66: more experts than the record has assignments");
  CHECK(with(56, {4}) == start + "67: expected counts whose sum is the record's assignments");
  CHECK(with(67, {4}) == start + "67: expected no experts for a token of padding");
  CHECK(with(68, {3}) == start + "68: expert is 3, expected less than 3");
  CHECK(with(71, {0, 0, 0xc0, 0x7f}) == start + "71: expected a finite weight");
  CHECK(with(71, {0, 0, 0x80, 0x7f}) == start + "71: expected a finite weight");
  CHECK(with(83 + 24, {3}) == start + "107: expected a multiple of the tokens");
  // no counts and no assignments: two thousand million tokens in no byte
  Bytes bomb(good.begin(), good.begin() + 64);
  std::fill(bomb.begin() + 16, bomb.end(), 0);
  bomb[16] = 1, bomb[24] = 64, bomb[51] = 0x7f;
  CHECK(refusal(file, bomb) == start + "56: expected a multiple of the tokens");
}

TEST_CASE("trace: files that are none", "[interop]") {
  const TemporaryFile file;
  CHECK(tests::message_of<io_error>([&] { read_all(file.path()); }) ==
        "xmoe::interop::RoutingTraceReader: " + file.path() + ", byte 0: the file cannot be read");
  CHECK(refusal(file, {}).find("byte 0: expected a header of 32 bytes, 0 bytes are left") !=
        std::string::npos);
  CHECK_THROWS_AS(read_all("/"), io_error);
  RoutingTraceWriter(file.path()).close();
  CHECK(read_all(file.path()) == 0);
  const RoutingTraceWriter open(file.path());
  CHECK_THROWS_AS(read_all(file.path()), io_error);
}

TEST_CASE("trace: after an error only rewind goes on", "[interop]") {
  Bytes bad = small_file();
  bad[68] = 9;  // the first expert
  const TemporaryFile file;
  file.write(bad);
  RoutingTraceReader reader(file.path());
  CHECK_THROWS_AS(reader.next(), io_error);
  CHECK(tests::message_of<io_error>([&] { reader.next(); }).find("rewind after an error") !=
        std::string::npos);
  reader.rewind();
  CHECK(tests::message_of<io_error>([&] { reader.next(); }).find("expert is 9") !=
        std::string::npos);
}

}  // namespace
}  // namespace xmoe
