// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/chunk_union.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::ChunkUnion;
using tests::LossCase;
using Plain = ChunkUnion<loss::over::Scores>;

TEST_CASE("chunk union: what holds for all losses", "[training]") {
  tests::check_loss_of(ChunkUnion<>{0.5f, 3}, {.tokens_move = false});
  tests::check_loss_of(Plain{0.5f, 2}, {.tokens_move = false});
  tests::check_loss_of(Plain{0.5f, 100});
  tests::check_loss_of(ChunkUnion<loss::over::SoftmaxOfLogits>{0.5f, 1});
}

TEST_CASE("chunk union: golden figures", "[training]") {
  LossCase<double> c = tests::relu_wave_case();
  CHECK(tests::within(c.value(ChunkUnion<>{1.f, 2}), .24424654, 1e-8));
  CHECK(tests::within(c.value(ChunkUnion<>{1.f, 4}), .43911800, 1e-8));
  CHECK(tests::within(c.value(ChunkUnion<>{1.f, 64}), .43911800, 1e-8));
  CHECK_FALSE(tests::within(c.value(Plain{1.f, 2}), .24424654, 1e-3));
  // the tail counts as a chunk: mean of rows 0-2 and of row 3
  LossCase<double> head = c;
  head.valid = {1, 1, 1, 0};
  LossCase<double> tail = c;
  tail.valid = {0, 0, 0, 1};
  CHECK(tests::within(c.value(ChunkUnion<>{1.f, 3}),
                      0.5 * (head.value(ChunkUnion<>{1.f, 3}) + tail.value(ChunkUnion<>{1.f, 3})),
                      1e-15));
}

TEST_CASE("chunk union: shared and separate experts", "[training]") {
  LossCase<double> c(2, {{0}, {0}, {1}, {1}});
  c.scores = {1, 0, 1, 0, 0, 1, 0, 1};
  CHECK(tests::within(c.value(Plain{1.f, 2}), 0.5, 2e-5));  // one of two experts in each chunk
  c.scores = {1, 0, 0, 1, 1, 0, 0, 1};
  CHECK(tests::within(c.value(Plain{1.f, 2}), 1.0, 3e-5));  // both in each chunk
  CHECK(tests::within(c.value(Plain{1.f, 1}), 0.5, 2e-5));
  c.scores.assign(8, 0.0);  // nothing active
  CHECK(tests::within(c.value(ChunkUnion<>{1.f, 2}), 0.0, 3e-5));
  CHECK(is_finite(c.dscores[0]));
}

TEST_CASE("chunk union: chunks that are none", "[training]") {
  LossCase<double> c(2, {{0}});
  CHECK(tests::message_of<value_error>([&] {
          c.value(Plain{1.f, 0});
        }) == "xmoe::loss::ChunkUnion: chunk is 0, must be at least 1");
}

}  // namespace
}  // namespace xmoe
