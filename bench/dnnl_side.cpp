// SPDX-License-Identifier: Apache-2.0
// oneDNN: matrix products of every expert on weights packed beforehand in the layout that oneDNN
// asks for, with the activation fused behind them.
#include "composed.hpp"
#include "limits.hpp"

#include <oneapi/dnnl/dnnl.hpp>

#include <map>
#include <mutex>

// Of the library that oneDNN was built on. <omp.h> may belong to another one.
extern "C" void omp_set_num_threads(int);

namespace xmoe_bench {

namespace {

using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;

/// Runs oneDNN's own threads on one expert after the other, or an expert a thread, whatever is
/// faster for the problem.
class DnnlSide : public ExpertLoop {
 public:
  DnnlSide(const Bank& bank, Scalar scalar, index threads)
      : ExpertLoop(bank, threads),
        type_(scalar == Scalar::bf16 ? memory::data_type::bf16 : memory::data_type::f32) {
    omp_set_num_threads(static_cast<int>(threads));
    const Shape& s = bank.shape;
    const Kernels kernels(*this, 64);
    for (index e = 0; e < s.experts(); ++e) {
      const float* up = bank.up.data() + e * s.up_rows() * s.model_dim;
      Expert expert;
      if (s.gated) {
        expert.gate = pack(up, s.expert_dim, s.model_dim, kernels.gate);
        up += s.expert_dim * s.model_dim;
      }
      expert.up = pack(up, s.expert_dim, s.model_dim, kernels.up);
      expert.down = pack(bank.down.data() + e * s.model_dim * s.expert_dim, s.model_dim,
                         s.expert_dim, kernels.down);
      experts_.push_back(std::move(expert));
    }
    gate_layout_ = kernels.gate.pd ? kernels.gate.pd.weights_desc() : memory::desc();
    up_layout_ = kernels.up.pd.weights_desc();
    down_layout_ = kernels.down.pd.weights_desc();
    packed_ = true;
  }

  void take(const Problem& next) override {
    ExpertLoop::take(next);
    scratch_ = std::vector<Scratch>(as_size(workers().threads()));
    const Shape& s = next.shape;
    const index rows = most_jobs();
    for (Scratch& scratch : scratch_) {
      scratch.x = xmoe::Buffer<float>(rows * s.model_dim);
      scratch.up = xmoe::Buffer<float>(rows * s.expert_dim);
      scratch.hidden = xmoe::Buffer<float>(rows * s.expert_dim);
      scratch.rows = xmoe::Buffer<float>(rows * s.model_dim);
    }
    own_threads_ = false;
    // oneDNN makes code for every number of rows; with many of them, experts are many and small
    if (workers().threads() > 1 && different_jobs() <= 16) {
      double seconds_of[2];
      for (const bool own : {false, true}) {
        own_threads_ = own;
        Side::time(Pass::forward, 1);  // makes the kernels
        seconds_of[own ? 1 : 0] =
            std::min(Side::time(Pass::forward, 1), Side::time(Pass::forward, 1));
      }
      own_threads_ = seconds_of[1] < seconds_of[0];
    }
  }

  void forward(index i) override {
    const int inner = own_threads_ ? static_cast<int>(workers().threads()) : 1;
    omp_set_num_threads(inner);
    run(
        i, y,
        [&](index e, const Jobs& jobs, index thread, float* sums) {
          omp_set_num_threads(inner);  // a setting of each thread
          expert_forward(experts_[as_size(e)], jobs, scratch_[as_size(thread)], sums);
        },
        own_threads_);
  }

 private:
  /// One product, rows [m,K] with weights [K,N].
  struct Kernel {
    dnnl::matmul::primitive_desc pd;
    dnnl::matmul primitive;
  };
  /// All products for m rows.
  struct Kernels {
    Kernel gate;
    Kernel up;
    Kernel down;

    Kernels(const DnnlSide& side, index m) {
      const Shape& s = side.bank().shape;
      const memory::desc x = plain(m, s.model_dim, side.type_);
      const memory::desc hidden = plain(m, s.expert_dim, side.type_);
      dnnl::post_ops after_up;
      if (s.gated) {
        dnnl::post_ops after_gate;
        after_gate.append_eltwise(1.f, dnnl::algorithm::eltwise_swish, 1.f, 0.f);
        after_gate.append_binary(dnnl::algorithm::binary_mul, hidden);
        gate = side.kernel(x, s.expert_dim, side.gate_layout_, hidden, after_gate);
      } else {
        after_up.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
      }
      up = side.kernel(x, s.expert_dim, side.up_layout_, hidden, after_up);
      down = side.kernel(hidden, s.model_dim, side.down_layout_,
                         plain(m, s.model_dim, memory::data_type::f32), {});
    }
  };
  struct Expert {
    memory gate;
    memory up;
    memory down;
  };
  struct Scratch {
    xmoe::Buffer<float> x;  ///< also room for the narrower type
    xmoe::Buffer<float> up;
    xmoe::Buffer<float> hidden;
    xmoe::Buffer<float> rows;
    std::vector<std::uint8_t> inside;  ///< what oneDNN itself needs
  };

