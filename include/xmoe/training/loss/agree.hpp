// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/imitate.hpp>

namespace xmoe::inline XMOE_ABI::loss {

/// Two calls on the same tokens agree: L = coefficient / T * sum_te 0.5 (p - q) (ln p - ln q).
///
///   target  q [T,E], probabilities of the other call, constant here: for the gradient of both
///           calls, add the term to each with the other's scores as target, and count one value
///   grad    dp_te += coefficient / T * 0.5 (ln p - ln q + 1 - q / p)
///   cost    O(T E) logarithms, in double
///   throws  shape_error if target is not [T,E]
///   source  arXiv 2110.04260 (THOR)
template <class Over = over::Scores, class S = float>
using Agree = Imitate<measure::SymmetricKl, Over, S>;
static_assert(Loss<Agree<>>);

}  // namespace xmoe::inline XMOE_ABI::loss
