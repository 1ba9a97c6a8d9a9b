// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/panels.hpp>

namespace xmoe::inline XMOE_ABI {

/// Where a grouped product finds its rows: row m is data + (gather ? gather[m] : m) * stride.
template <class S>
struct Rows {
  const S* data = nullptr;
  index stride = 0;
  const std::int32_t* gather = nullptr;

  const S* row(index m) const {
    return data + (gather == nullptr ? m : static_cast<index>(gather[m])) * stride;
  }
};

/// How rows are grouped: rows offsets[g] .. offsets[g+1]-1 belong to matrix g of a stack. Rows
/// [first, first + rows) of a plan, all of them or a run.
struct Groups {
  index count = 0;
  const index* offsets = nullptr;  ///< [count+1]; null while sizes are measured
  index rows = 0;                  ///< offsets[count] - first, or the worst case while measuring
  index first = 0;                 ///< offsets[0]
};

}  // namespace xmoe::inline XMOE_ABI
