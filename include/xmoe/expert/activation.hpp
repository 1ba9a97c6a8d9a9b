// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/math.hpp>

/// Element-wise functions of experts: value(u) and its slope at u. Usable in device code; free of
/// branches except GeluErf, so that loops over them vectorise.
namespace xmoe::inline XMOE_ABI::activation {

/// u.
struct Identity {
  template <class S>
  XMOE_HD static S value(S u) {
    return u;
  }
  template <class S>
  XMOE_HD static S slope(S) {
    return S(1);
  }
};

/// max(u, 0); slope 0 at 0.
struct Relu {
  template <class S>
  XMOE_HD static S value(S u) {
    return u < S(0) ? S(0) : u;  // NaN stays NaN
  }
  template <class S>
  XMOE_HD static S slope(S u) {
    return u > S(0) ? S(1) : S(0);
  }
};

/// max(u, 0)^2.
struct SquaredRelu {
  template <class S>
  XMOE_HD static S value(S u) {
    const S r = Relu::value(u);
    return r * r;
  }
  template <class S>
  XMOE_HD static S slope(S u) {
    return S(2) * Relu::value(u);
  }
};

/// u sigmoid(u), also called swish.
struct Silu {
  template <class S>
  XMOE_HD static S value(S u) {
    return u * math::sigmoid(u);
  }
  template <class S>
  XMOE_HD static S slope(S u) {
    const S s = math::sigmoid(u);
    return s + u * s * (S(1) - s);
  }
};

/// GELU, tanh form: 0.5 u (1 + tanh(q)), q = sqrt(2/pi) (u + 0.044715 u^3), computed as
/// u sigmoid(2q). XMoE's language models.
struct Gelu {
  template <class S>
  XMOE_HD static S value(S u) {
    return u * math::sigmoid(S(2) * inner(u));
  }
  template <class S>
  XMOE_HD static S slope(S u) {
    const S s = math::sigmoid(S(2) * inner(u));
    const S dq = S(0.7978845608028654) * (S(1) + S(3 * 0.044715) * u * u);
    return s + u * S(2) * dq * s * (S(1) - s);
  }

 private:
  template <class S>
  XMOE_HD static S inner(S u) {
    return S(0.7978845608028654) * (u + S(0.044715) * u * u * u);
  }
};

/// GELU, exact form: 0.5 u (1 + erf(u / sqrt 2)).
struct GeluErf {
  template <class S>
  XMOE_HD static S value(S u) {
    return S(0.5) * u * (S(1) + std::erf(u * S(0.7071067811865476)));
  }
  template <class S>
  XMOE_HD static S slope(S u) {
    const S cdf = S(0.5) * (S(1) + std::erf(u * S(0.7071067811865476)));
    return cdf + u * S(0.3989422804014327) * math::exp(S(-0.5) * u * u);
  }
};

}  // namespace xmoe::inline XMOE_ABI::activation
