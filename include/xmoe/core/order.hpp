// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/core/view.hpp>

#include <limits>

namespace xmoe::inline XMOE_ABI {

/// What selection sorts by: a score, perhaps plus a selection bias. Not a number on purpose: it
/// converts to nothing, so that a bias can never reach a weight.
template <class R>
struct SelectionKey {
  R value;
};

namespace detail {
inline constexpr std::int64_t nan_code32 = std::numeric_limits<std::int32_t>::min();
inline constexpr std::int64_t nan_code64 = std::numeric_limits<std::int64_t>::min();
inline constexpr std::uint64_t farthest = std::numeric_limits<std::uint64_t>::max();
}  // namespace detail

/// A key as an integer with the library's total order: +Inf > finite > -Inf > NaN, +0 = -0.
/// Works on bits, hence also under -ffast-math.
template <class R>
XMOE_HD constexpr std::int64_t order_code(SelectionKey<R> key) {
  if constexpr (sizeof(R) == 4) {
    const std::uint32_t bits = detail::bits_of(key.value);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    const std::int64_t code = static_cast<std::int64_t>(magnitude);
    return magnitude > 0x7f800000u ? detail::nan_code32 : ((bits >> 31) != 0 ? -code : code);
  } else {
    const std::uint64_t bits = detail::bits_of(key.value);
    const std::uint64_t magnitude = bits & 0x7fffffffffffffffu;
    const std::int64_t code = static_cast<std::int64_t>(magnitude);
    return magnitude > 0x7ff0000000000000u ? detail::nan_code64
                                           : ((bits >> 63) != 0 ? -code : code);
  }
}

/// A key of -Inf: an expert that may not be chosen.
template <class R>
inline constexpr std::int64_t forbidden_code = sizeof(R) == 4 ? -std::int64_t{0x7f800000}
                                                              : -std::int64_t{0x7ff0000000000000};

/// An expert with its place in the order. `a < b`: a stands behind b. Ties: the lower index first.
template <class R>
struct Candidate {
  std::int64_t code;
  std::int32_t id;

  XMOE_HD static constexpr Candidate make(SelectionKey<R> key, index expert) {
    return {order_code(key), static_cast<std::int32_t>(expert)};
  }
  XMOE_HD constexpr std::int32_t expert() const { return id; }
  XMOE_HD constexpr bool allowed() const { return code != forbidden_code<R>; }
  XMOE_HD friend constexpr bool operator<(Candidate a, Candidate b) {
    return a.code < b.code || (a.code == b.code && a.id > b.id);
  }
};
/// Key and index in one integer: one comparison, and loops over candidates vectorise.
template <>
struct Candidate<float> {
  std::int64_t code;

  XMOE_HD static constexpr Candidate make(SelectionKey<float> key, index expert) {
    return {static_cast<std::int64_t>(static_cast<std::uint64_t>(order_code(key)) << 32) |
            static_cast<std::int64_t>(0xffffffffu - static_cast<std::uint32_t>(expert))};
  }
  XMOE_HD constexpr std::int32_t expert() const {
    return static_cast<std::int32_t>(0xffffffffu - static_cast<std::uint32_t>(code & 0xffffffff));
  }
  XMOE_HD constexpr bool allowed() const { return code >> 32 != forbidden_code<float>; }
  XMOE_HD friend constexpr bool operator<(Candidate a, Candidate b) { return a.code < b.code; }
};

/// Hands out the candidates of a row, best first; never one whose key is -Inf.
///
///   cost   n picks of E: O(min(n, 16) E) by scanning, the rest O(E + n log E) from a heap
template <class R>
class Descending {
 public:
  /// Reorders `candidates` once more than a few were asked for.
  XMOE_HD explicit Descending(VectorView<Candidate<R>> candidates) : all_(candidates) {}

  /// The next expert; false if there is none left.
  XMOE_HD bool next(std::int32_t& expert) {
    while (given_ < all_.size()) {
      const Candidate<R> candidate = advance();
      if (candidate.allowed()) {
        expert = candidate.expert();
        return true;
      }
    }
    return false;
  }

 private:
  XMOE_HD Candidate<R> advance() {
    if (given_ < scans) {
      last_ = given_ == 0 ? best() : best_below(last_);
    } else {
      if (given_ == scans) {
        make_heap();
      }
      last_ = pop();
    }
    ++given_;
    return last_;
  }

  static constexpr index scans = 16;

  static constexpr bool one_integer = sizeof(Candidate<R>) == sizeof(std::int64_t);

  XMOE_HD Candidate<R> best() const {
    Candidate<R> top = all_[0];
    if constexpr (one_integer) {  // a plain reduction over integers, so that it vectorises
      std::int64_t code = top.code;
      for (index i = 1; i < all_.size(); ++i) {
        code = all_[i].code > code ? all_[i].code : code;
      }
      top.code = code;
    } else {
      for (index i = 1; i < all_.size(); ++i) {
        top = top < all_[i] ? all_[i] : top;
      }
    }
    return top;
  }
  /// The best of those behind `limit`; there is one.
  XMOE_HD Candidate<R> best_below(Candidate<R> limit) const {
    Candidate<R> top = {};
    if constexpr (one_integer) {
      // The distance below the limit wraps around for those before it, beyond every other one
      // (codes span less than 2^64): a plain minimum finds the next, and vectorises.
      const auto start = static_cast<std::uint64_t>(limit.code) - 1;
      std::uint64_t nearest = detail::farthest;
      for (index i = 0; i < all_.size(); ++i) {
        const std::uint64_t distance = start - static_cast<std::uint64_t>(all_[i].code);
        nearest = distance < nearest ? distance : nearest;
      }
      top.code = static_cast<std::int64_t>(start - nearest);
    } else {
      bool found = false;
      for (index i = 0; i < all_.size(); ++i) {
        if (all_[i] < limit && (!found || top < all_[i])) {
          top = all_[i];
          found = true;
        }
      }
    }
    return top;
  }
  XMOE_HD void make_heap() {
    for (index i = 0; i < all_.size(); ++i) {
      if (all_[i] < last_) {
        all_[heap_++] = all_[i];
      }
    }
    for (index i = heap_ / 2 - 1; i >= 0; --i) {
      sift(i);
    }
  }
  XMOE_HD Candidate<R> pop() {
    const Candidate<R> top = all_[0];
    all_[0] = all_[--heap_];
    sift(0);
    return top;
  }
  XMOE_HD void sift(index i) {
    const Candidate<R> moved = all_[i];
    for (index child = 2 * i + 1; child < heap_; child = 2 * i + 1) {
      if (child + 1 < heap_ && all_[child] < all_[child + 1]) {
        ++child;
      }
      if (!(moved < all_[child])) {
        break;
      }
      all_[i] = all_[child];
      i = child;
    }
    all_[i] = moved;
  }

  VectorView<Candidate<R>> all_;
  Candidate<R> last_ = {};
  index given_ = 0;
  index heap_ = 0;
};

}  // namespace xmoe::inline XMOE_ABI
