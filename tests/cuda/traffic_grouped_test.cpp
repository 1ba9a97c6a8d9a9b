// SPDX-License-Identifier: Apache-2.0
// What the grouped products read and write, and that their main loops meet no bank conflicts.
#include <xmoe/backend/cuda/grouped_ffn.cuh>

#include "traffic_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;
using xmoe::bfloat16;

const std::vector<int> many = {128, 0, 200, 40}, few = {32, 0, 8, 20};

template <class K>
using TileOf = Tiles<typename K::math, typename K::scalar>;

template <class K>
struct Product {
  using S = typename K::scalar;
  using math = typename K::math;
  static constexpr double bytes = sizeof(S);
  Plan plan;
  int n, k;
  Bank<S> bank;
  OnDevice<S> rows;
  OnDevice<int> token;  ///< every row has its own
  OnDevice<S> dy, out, before;

  Product(const std::vector<int>& loads, int n_, int k_, std::size_t skew = 0)
      : plan(loads, 1),
        n(n_),
        k(k_),
        bank(plan.experts, n_, k_, 1),
        rows(random_matrix<S>(plan.rows, k_, k_, 2).numbers, skew),
        token(backwards(plan.rows)),
        dy(random_matrix<S>(plan.most_rows, n_, n_, 3).numbers, skew),
        out(std::vector<S>(static_cast<std::size_t>(plan.most_rows * (n_ > k_ ? n_ : k_)))),
        before(std::vector<S>(static_cast<std::size_t>(plan.most_rows * n_))) {}

  DeviceGroups groups() const {
    DeviceGroups g = plan.groups();
    g.most_rows = plan.rows;
    return g;
  }
  DeviceRows<S> gathered() const { return {rows.data(), k, token.data()}; }
  static std::vector<int> backwards(int count) {
    std::vector<int> result;
    for (int i = count; i > 0; --i) {
      result.push_back(i - 1);
    }
    return result;
  }

  Measured forward() const {
    return traced([&] {
      grouped_forward<math>(nullptr, groups(), gathered(), bank.view(),
                            Store<S>{epilogue_rows(out.data(), n)});
    });
  }
  Measured pair() const {
    return traced([&] {
      using Glu = StoreGlu<xmoe::activation::Silu, S>;
      grouped_forward<math>(
          nullptr, groups(), gathered(), bank.view(),
          Glu{epilogue_rows(out.data(), n / 2), epilogue_rows(before.data(), n), nullptr, n / 2});
    });
  }
  Measured input_gradient() const {
    return traced([&] {
      grouped_input_gradient<math>(nullptr, groups(), DeviceRows<S>{dy.data(), n, nullptr},
                                   bank.view(), Store<S>{epilogue_rows(out.data(), k)});
    });
  }
  Measured weight_gradient(bool accumulate) const {
    const Bank<S> dw(plan.experts, n, k, 5);
    return traced([&] {
      grouped_weight_gradient<math>(
          nullptr, groups(), DeviceRows<S>{dy.data(), n, nullptr}, gathered(),
          DeviceMatrices<S>{dw.device.data(), plan.experts, n, k, k}, accumulate);
    });
  }
  template <class F>
  traffic::Cost sum(const F& of_expert) const {
    traffic::Cost cost;
    for (int e = 0; e < plan.experts; ++e) {
      cost += of_expert(double(plan.offsets[at(e + 1)] - plan.offsets[at(e)]));
    }
    return cost;
  }
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
};

/// Wavefronts of all accesses to shared memory on one line, and the fewest that could do.
void require_ideal(const Measured& m, const std::string& file, const std::string& text) {
  const unsigned line = line_of(file, text);
  bool found = false;
  for (const emulation::SiteTraffic& s : m.sites) {
    if (s.file == file && s.line == line && s.shared()) {
      INFO(file << ":" << line << ": " << s.wavefronts << " of " << s.ideal_wavefronts);
      CHECK(s.wavefronts == s.ideal_wavefronts);
      CHECK(s.wavefronts > 0);
      found = true;
    }
  }
  INFO(text << " does not touch shared memory");
  CHECK(found);
}

}  // namespace

#define KINDS (Kind<Simt, float>), (Kind<TensorCore, bfloat16>)

TEMPLATE_TEST_CASE("traffic: grouped forward", "[cuda]", KINDS) {
  using Large = typename TileOf<TestType>::large;
  using Small = typename TileOf<TestType>::small;
  const auto cost = [](const auto& p, auto tile) {
    using Tile = decltype(tile);
    return p.sum([&](double m) {
      return traffic::grouped(m, p.n, p.k, p.n, p.bytes, Tile::rows, Tile::columns, true);
    });
  };
  const Product<TestType> large(many, 192, 128), small(few, 192, 128);
  require_traffic(large.forward(), cost(large, Large{}));
  require_traffic(small.forward(), cost(small, Small{}));
  // rows that are not aligned are read number by number
  const Product<TestType> skewed(few, 192, 128, 1);
  CHECK_FALSE(keeps(skewed.forward(), cost(skewed, Small{})));
}

