// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/packed_rows.hpp>

namespace xmoe::inline XMOE_ABI::cpu::detail {

/// Rows that a worker reads after those at hand: `count` rows of `bytes` at `starts`.
struct Following {
  const std::uintptr_t* starts = nullptr;
  index count = 0;
  index bytes = 0;
};

/// Strips of rows times neighbouring panels of one matrix, blocked for the second-level cache.
///
/// While it computes it asks for what comes next, weights and rows alike: the machine's own
/// prefetchers see neither the next panel nor the next piece of the depth nor gathered rows.
template <class W>
struct Multiply {
  using Sum = typename Arithmetic<W>::Sum;
  using Left = typename Arithmetic<W>::Left;
  static constexpr index width = Panels<W>::width;
  static constexpr index step_bytes = Panels<W>::step_size * static_cast<index>(sizeof(W));
  static constexpr index most_strips = 12;
  static constexpr index most_rows = most_strips * Tile<W>::max_rows;
  /// Panels whose sums wait while a piece of the depth is worked off.
  static constexpr index most_panels = 8;
  static index sums_size(index rows) { return rows * width * most_panels; }

  const Tuning& tuning;
  const Strip<W>* strips;
  index count;
  index rows;
  index steps;
  Sum* sums;  ///< [most_panels][rows][width]
  Following following = {};

  /// Sums of panels [0, panels) that start at `panel`; `after` is what will be read next.
  ///
  ///   together   panels that belong to each other, 1 or 2: their sums are ready together
  ///   soon       (panel, strip): done will follow
  ///   done       (panel, strip, sums of the strip): sums are complete; those of the panel before
  ///              lie rows * width in front when together is 2
  template <index together, class Soon, class Done>
  void run(const W* panel, index panels, const W* after, const Soon& soon, const Done& done) const {
    const index limit =
        tuning.cache_bytes / (rows * static_cast<index>(sizeof(Left)) + 2 * step_bytes);
    const index longest = count == 1 || limit >= steps ? steps : (limit > width ? limit : width);
    const Split pieces{ceil_div(steps, width), ceil_div(steps, longest)};
    const index size = steps * Panels<W>::step_size;
    const index run = pieces.parts == 1 ? panels : most_panels;
    for (index begin = 0; begin < panels; begin += run) {
      const index end = begin + run < panels ? begin + run : panels;
      for (index p = 0; p < pieces.parts; ++p) {
        const index k0 = pieces.begin(p) * width;
        const index k1 = p + 1 == pieces.parts ? steps : pieces.begin(p + 1) * width;
        const W* right = panel + begin * size + k0 * Panels<W>::step_size;
        for (index u = begin; u < end; ++u) {
          const W* const next = u + 1 < end ? right + size
                                : p + 1 < pieces.parts
                                    ? panel + begin * size + k1 * Panels<W>::step_size
                                : end < panels ? panel + end * size
                                               : after;
          const index slot = pieces.parts == 1 ? (u - begin) % together : u - begin;
          // Rows come back at another piece of the depth, or it is the turn of the following ones.
          const index k_next =
              p + 1 < pieces.parts ? k1 : (end < panels && pieces.parts > 1 ? 0 : -1);
          const Place place{k0, k1 - k0, k_next, u, slot, p + 1 == pieces.parts};
          one<together>(right, next, place, u - begin, end - begin, soon, done);
          right += size;
        }
      }
    }
  }

 private:
  struct Place {
    index k;       ///< first step
    index depth;   ///< steps
    index k_next;  ///< where the rows go on after the last panel of the run; -1: nowhere
    index panel;
    index slot;  ///< of the sums
    bool last;   ///< the sums are complete after this
  };

  /// One panel, number `turn` of a run of `turns`, times all strips.
  template <index together, class Soon, class Done>
  void one(const W* right, const W* next, const Place& place, index turn, index turns,
           const Soon& soon, const Done& done) const {
    Sum* const out = sums + place.slot * rows * width;
    const index groups = ceil_div(place.depth, Ahead::group);
    const index lines = ceil_div(place.depth * step_bytes, cache_line);
    const index share = ceil_div(lines, groups * count);
    for (index s = 0; s < count; ++s) {
      const Strip<W>& strip = strips[s];
      // One strip: run ahead in this panel. Several: each asks for its share of the next panel.
      const auto from = count == 1
                            ? reinterpret_cast<std::uintptr_t>(right) +
                                  static_cast<std::uintptr_t>(tuning.distance)
                            : reinterpret_cast<std::uintptr_t>(next) +
                                  static_cast<std::uintptr_t>(lines * s / count * cache_line);
      Ahead ahead{from, share,
                  static_cast<std::uintptr_t>(share * (width / Ahead::group) * cache_line)};
      if (place.k_next >= 0) {
        const auto start =
            reinterpret_cast<std::uintptr_t>(strip.left + place.k_next / width * strip.chunk);
        ahead.trail = Trail::share(
            &start, 1, place.depth * strip.height * static_cast<index>(sizeof(Left)), turn, turns);
      } else {
        ahead.trail = Trail::share(following.starts, following.count, following.bytes,
                                   turn * count + s, turns * count);
      }
      ahead.trail.lines = ceil_div(ahead.trail.total, groups);
      Sum* const to = out + strip.row * width;
      if (place.last) {
        soon(place.panel, strip);
      }
      Tile<W>{place.depth, strip.left + place.k / width * strip.chunk,
              strip.chunk, right,
              to,          place.k == 0,
              ahead}
          .template run<LeftOrder::by_row>(strip.height);
      if (place.last && place.panel % together == together - 1) {
        done(place.panel, strip, static_cast<const Sum*>(to));
      }
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cpu::detail
