// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/context.hpp>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

struct Traits {
  struct backend {};
};

TEST_CASE("a context infers unless it is told to train", "[core][context]") {
  Traits::backend backend;
  Workspace workspace;
  Context<Traits> context{backend, workspace, workspace};
  CHECK_FALSE(context.training());
  context.mode = Mode::train;
  CHECK(context.training());
}

TEST_CASE("a context measures when its scratch does", "[core][context]") {
  Traits::backend backend;
  Workspace real;
  Workspace measure = Workspace::measure();
  CHECK(Context<Traits>{backend, measure, real}.measuring());
  CHECK_FALSE(Context<Traits>{backend, real, measure}.measuring());
}

}  // namespace
