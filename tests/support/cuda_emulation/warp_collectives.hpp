// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "launch.hpp"

#include <type_traits>

// The warp functions that CUDA names *_sync. A lane that takes no part gives all ones (NaN).

namespace emulation::detail {
EMULATION_TRUSTED_BEGIN

/// `In` goes into the lane's slot, `Out` comes from it.
template <class Out, class In>
Out collective(unsigned mask, const char* operation, void (*finish)(Warp&, unsigned), const In& in,
               const Place& place) {
  static_assert(std::is_trivially_copyable_v<In> && sizeof(In) <= sizeof(Warp::Slot::in));
  Thread& thread = self();
  const Quiet quiet;
  Warp& warp = *thread.warp;
  __builtin_memcpy(warp.slots[thread.lane].in, &in, sizeof(In));
  thread.engine->meet(mask, operation, finish, place);
  Out out;
  __builtin_memcpy(&out, warp.slots[thread.lane].out, sizeof(Out));
  return out;
}

template <class F>
void each_lane(unsigned lanes, F f) {
  for (; lanes != 0; lanes &= lanes - 1) {
    f(static_cast<unsigned>(__builtin_ctz(lanes)));
  }
}

template <class T>
T undefined() {
  T value;
  __builtin_memset(&value, 0xff, sizeof(T));
  return value;
}

enum class Shuffle { index, up, down, exclusive_or };

template <class T>
struct ShuffleOperand {
  T value;
  unsigned argument, width;
};

/// The lane that a lane reads, or 32 + its own if it keeps its value.
template <Shuffle kind>
constexpr unsigned source_lane(unsigned lane, unsigned argument, unsigned width) {
  const unsigned first = lane & ~(width - 1);
  const unsigned last = first + width - 1;
  switch (kind) {
    case Shuffle::index:
      return first + (argument & (width - 1));
    case Shuffle::up:
      return lane >= first + argument ? lane - argument : lane;
    case Shuffle::down:
      return lane + argument <= last ? lane + argument : lane;
    case Shuffle::exclusive_or:
      // Up to the own segment's end; earlier segments may be read.
      return (lane ^ argument) <= last ? lane ^ argument : lane;
  }
  return lane;
}

template <Shuffle kind, class T>
void finish_shuffle(Warp& warp, unsigned arrived) {
  each_lane(arrived, [&](unsigned lane) {
    const auto own = warp.in<ShuffleOperand<T>>(lane);
    const unsigned from = source_lane<kind>(lane, own.argument, own.width);
    const bool there = from < warp_size && ((arrived >> from) & 1u) != 0;
    warp.out(lane, there ? warp.in<ShuffleOperand<T>>(from).value : undefined<T>());
  });
}

template <Shuffle kind, class T>
T shuffle(unsigned mask, T value, unsigned argument, int width, const char* name,
          const Place& place) {
  const auto w = static_cast<unsigned>(width);
  if (w == 0 || w > warp_size || (w & (w - 1)) != 0) {
    throw fault(place.text() + ": " + name + ": width " + std::to_string(width));
  }
  return collective<T>(mask, name, finish_shuffle<kind, T>, ShuffleOperand<T>{value, argument, w},
                       place);
}

template <class Out, class In, class F>
void finish_all(Warp& warp, unsigned arrived) {
  const Out result = F{}(warp, arrived);
  each_lane(arrived, [&](unsigned lane) { warp.out(lane, result); });
}

struct Ballot {
  unsigned operator()(const Warp& warp, unsigned arrived) const {
    unsigned votes = 0;
    each_lane(arrived, [&](unsigned lane) { votes |= warp.in<int>(lane) != 0 ? 1u << lane : 0; });
    return votes;
  }
};
struct Any {
  int operator()(const Warp& warp, unsigned arrived) const {
    return Ballot{}(warp, arrived) != 0 ? 1 : 0;
  }
};
struct All {
  int operator()(const Warp& warp, unsigned arrived) const {
    return Ballot{}(warp, arrived) == arrived ? 1 : 0;
  }
};

template <class T, class F>
struct Reduce {
  T operator()(const Warp& warp, unsigned arrived) const {
    T sum = warp.in<T>(static_cast<unsigned>(__builtin_ctz(arrived)));
    each_lane(arrived & (arrived - 1), [&](unsigned lane) { sum = F{}(sum, warp.in<T>(lane)); });
    return sum;
  }
};
struct Plus {
  unsigned operator()(unsigned a, unsigned b) const { return a + b; }
  int operator()(int a, int b) const {
    return static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  }
};
struct Smaller {
  template <class T>
  T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};
struct Larger {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
struct BitAnd {
  unsigned operator()(unsigned a, unsigned b) const { return a & b; }
};
struct BitOr {
  unsigned operator()(unsigned a, unsigned b) const { return a | b; }
};
struct BitXor {
  unsigned operator()(unsigned a, unsigned b) const { return a ^ b; }
};

template <class T>
void finish_match(Warp& warp, unsigned arrived) {
  each_lane(arrived, [&](unsigned lane) {
    unsigned same = 0;
    const T own = warp.in<T>(lane);
    each_lane(arrived, [&](unsigned other) {
      const T value = warp.in<T>(other);
      same |= __builtin_memcmp(&own, &value, sizeof(T)) == 0 ? 1u << other : 0;
    });
    warp.out(lane, same);
  });
}

EMULATION_TRUSTED_END
}  // namespace emulation::detail

#define EMULATION_HERE ::std::source_location place = ::std::source_location::current()

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, EMULATION_HERE) {
  using namespace emulation::detail;
  return shuffle<Shuffle::index>(mask, value, static_cast<unsigned>(lane), width, "__shfl_sync",
                                 place);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_HERE) {
  using namespace emulation::detail;
  return shuffle<Shuffle::up>(mask, value, delta, width, "__shfl_up_sync", place);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_HERE) {
  using namespace emulation::detail;
  return shuffle<Shuffle::down>(mask, value, delta, width, "__shfl_down_sync", place);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATION_HERE) {
  using namespace emulation::detail;
  return shuffle<Shuffle::exclusive_or>(mask, value, static_cast<unsigned>(bits), width,
                                        "__shfl_xor_sync", place);
}