TEMPLATE_TEST_CASE("traffic: grouped forward of pairs", "[cuda]", KINDS) {
  using Large = typename TileOf<TestType>::large;
  const Product<TestType> p(many, 192, 128);
  const auto cost = p.sum([&](double m) {  // a tile of n / 2 columns takes as many gates as ups
    return traffic::grouped(m, p.n / 2, p.k, p.n, p.bytes, Large::rows, Large::columns / 2, true,
                            2);
  });
  require_traffic(p.pair(), cost);
}

TEMPLATE_TEST_CASE("traffic: grouped input gradient", "[cuda]", KINDS) {
  using Large = typename TileOf<TestType>::large;
  const auto cost = [](const auto& p) {
    return p.sum([&](double m) {
      return traffic::grouped(m, p.k, p.n, p.k, p.bytes, Large::rows, Large::columns);
    });
  };
  const Product<TestType> p(many, 128, 192), skewed(many, 128, 192, 1);
  require_traffic(p.input_gradient(), cost(p));
  CHECK_FALSE(keeps(skewed.input_gradient(), cost(skewed)));
}

TEMPLATE_TEST_CASE("traffic: grouped weight gradient", "[cuda]", KINDS) {
  using Large = typename TileOf<TestType>::large;
  const auto cost = [](const auto& p, bool accumulate) {
    return p.sum([&](double m) {
      return traffic::grouped_weight_gradient(m, p.n, p.k, p.bytes, p.bytes, Large::rows,
                                              Large::columns, accumulate);
    });
  };
  const Product<TestType> p(many, 192, 128), skewed(many, 192, 128, 1);
  require_traffic(p.weight_gradient(false), cost(p, false));
  require_traffic(p.weight_gradient(true), cost(p, true));
  CHECK_FALSE(keeps(skewed.weight_gradient(false), cost(skewed, false)));
}

TEMPLATE_TEST_CASE("traffic: both layers of small experts in one launch", "[cuda]", KINDS) {
  using S = typename TestType::scalar;
  using math = typename TestType::math;
  using Tile = typename Tiles<math, S>::fused;
  const int dim = 256, hidden = 64;
  const Product<TestType> p(many, hidden, dim);
  const Bank<S> down(p.plan.experts, dim, hidden, 7);
  const auto run = [&](int d) {
    return traced([&] {
      grouped_ffn<math>(nullptr, p.groups(), DeviceRows<S>{p.rows.data(), d, p.gathered().gather},
                        p.bank.view(), down.view(), StoreActivation<xmoe::activation::Gelu, S>{},
                        Store<S>{epilogue_rows(p.out.data(), dim)});
    });
  };
  const auto cost = p.sum([&](double m) {
    return traffic::grouped_ffn(m, dim, hidden, hidden, p.bytes, Tile::rows, Tile::columns, true);
  });
  require_traffic(run(dim), cost);
  CHECK_FALSE(keeps(run(dim - 1), cost));  // rows begin anywhere: number by number
  // two products have the hidden activations on top, written and read again
  const auto two = p.sum([&](double m) {
    return traffic::grouped(m, hidden, dim, hidden, p.bytes, Tile::rows, Tile::columns) +
           traffic::grouped(m, dim, hidden, dim, p.bytes, Tile::rows, Tile::columns);
  });
  CHECK(two.once > cost.once);
}

TEST_CASE("traffic: no bank conflicts in the main loop of plain arithmetic", "[cuda]") {
  const Product<Kind<Simt, float>> p(many, 192, 128), s(few, 192, 128);
  for (const Measured& m :
       {p.forward(), s.forward(), p.input_gradient(), p.weight_gradient(false)}) {
    require_ideal(m, "grouped_simt.cuh", "rows[i] = load_shared");
    require_ideal(m, "grouped_simt.cuh", "load_shared<Pack<S, vector>>");
  }
  require_ideal(p.forward(), "grouped_simt.cuh", "store_shared(to + (L::chunk_in_line()");
  require_ideal(p.weight_gradient(false), "grouped_simt.cuh",
                "store_shared(reinterpret_cast<typename L::Chunk*>(to");
}

TEST_CASE("traffic: no bank conflicts in the main loop on tensor cores", "[cuda]") {
  const Product<Kind<TensorCore, bfloat16>> p(many, 192, 128), s(few, 192, 128);
  for (const Measured& m : {p.forward(), s.forward()}) {
    require_ideal(m, "grouped_mma.cuh", "cp_async_16(chunk");
    require_ideal(m, "grouped_fragments.cuh", "ldmatrix_x4(result.v, view.at(row");
    require_ideal(m, "grouped_fragments.cuh", "ldmatrix_x4(result.v, view.at(column");
  }
  for (const Measured& m : {p.input_gradient(), p.weight_gradient(false)}) {
    require_ideal(m, "grouped_mma.cuh", "cp_async_16(chunk");
    require_ideal(m, "grouped_fragments.cuh",
                  "ldmatrix_x4_trans(result.v, view.at(k * 16 + lane % 16");
  }
  require_ideal(p.weight_gradient(false), "grouped_fragments.cuh",
                "ldmatrix_x4_trans(result.v, view.at(k * 16 + lane / 16");
}

}  // namespace tests
