// SPDX-License-Identifier: Apache-2.0
#include "sides.hpp"

namespace xmoe_bench {

#if defined(XMOE_BENCH_DNNL)
std::unique_ptr<Side> make_dnnl(const Bank& bank, Scalar scalar, index threads);
#endif
#if defined(XMOE_BENCH_XSMM)
std::unique_ptr<Side> make_xsmm(const Bank& bank, Scalar scalar, index threads);
#endif
std::unique_ptr<Side> make_torch(const Bank& bank, Scalar scalar, index threads);

const std::vector<Peer>& peers() {
  static const std::vector<Peer> list = {
#if defined(XMOE_BENCH_DNNL)
    {"dnnl", false, false, make_dnnl},
#endif
#if defined(XMOE_BENCH_XSMM)
    {"xsmm", false, false, make_xsmm},
#endif
    {"torch", true, true, make_torch},
  };
  return list;
}

}  // namespace xmoe_bench
