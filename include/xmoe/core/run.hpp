// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/context.hpp>
#include <xmoe/core/scratch_pool.hpp>

namespace xmoe::inline XMOE_ABI::detail {

/// Where one call's arrays lie, and whether that memory may grow.
struct Run {
  Workspace& scratch;
  Workspace& decision;
  Workspace& plan;
  Workspace& expert;
  Mode mode;
  Random random;
  bool grow;

  /// The library's own memory.
  Run(Memory& m, Mode how, Random r = {})
      : scratch(m.scratch),
        decision(m.decision),
        plan(m.plan),
        expert(m.expert),
        mode(how),
        random(r),
        grow(true) {}
  /// Inference in one block of the caller's.
  explicit Run(Workspace& all)
      : scratch(all), decision(all), plan(all), expert(all), mode(Mode::infer), grow(false) {}
  /// Training: what backward needs goes to the tape's memory.
  Run(Workspace& s, Memory& tape, Random r, bool grows)
      : scratch(s),
        decision(tape.decision),
        plan(tape.plan),
        expert(tape.expert),
        mode(Mode::train),
        random(r),
        grow(grows) {}
};

/// Runs a step, after making room for exactly what it takes if memory may grow.
template <class Traits, class F>
auto stage(typename Traits::backend& backend, const Run& run, Workspace& keep, F&& step) {
  if (run.grow) {
    Workspace scratch_size = Workspace::measure();
    Workspace keep_size = Workspace::measure();
    Context<Traits> measuring{backend, scratch_size, keep_size, run.mode, run.random};
    step(measuring);
    run.scratch.reserve(scratch_size.peak());
    keep.reserve(keep_size.peak());
  }
  Context<Traits> ctx{backend, run.scratch, keep, run.mode, run.random};
  return step(ctx);
}

}  // namespace xmoe::inline XMOE_ABI::detail
