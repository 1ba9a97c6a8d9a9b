// SPDX-License-Identifier: Apache-2.0
// Rows so far apart that their offsets leave 32 bits, on memory that is mapped but never filled.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

#if defined(__linux__)
#include <sys/mman.h>

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

static_assert(sizeof(xmoe::index) == 8);

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Relu>, dispatch::Dropless>;

/// Address space without memory behind it, until it is touched.
class Sparse {
 public:
  explicit Sparse(std::size_t bytes) : bytes_(bytes) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    data_ = p == MAP_FAILED ? nullptr : static_cast<float*>(p);
  }
  Sparse(const Sparse&) = delete;
  Sparse& operator=(const Sparse&) = delete;
  ~Sparse() {
    if (data_ != nullptr) {
      munmap(data_, bytes_);
    }
  }
  float* data() const { return data_; }

 private:
  std::size_t bytes_;
  float* data_ = nullptr;
};

TEST_CASE("offsets beyond 2^31 numbers", "[layer][views]") {
  constexpr index stride = (index{1} << 30) + 7;  // row 3 starts beyond 2^31
  tests::CaseOptions o;
  o.shape = {5, 3, 8, 6};
  o.router.select = reference::Select::top_k;
  o.router.k = 2;
  const tests::Case c = tests::random_case(1, o);
  const Layer layer = tests::make_layer<Layer>(c.setup);
  const auto bytes = static_cast<std::size_t>(4 * stride + 8) * sizeof(float);
  const Sparse x(bytes), y(bytes), dy(bytes), dx(bytes);
  if (x.data() == nullptr || y.data() == nullptr || dy.data() == nullptr || dx.data() == nullptr) {
    WARN("no address space for " << bytes << " bytes four times: nothing tested");
    return;
  }
  const auto view = [&](const Sparse& s) { return MatrixView<float>(s.data(), 5, 8, stride); };
  for (index t = 0; t < 5; ++t) {
    for (index d = 0; d < 8; ++d) {
      view(x)(t, d) = static_cast<float>(c.x(t, d));
      view(dy)(t, d) = static_cast<float>(c.dy(t, d));
    }
  }
  Layer::Tape tape;
  layer.record(view(x), view(y), tape);
  Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, view(dy), view(dx), g);
  const std::vector<tests::Tensor> plain = tests::layer_results(layer, c);
  CHECK(tests::numbers(view(y)) == plain[0].values);
  CHECK(tests::numbers(view(dx)) == plain[1].values);
  const auto gradients = tests::tensors_of<float>(g.parameters());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    CHECK(gradients[i].values == plain[i + 2].values);
  }
}

}  // namespace
#endif
