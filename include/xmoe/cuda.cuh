// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything for .cu files: all policies and recipes, and layers on Cuda traits. The CPU backend
/// and Eigen stay out of them: a .cpp includes <xmoe/xmoe.hpp>, and owns a layer of a .cu through
/// <xmoe/interop/device_layer.hpp>.

#include <xmoe/core/version.hpp>

#include <xmoe/router/adjust/expert_dropout.hpp>
#include <xmoe/router/adjust/gauss_noise.hpp>
#include <xmoe/router/adjust/gumbel_noise.hpp>
#include <xmoe/router/adjust/temper.hpp>
#include <xmoe/router/gate/adjusted.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/score/sigmoid.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/all.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/draw.hpp>
#include <xmoe/router/select/threshold.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/router/weigh/sampled.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>
#include <xmoe/router/weigh/unit.hpp>

#include <xmoe/expert/ffn.hpp>
#include <xmoe/expert/glu.hpp>

#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/dispatch/with_placeholder.hpp>

#include <xmoe/backend/cuda/adjust.cuh>
#include <xmoe/backend/cuda/handle.cuh>
#include <xmoe/backend/cuda/moe_layer.cuh>
#include <xmoe/backend/cuda/train.cuh>
