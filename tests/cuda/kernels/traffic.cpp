// SPDX-License-Identifier: Apache-2.0
// Bytes and operations of every kernel of one call, by the formulas that the tests of traffic hold
// the kernels to: lines "kernel;bytes;flops" for the page. Bytes are those that have to come from
// and go to memory even with perfect caches.
#include "../traffic_formulas.hpp"

#include <cstdio>

namespace {

using tests::traffic::Cost;
namespace traffic = tests::traffic;

void line(const char* kernel, const Cost& cost) {
  std::printf("%s;%.17g;%.17g\n", kernel, cost.once, cost.flops);
}

/// E experts of m rows each.
Cost times(double E, Cost one) { return {E * one.moved, E * one.once, E * one.flops}; }

/// T tokens, E experts of [H,D], K a token; activations and weights of S bytes, R of routing.
struct Shape {
  const char* name;
  double T, E, D, H, K, S;
};

void shape(const Shape& s, const char* engine, double rows, double columns, bool pair) {
  const double R = 4, M = s.T * s.K, m = M / s.E, up = pair ? 2 * s.H : s.H;
  char name[160];
  const auto put = [&](const char* kernel, const Cost& cost) {
    std::snprintf(name, sizeof name, "%s, %s: %s", s.name, engine, kernel);
    line(name, cost);
  };
  const auto put_plain = [&](const char* kernel, const Cost& cost) {  // computes in float
    std::snprintf(name, sizeof name, "%s, %g bytes a number: %s", s.name, s.S, kernel);
    line(name, cost);
  };
  put_plain("gate forward", traffic::gate_forward(s.T, s.D, s.E, s.S, R, 64, 64));
  put_plain("route", traffic::route(s.T, s.E, s.K, R, 4));
  put_plain("sort", traffic::sort_in_steps(s.T, s.E, s.K, 8));
  put("up product", times(s.E, traffic::grouped(m, s.H, s.D, up, s.S, rows, columns, true)));
  put("down product", times(s.E, traffic::grouped(m, s.D, s.H, s.D, s.S, rows, columns)));
  if (!pair) {  // of large experts the hidden activations find no room
    put("both in one launch",
        times(s.E, traffic::grouped_ffn(m, s.D, s.H, up, s.S, 64, 256, true)));
  }
  put_plain("combine", traffic::combine(s.T, s.D, s.K, s.S, s.S, R));
  put("backward: hidden's gradient",
      times(s.E, traffic::grouped(m, s.H, s.D, s.H, s.S, rows, columns, true, 2)));
  put("backward: rows' gradient",
      times(s.E, traffic::grouped(m, s.D, up, s.D, s.S, rows, columns)));
  put("backward: dW of the up product",
      times(s.E, traffic::grouped_weight_gradient(m, up, s.D, s.S, 4, rows, columns, true)));
  put("backward: dW of the down product",
      times(s.E, traffic::grouped_weight_gradient(m, s.D, s.H, s.S, 4, rows, columns, true)));
  put_plain("backward: sum by token", traffic::sum_by_token(s.T, s.D, s.K, s.S, s.S));
  put_plain("backward: route", traffic::route_backward(s.T, s.E, s.K, R, 0, 4));
  put_plain("backward: gate, dx", traffic::gate_input_gradient(s.T, s.D, s.E, s.S, R, 64, 64));
  put_plain("backward: gate, dW",
            traffic::gate_weight_gradient(s.T, s.D, s.E, s.S, R, 64, 64, 32, true));
}

}  // namespace

int main() {
  shape({"E 64, D 768, H 192, top-8, T 8192", 8192, 64, 768, 192, 8, 2}, "Mma, bfloat16", 128, 128,
        false);
  shape({"E 64, D 768, H 192, top-8, T 8192", 8192, 64, 768, 192, 8, 4}, "Simt, float", 128, 64,
        false);
  shape({"E 8, D 4096, H 14336, SwiGLU, top-2, T 8192", 8192, 8, 4096, 14336, 2, 2},
        "Mma, bfloat16", 128, 128, true);
}
