// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/random.hpp>
#include <xmoe/core/workspace.hpp>

namespace xmoe::inline XMOE_ABI {

/// Training turns on what only training does: jitter, random priorities, training capacity.
enum class Mode { infer, train };

/// What a call works with. Made by the layer, handed to every policy.
template <class Traits>
struct Context {
  typename Traits::backend& backend;
  Workspace& workspace;  ///< scratch, given back at the end of the call
  Workspace& keep;  ///< arrays that outlive the call: the tape's when recording, else workspace
  Mode mode = Mode::infer;
  Random random = {};  ///< base stream of this call

  /// True while sizes are counted: take scratch, then return.
  bool measuring() const { return workspace.measuring(); }
  bool training() const { return mode == Mode::train; }
};

}  // namespace xmoe::inline XMOE_ABI