#define EMULATION_VOTE(type, name, functor)                                                 \
  inline type name(unsigned mask, int predicate, EMULATION_HERE) {                          \
    using namespace emulation::detail;                                                      \
    return collective<type>(mask, #name, finish_all<type, int, functor>, predicate, place); \
  }
EMULATION_VOTE(unsigned, __ballot_sync, Ballot)
EMULATION_VOTE(int, __any_sync, Any)
EMULATION_VOTE(int, __all_sync, All)
#undef EMULATION_VOTE

#define EMULATION_REDUCE(type, name, functor)                                                  \
  inline type name(unsigned mask, type value, EMULATION_HERE) {                                \
    using namespace emulation::detail;                                                         \
    return collective<type>(mask, #name, finish_all<type, type, Reduce<type, functor>>, value, \
                            place);                                                            \
  }
EMULATION_REDUCE(unsigned, __reduce_add_sync, Plus)
EMULATION_REDUCE(int, __reduce_add_sync, Plus)
EMULATION_REDUCE(unsigned, __reduce_min_sync, Smaller)
EMULATION_REDUCE(int, __reduce_min_sync, Smaller)
EMULATION_REDUCE(unsigned, __reduce_max_sync, Larger)
EMULATION_REDUCE(int, __reduce_max_sync, Larger)
EMULATION_REDUCE(unsigned, __reduce_and_sync, BitAnd)
EMULATION_REDUCE(unsigned, __reduce_or_sync, BitOr)
EMULATION_REDUCE(unsigned, __reduce_xor_sync, BitXor)
#undef EMULATION_REDUCE

template <class T>
unsigned __match_any_sync(unsigned mask, T value, EMULATION_HERE) {
  using namespace emulation::detail;
  return collective<unsigned>(mask, "__match_any_sync", finish_match<T>, value, place);
}
