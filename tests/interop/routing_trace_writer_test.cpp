// SPDX-License-Identifier: Apache-2.0
#include <xmoe/interop/routing_trace_writer.hpp>

#include "trace_case.hpp"

namespace xmoe {
namespace {

using interop::RoutingTraceWriter;
using Weights = RoutingTraceWriter::Weights;
using tests::Bytes;
using tests::TemporaryFile;

/// Bytes of a file with one record, the headers left out.
template <class R>
std::size_t record_size(const Routing<R>& routing, Weights weights,
                        const std::vector<std::uint8_t>& valid = {}) {
  const TemporaryFile file;
  RoutingTraceWriter writer(file.path());
  writer.append(0, 0, routing.view(), weights, tests::in(valid));
  writer.close();
  return file.bytes().size() - interop::trace::header_bytes - interop::trace::record_bytes;
}

TEST_CASE("trace writer: the bytes of a small file", "[interop]") {
  const TemporaryFile file;
  const auto routing = tests::routing_of<float>(3, {{{2, 1.0}, {0, -0.5}}, {}, {{1, 0.25}}});
  const std::vector<std::uint8_t> valid = {1, 0, 1};
  RoutingTraceWriter writer(file.path());
  writer.append(0x0102, 7, routing.view(), Weights::keep, tests::in(valid));
  writer.close();
  const Bytes want = {'x', 'm', 'o', 'e', 't', 'r', 'c', '\n', 1,  0, 0,   0, 32, 0, 0, 0,  //
                      1,   0,   0,   0,   0,   0,   0,   0,    83, 0, 0,   0, 0,  0, 0, 0,  //
                      2,   1,   0,   0,   0,   0,   0,   0,    7,  0, 0,   0,               //
                      3,   0,   0,   0,   3,   0,   0,   0,    1,  3, 0,   0,               //
                      3,   0,   0,   0,   0,   0,   0,   0,                                 //
                      2,   0,   1,                                               // counts
                      5,                                                         // padding
                      2,   0,   1,                                               // experts
                      0,   0,   128, 63,  0,   0,   0,   191,  0,  0, 128, 62};  // weights
  CHECK(file.bytes() == want);
}

TEST_CASE("trace writer: bytes a token", "[interop]") {
  tests::Generator random(8);
  const index tokens = 1000;
  const auto t = static_cast<std::size_t>(tokens);
  const auto leave = Weights::leave_out, keep = Weights::keep;
  struct Width {
    index experts;
    std::size_t bytes;
  };
  for (const Width w : {Width{1, 1}, {8, 1}, {256, 1}, {257, 2}, {65536, 2}, {65537, 4}}) {
    INFO(w.experts << " experts");
    const auto even = tests::trace_routing<float>(random, tokens, w.experts, 2);
    CHECK(record_size(even, leave) == 2 * w.bytes * t);
    CHECK(record_size(even, keep) == (2 * w.bytes + 8) * t);
    const auto uneven = tests::trace_routing<float>(random, tokens, w.experts, -1);
    const auto n = static_cast<std::size_t>(uneven.assignments());
    CHECK(record_size(uneven, leave) == t + w.bytes * n);
    CHECK(record_size(uneven, keep) == t + (w.bytes + 4) * n);
    CHECK(record_size(uneven, keep, std::vector<std::uint8_t>(t, 1)) ==
          t + (w.bytes + 4) * n + t / 8);
  }
  // counts of two and of four bytes
  const auto long_row = [](index longest) {
    const std::vector<index> offsets = {0, longest, longest};
    const std::vector<std::int32_t> expert(static_cast<std::size_t>(longest), 0);
    return Routing<float>::from(1, offsets, expert,
                                std::vector<float>(static_cast<std::size_t>(longest), 1.f));
  };
  CHECK(record_size(long_row(255), leave) == 2 + 255);
  CHECK(record_size(long_row(256), leave) == 4 + 256);
  CHECK(record_size(long_row(65536), leave) == 8 + 65536);
}

TEST_CASE("trace writer: refuses what a reader would", "[interop]") {
  const TemporaryFile file;
  const auto good = tests::routing_of<double>(2, {{{1, .5}}, {}});
  const auto message = [&](const Routing<double>& routing, index step = 0, index layer = 0,
                           const std::vector<std::uint8_t>& valid = {}) {
    RoutingTraceWriter writer(file.path());
    const auto append = [&] {
      writer.append(step, layer, routing.view(), Weights::keep, tests::in(valid));
    };
    std::string text = tests::message_of<error>(append);
    writer.append(5, 1, good.view());  // it goes on
    writer.close();
    interop::RoutingTraceReader reader(file.path());
    CHECK(reader.records() == (text.empty() ? 2 : 1));
    return text;
  };
  const std::string name = "xmoe::interop::RoutingTraceWriter: ";
  CHECK(message(good).empty());
  CHECK(message(tests::routing_of<double>(2, {{{2, .5}}})) ==
        name + "expert[0] is 2, must be in 0 .. 1");
  CHECK(message(tests::routing_of<double>(2, {{{-1, .5}}})) ==
        name + "expert[0] is -1, must be in 0 .. 1");
  CHECK(message(tests::routing_of<double>(2, {{{1, 1e300}}})) ==
        name + "weight[0] is not finite as a float");
  CHECK(message(good, -1) == name + "step is -1, layer is 0; must be 0 or more");
  CHECK(message(good, 0, -2) == name + "step is 0, layer is -2; must be 0 or more");
  CHECK(message(good, 0, 0, {1}) == name + "the padding mask has 1 entries, there are 2 tokens");
  CHECK(message(good, 0, 0, {0, 1}) == name + "token 0 is padding, but has 1 experts");
  const std::vector<index> falling = {0, 1, 0}, late = {1, 1, 1};
  for (const std::vector<index>& offsets : {falling, late}) {
    const std::vector<std::int32_t> expert = {0};
    const std::vector<double> weight = {1.0};
    CHECK(message(Routing<double>::unchecked(2, offsets, expert, weight))
              .find(name + "offsets must rise from 0") == 0);
  }
}

TEST_CASE("trace writer: what cannot be written is told", "[interop]") {
  CHECK(
      tests::message_of<io_error>([] { RoutingTraceWriter writer("/no/such/folder/x"); }) ==
      "xmoe::interop::RoutingTraceWriter: /no/such/folder/x, byte 32: the file cannot be written");
  const TemporaryFile file;
  const auto routing = tests::routing_of<float>(2, {{{1, .5}}});
  RoutingTraceWriter writer(file.path());
  writer.close();
  writer.close();
  CHECK(tests::message_of<io_error>([&] { writer.append(0, 0, routing.view()); }) ==
        "xmoe::interop::RoutingTraceWriter: " + file.path() + " is closed");
  if (std::filesystem::exists("/dev/full")) {  // takes what fits into buffers, and no more
    RoutingTraceWriter full("/dev/full");
    full.append(0, 0, routing.view());
    CHECK_THROWS_AS(full.close(), io_error);
    CHECK_THROWS_AS(full.close(), io_error);  // and does not turn good
    RoutingTraceWriter large("/dev/full");
    tests::Generator random(1);
    const auto many = tests::trace_routing<float>(random, 100000, 8, 2);
    CHECK_THROWS_AS(large.append(0, 0, many.view()), io_error);
    CHECK_THROWS_AS(large.close(), io_error);
  }
}

}  // namespace
}  // namespace xmoe
