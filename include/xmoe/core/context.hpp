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

/// Where a row function runs: on which token of the call, in which mode, with which random stream.
/// The same for a token in forward and in backward, hence the same draws.
struct RowSite {
  index token = 0;
  std::int32_t id = 0;  ///< Batch::ids of the token; 0 if there are none
  Mode mode = Mode::infer;
  Random random = {};  ///< base stream of the call: fork it with a number of your own

  XMOE_HD constexpr bool training() const { return mode == Mode::train; }
  /// Position of the token's draw for one expert (or of any number up to `of`) in a stream.
  XMOE_HD constexpr std::uint64_t position(index i, index of) const {
    return static_cast<std::uint64_t>(token * of + i);
  }
};

}  // namespace xmoe::inline XMOE_ABI
