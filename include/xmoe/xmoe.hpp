// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything that runs on a CPU with Eigen alone. Start reading at moe_layer.hpp.

#include <xmoe/core/version.hpp>

#include <xmoe/router/adjust/expert_dropout.hpp>
#include <xmoe/router/adjust/gauss_noise.hpp>
#include <xmoe/router/adjust/gumbel_noise.hpp>
#include <xmoe/router/adjust/mask.hpp>
#include <xmoe/router/adjust/temper.hpp>
#include <xmoe/router/gate/adjusted.hpp>
#include <xmoe/router/gate/cosine.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/gate/noisy.hpp>
#include <xmoe/router/gate/projected.hpp>
#include <xmoe/router/lookup.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/blend.hpp>
#include <xmoe/router/score/entmax15.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/score/relu.hpp>
#include <xmoe/router/score/relu_norm.hpp>
#include <xmoe/router/score/sigmoid.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/score/sparsemax.hpp>
#include <xmoe/router/score/sqrt_softplus.hpp>
#include <xmoe/router/select/all.hpp>
#include <xmoe/router/select/assign.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/broadcast.hpp>
#include <xmoe/router/select/column.hpp>
#include <xmoe/router/select/draw.hpp>
#include <xmoe/router/select/expert_levels.hpp>
#include <xmoe/router/select/forced.hpp>
#include <xmoe/router/select/gap.hpp>
#include <xmoe/router/select/given.hpp>
#include <xmoe/router/select/global.hpp>
#include <xmoe/router/select/grouped.hpp>
#include <xmoe/router/select/grouped_each.hpp>
#include <xmoe/router/select/level.hpp>
#include <xmoe/router/select/ranks.hpp>
#include <xmoe/router/select/relative_to_best.hpp>
#include <xmoe/router/select/share.hpp>
#include <xmoe/router/select/threshold.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/select/transported.hpp>
#include <xmoe/router/weigh/equal.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/router/weigh/normalized_by.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/router/weigh/sampled.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>
#include <xmoe/router/weigh/unit.hpp>

#include <xmoe/expert/ffn.hpp>
#include <xmoe/expert/glu.hpp>

#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/dispatch/with_placeholder.hpp>

#include <xmoe/metrics/agreement.hpp>
#include <xmoe/metrics/co_activation.hpp>
#include <xmoe/metrics/confidence.hpp>
#include <xmoe/metrics/load.hpp>
#include <xmoe/metrics/sparsity.hpp>
#include <xmoe/metrics/specialization.hpp>
#include <xmoe/metrics/statistics.hpp>

#include <xmoe/training/control/coefficient_servo.hpp>
#include <xmoe/training/control/load_bias.hpp>
#include <xmoe/training/control/schedule.hpp>
#include <xmoe/training/gradient_check.hpp>
#include <xmoe/training/loss/agree.hpp>
#include <xmoe/training/loss/chunk_union.hpp>
#include <xmoe/training/loss/entropy.hpp>
#include <xmoe/training/loss/group_margin.hpp>
#include <xmoe/training/loss/imitate.hpp>
#include <xmoe/training/loss/importance.hpp>
#include <xmoe/training/loss/l1.hpp>
#include <xmoe/training/loss/load_balance.hpp>
#include <xmoe/training/loss/locality.hpp>
#include <xmoe/training/loss/over.hpp>
#include <xmoe/training/loss/prior.hpp>
#include <xmoe/training/loss/sequence_balance.hpp>
#include <xmoe/training/loss/z_loss.hpp>
#include <xmoe/training/optimizer/adam.hpp>
#include <xmoe/training/optimizer/sgd.hpp>

#include <xmoe/backend/cpu/backend.hpp>

#include <xmoe/moe_layer.hpp>

#include <xmoe/convert/dense_to_experts.hpp>

#include <xmoe/recipes/catalogue.hpp>
