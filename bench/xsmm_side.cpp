// SPDX-License-Identifier: Apache-2.0
// libxsmm: its small-product kernels, made for the sizes at hand, on weights cut into panels of 64
// rows; gather, activation and scatter are ours.
#include "composed.hpp"

#include <libxsmm.h>
#include <Eigen/Core>

#include <array>

namespace xmoe_bench {

namespace {

/// The two element types: T is what products read.
template <class T>
class XsmmSide : public ExpertLoop {
 public:
  XsmmSide(const Bank& bank, index threads)
      : ExpertLoop(bank, threads),
        depth_{round_up(bank.shape.model_dim, 2), round_up(bank.shape.expert_dim, 2)},
        rows_{(bank.shape.gated ? 2 : 1) * round_up(bank.shape.expert_dim, panel),
              round_up(bank.shape.model_dim, panel)} {
    libxsmm_init();
    const Shape& s = bank.shape;
    for (std::size_t p : {std::size_t{0}, std::size_t{1}}) {
      for (index n = 1; n <= block; ++n) {
        kernels_[p][as_size(n)] = kernel(n, depth_[p], rows_[p]);
      }
      weights_[p] = xmoe::Buffer<T>(s.experts() * rows_[p] * depth_[p]);
    }
    workers().parallel(s.experts(), [&](index e, index) {
      T* up = weights_[0].data() + e * rows_[0] * depth_[0];
      const float* from = bank.up.data() + e * s.up_rows() * s.model_dim;
      for (index half = 0; half < (s.gated ? 2 : 1); ++half) {
        pack(from, s.expert_dim, s.model_dim, depth_[0], up);
        from += s.expert_dim * s.model_dim;
        up += round_up(s.expert_dim, panel) * depth_[0];
      }
      pack(bank.down.data() + e * s.model_dim * s.expert_dim, s.model_dim, s.expert_dim, depth_[1],
           weights_[1].data() + e * rows_[1] * depth_[1]);
    });
  }

  void take(const Problem& next) override {
    ExpertLoop::take(next);
    scratch_ = std::vector<Scratch>(as_size(workers().threads()));
    const index m = most_jobs();
    for (Scratch& scratch : scratch_) {
      scratch.x = xmoe::Buffer<T>(m * depth_[0]);
      scratch.before = xmoe::Buffer<float>(m * rows_[0]);
      scratch.hidden = xmoe::Buffer<T>(m * depth_[1]);
      scratch.rows = xmoe::Buffer<float>(m * rows_[1]);
    }
  }

  void forward(index i) override {
    run(i, y, [&](index e, const Jobs& jobs, index thread, float* sums) {
      Scratch& scratch = scratch_[as_size(thread)];
      const index m = as_index(jobs);
      gather(problem(), jobs, scratch.x.data(), depth_[0]);
      multiply(0, e, m, scratch.x.data(), scratch.before.data());
      for (index row = 0; row < m; ++row) {
        activate(scratch.before.data() + row * rows_[0], scratch.hidden.data() + row * depth_[1]);
      }
      multiply(1, e, m, scratch.hidden.data(), scratch.rows.data());
      scatter(jobs, scratch.rows.data(), problem().shape.model_dim, rows_[1], sums);
    });
  }

 private:
  static constexpr bool narrow = sizeof(T) == 2;
  static constexpr index panel = 64;  ///< weight rows that a kernel takes at once
  static constexpr index block = 64;  ///< tokens, at most
  using Kernel = std::conditional_t<narrow, libxsmm_bsmmfunction, libxsmm_smmfunction>;

  struct Scratch {
    xmoe::Buffer<T> x;           ///< [m,D], padded
    xmoe::Buffer<float> before;  ///< [m,H or 2H], padded
    xmoe::Buffer<T> hidden;      ///< [m,H], padded
    xmoe::Buffer<float> rows;    ///< [m,D], padded
  };

  static index round_up(index n, index to) { return (n + to - 1) / to * to; }

  /// For n tokens. libxsmm counts columns first: its m are our weight rows.
  static Kernel kernel(index n, index depth, index row) {
    const auto m = static_cast<libxsmm_blasint>(panel);
    const auto k = static_cast<libxsmm_blasint>(depth);
    const auto ldc = static_cast<libxsmm_blasint>(row);
    const float one = 1.f;
    const float zero = 0.f;
    Kernel result = nullptr;
    if constexpr (narrow) {
      result = libxsmm_bsmmdispatch(m, static_cast<libxsmm_blasint>(n), k, &m, &k, &ldc, &one,
                                    &zero, nullptr, nullptr);
    } else {
      result = libxsmm_smmdispatch(m, static_cast<libxsmm_blasint>(n), k, &m, &k, &ldc, &one, &zero,
                                   nullptr, nullptr);
    }
    if (result == nullptr) {
      throw SideFailure("libxsmm makes no code for this processor");
    }
    return result;
  }

  /// Panels [depth][64]; bfloat16: [depth/2][64][2]. Padding stays zero.
  static void pack(const float* from, index rows, index cols, index depth, T* to) {
    for (index first = 0; first < rows; first += panel) {
      T* const start = to + first * depth;
      for (index col = 0; col < cols; ++col) {
        for (index lane = 0; lane < std::min(panel, rows - first); ++lane) {
          const float number = from[(first + lane) * cols + col];
          if constexpr (narrow) {
            start[(col / 2 * panel + lane) * 2 + col % 2] = to_bf16(number);
          } else {
            start[col * panel + lane] = number;
          }
        }
      }
    }
  }

  void multiply(std::size_t product, index e, index m, const T* left, float* to) const {
    const index depth = depth_[product];
    const index rows = rows_[product];
    const T* weights = weights_[product].data() + e * rows * depth;
    for (index row = 0; row < rows; row += panel) {
      for (index begin = 0; begin < m; begin += block) {
        const index count = std::min(block, m - begin);
        kernels_[product][as_size(count)](weights + row * depth, left + begin * depth,
                                          to + begin * rows + row);
      }
    }
  }

  void activate(const float* before, T* hidden) const {
    using Row = Eigen::Map<const Eigen::ArrayXf>;
    constexpr index piece = 256;
    const Shape& s = bank().shape;
    Eigen::Array<float, Eigen::Dynamic, 1, 0, piece, 1> result;
    for (index h = 0; h < s.expert_dim; h += piece) {
      const index count = std::min(piece, s.expert_dim - h);
      const Row gate(before + h, count);
      if (s.gated) {
        const Row up(before + rows_[0] / 2 + h, count);
        result = gate * up / (1.f + (-gate).exp());
      } else {
        result = gate.max(0.f);
      }
      for (index j = 0; j < count; ++j) {
        if constexpr (narrow) {
          hidden[h + j] = to_bf16(result[j]);
        } else {
          hidden[h + j] = result[j];
        }
      }
    }
  }

  index depth_[2];  ///< of the two products, even
  index rows_[2];   ///< weight rows, whole panels
  std::array<Kernel, block + 1> kernels_[2] = {};
  xmoe::Buffer<T> weights_[2];
  std::vector<Scratch> scratch_;  ///< by thread
};

}  // namespace

std::unique_ptr<Side> make_xsmm(const Bank& bank, Scalar scalar, index threads) {
  if (scalar == Scalar::bf16) {
    return std::make_unique<XsmmSide<std::uint16_t>>(bank, threads);
  }
  return std::make_unique<XsmmSide<float>>(bank, threads);
}

}  // namespace xmoe_bench