  static memory::desc plain(index rows, index cols, memory::data_type type) {
    return {{rows, cols}, type, memory::format_tag::ab};
  }

  Kernel kernel(const memory::desc& x, index outputs, const memory::desc& layout,
                const memory::desc& out, const dnnl::post_ops& post_ops) const {
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(post_ops);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const memory::desc weights =
        packed_ ? layout : memory::desc({x.dims()[1], outputs}, type_, memory::format_tag::any);
    Kernel result;
    result.pd = {dnnl::matmul::desc(x, weights, out), attributes, engine_};
    result.primitive = dnnl::matmul(result.pd);
    return result;
  }
  /// [rows,cols] becomes weights [cols,rows] in the layout of `kernel`.
  memory pack(const float* numbers, index rows, index cols, const Kernel& kernel) {
    memory from({{cols, rows}, memory::data_type::f32, memory::format_tag::ba}, engine_,
                const_cast<float*>(numbers));  // only read
    memory to(kernel.pd.weights_desc(), engine_);
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
    return to;
  }

  void expert_forward(Expert& expert, const Jobs& jobs, Scratch& scratch, float* sums) {
    const Kernels& kernels = kernels_for(as_index(jobs));
    const index d = bank().shape.model_dim;
    if (type_ == memory::data_type::bf16) {
      gather(problem(), jobs, reinterpret_cast<std::uint16_t*>(scratch.x.data()), d);
    } else {
      gather(problem(), jobs, scratch.x.data(), d);
    }
    dnnl::stream stream(engine_);
    if (bank().shape.gated) {
      execute(stream, kernels.up, expert.up, scratch.x, scratch.up, scratch);
      execute(stream, kernels.gate, expert.gate, scratch.x, scratch.hidden, scratch, &scratch.up);
    } else {
      execute(stream, kernels.up, expert.up, scratch.x, scratch.hidden, scratch);
    }
    execute(stream, kernels.down, expert.down, scratch.hidden, scratch.rows, scratch);
    scatter(jobs, scratch.rows.data(), d, d, sums);
  }
  void execute(dnnl::stream& stream, const Kernel& kernel, const memory& weights,
               xmoe::Buffer<float>& from, xmoe::Buffer<float>& to, Scratch& scratch,
               xmoe::Buffer<float>* factor = nullptr) {
    const memory::desc inside = kernel.pd.scratchpad_desc();
    if (scratch.inside.size() < inside.get_size()) {
      scratch.inside.resize(inside.get_size());
    }
    Arguments arguments{
        {DNNL_ARG_SRC, memory(kernel.pd.src_desc(), engine_, from.data())},
        {DNNL_ARG_WEIGHTS, weights},
        {DNNL_ARG_DST, memory(kernel.pd.dst_desc(), engine_, to.data())},
        {DNNL_ARG_SCRATCHPAD, memory(inside, engine_, scratch.inside.data())},
    };
    if (factor != nullptr) {
      arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1] =
          memory(kernel.pd.dst_desc(), engine_, factor->data());
    }
    kernel.primitive.execute(stream, arguments);
    stream.wait();
  }
  /// oneDNN makes code for a number of rows and of threads.
  const Kernels& kernels_for(index rows) {
    const std::lock_guard lock(mutex_);
    std::map<index, Kernels>& known = kernels_[own_threads_ ? 1 : 0];
    const auto found = known.find(rows);
    return found != known.end() ? found->second
                                : known.emplace(rows, Kernels(*this, rows)).first->second;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  memory::data_type type_;
  bool packed_ = false;
  bool own_threads_ = false;
  memory::desc gate_layout_;
  memory::desc up_layout_;
  memory::desc down_layout_;
  std::vector<Expert> experts_;
  std::vector<Scratch> scratch_;  ///< by thread
  std::mutex mutex_;
  std::map<index, Kernels> kernels_[2];
};

}  // namespace

std::unique_ptr<Side> make_dnnl(const Bank& bank, Scalar scalar, index threads) {
  return std::make_unique<DnnlSide>(bank, scalar, threads);
}

}  // namespace xmoe_bench
