// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/view.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// A matrix in device memory. Any stride and alignment are legal; rows at multiples of 16 bytes are
/// faster.
template <class T>
using DeviceMatrix = MatrixView<T, device>;

/// A decision in device memory. Every token has `width` slots, of which the first count[t] hold its
/// experts, best first; what the other slots hold means nothing. The host reads none of it.
///
///   count   [T]
///   expert  [T,width]   weight  [T,width]   score  [T,width]
///   logits  [T,E]       scores  [T,E]
///
/// A view: memory belongs to the caller.
template <class R>
struct DeviceRouting {
  int tokens = 0;
  int experts = 0;  ///< outputs of the router, a placeholder included
  int width = 0;    ///< most experts a token
  int* count = nullptr;
  int* expert = nullptr;
  R* weight = nullptr;
  R* score = nullptr;
  R* logits = nullptr;
  R* scores = nullptr;
  const int* valid_tokens = nullptr;  ///< [1] tokens that are not padding; null: all of them
};

/// The transport in device memory: kept slots grouped by expert, inside an expert by token.
///
///   offsets  [E+1]        the rows of expert e are offsets[e] .. offsets[e+1]-1
///   token    [most_rows]  token of a row
///   slot     [most_rows]  slot of a row: token * width + rank
///   row      [T,width]    row of a slot, -1 where it was dropped or is not used
///
/// Rows from offsets[E] on hold nothing. A view, like DeviceRouting.
struct DevicePlan {
  int tokens = 0;
  int experts = 0;  ///< experts that run (a placeholder is not one of them)
  int width = 0;
  int most_rows = 0;  ///< the worst case; how many there are only the device knows
  int* offsets = nullptr;
  int* token = nullptr;
  int* slot = nullptr;
  int* row = nullptr;
  int* wanted = nullptr;  ///< [1] rows that the routing asked for; may be null
};

/// What a policy that owns nothing gets.
struct NoDeviceWeights {};

/// The weights of select::Biased on the device.
template <class R>
struct DeviceSelectBias {
  struct Tensor {
    const R* data = nullptr;  ///< [E]
    XMOE_HD const R* matrix(index) const { return data; }
  };
  Tensor bias;
};

}  // namespace xmoe::inline XMOE_ABI::cuda
