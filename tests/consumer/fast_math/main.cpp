// SPDX-License-Identifier: Apache-2.0
// Under -ffast-math a compiler may delete comparisons with NaN. What has to be refused still is.
#include <cstdio>
#include <limits>

#include "../program/layer.hpp"

namespace {

/// 1 if f throws value_error, else 0.
template <class F>
int refused(F&& f) {
  try {
    f();
  } catch (const xmoe::value_error&) {
    return 1;
  }
  return 0;
}

}  // namespace

int main() {
  volatile float bits = std::numeric_limits<float>::quiet_NaN();
  const float nan = bits;
  Layer layer({.model_dim = 2, .experts = 3, .expert_dim = 2}, {}, xmoe::cpu::Backend(1));
  layer.initialize({.seed = 1});
  Matrix x = Matrix::Ones(1, 2), y(1, 2);
  const int fine = refused([&] { layer.forward(x, y); });
  x(0, 1) = nan;
  const int input = refused([&] { layer.forward(x, y); });
  const xmoe::index offsets[] = {0, 1};
  const std::int32_t expert[] = {0};
  const float weight[] = {nan};
  const int routing =
      refused([&] { (void)xmoe::Routing<float>::from(3, offsets, expert, weight); });
  const int threshold = refused([&] {
    Layer wrong({.model_dim = 2, .experts = 3, .expert_dim = 2},
                {.router = {.select = {.threshold = nan}}}, xmoe::cpu::Backend(1));
  });
  std::printf("fine %d input %d routing %d threshold %d\n", fine, input, routing, threshold);
  return fine == 0 && input == 1 && routing == 1 && threshold == 1 ? 0 : 1;
}
