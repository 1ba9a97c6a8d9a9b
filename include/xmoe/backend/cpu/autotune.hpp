// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/workers.hpp>
#include <xmoe/core/batch.hpp>
#include <xmoe/core/buffer.hpp>
#include <xmoe/core/sizes.hpp>
#include <xmoe/core/traits.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace xmoe::inline XMOE_ABI::cpu {

/// How autotune measures, and where it writes down what it found.
struct AutotuneOptions {
  int rounds = 7;       ///< measurements of each side; candidate and default take turns
  double gain = 0.03;   ///< share of the time that a candidate must save to be taken
  std::string cache{};  ///< a text file, one line a case; empty: none
};

/// What autotune decided.
struct AutotuneResult {
  Tuning tuning{};
  double ratio = 1.0;   ///< its time over the default's, measured last; 1 if the default stays
  index tried = 0;      ///< candidates
  index rejected = 0;   ///< candidates whose results were not the default's, bit for bit
  bool cached = false;  ///< read from the file, nothing measured
};

namespace detail {

/// One line of the cache file: what was tuned for, then what was found.
struct TuningRecord {
  static constexpr const char* arrow = " -> ";

  static std::string processor() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("model name")) {
        return line.substr(std::min(line.size(), line.find(':') + 2));
      }
    }
    return "unknown processor";
  }
  static std::string key(const std::string& processor, index threads, Sizes sizes, index tokens,
                         std::size_t weight_bytes) {
    std::ostringstream out;
    out << processor << ", vector " << XMOE_VECTOR_BYTES << ", threads " << threads
        << ", model_dim " << sizes.model_dim << ", experts " << sizes.experts << ", expert_dim "
        << sizes.expert_dim << ", tokens " << tokens << ", weight bytes " << weight_bytes;
    return out.str();
  }
  static std::string text(const Tuning& t, double ratio) {
    std::ostringstream out;
    out << "items_per_thread " << t.items_per_thread << " column_items_per_thread "
        << t.column_items_per_thread << " cache_bytes " << t.cache_bytes << " distance "
        << t.distance << " ratio " << ratio;
    return out.str();
  }
  /// False if the text is not what `text` writes.
  static bool parse(const std::string& line, Tuning& t, double& ratio) {
    std::istringstream in(line);
    const auto number = [&](const char* name, auto& value) {
      std::string word;
      return static_cast<bool>(in >> word >> value) && word == name;
    };
    std::string rest;
    return number("items_per_thread", t.items_per_thread) &&
           number("column_items_per_thread", t.column_items_per_thread) &&
           number("cache_bytes", t.cache_bytes) && number("distance", t.distance) &&
           number("ratio", ratio) && !(in >> rest);
  }
  /// Looks for the last line of a key. Throws io_error naming a line that cannot be read.
  static bool find(const std::string& path, const std::string& key, AutotuneResult& result) {
    std::ifstream file(path);
    bool found = false;
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      const std::size_t at = line.find(arrow);
      AutotuneResult read;
      if (at == std::string::npos ||
          !parse(line.substr(at + std::strlen(arrow)), read.tuning, read.ratio)) {
        xmoe::detail::fail<io_error>("xmoe::cpu::autotune: %s, line %d: cannot read '%s'",
                                     path.c_str(), number, line.c_str());
      }
      if (line.compare(0, at, key) == 0) {
        result = read;
        result.cached = found = true;
      }
    }
    return found;
  }
  static void append(const std::string& path, const std::string& key, const AutotuneResult& r) {
    std::ofstream file(path, std::ios::app);
    file << key << arrow << text(r.tuning, r.ratio) << "\n";
    if (!file.flush()) {
      xmoe::detail::fail<io_error>("xmoe::cpu::autotune: cannot write %s", path.c_str());
    }
  }
};

/// Values other than the default, one number changed at a time.
inline std::vector<Tuning> neighbours(const Tuning& from) {
  std::vector<Tuning> result;
  const auto add = [&](index Tuning::*number, std::initializer_list<index> values) {
    for (const index value : values) {
      Tuning t = from;
      t.*number = value;
      if (t != from) {
        result.push_back(t);
      }
    }
  };
  add(&Tuning::items_per_thread, {6, 12, 24});
  add(&Tuning::column_items_per_thread, {1, 2, 4, 8});
  add(&Tuning::cache_bytes, {300 * 1024, 600 * 1024, 1200 * 1024});
  add(&Tuning::distance, {4096, 8192, 16384});
  return result;
}

}  // namespace detail

/// Looks for a Tuning that makes `layer.forward` faster on tokens like these, and leaves the layer
/// with it. Never part of anything unless it is called.
///
///   in      layer; tokens, a batch of the usual size
///   out     the layer's backend has the tuning; result says what it is worth
///   safe    a candidate must give the default's output bit for bit, and must beat the default by
///           `gain` in a last comparison of its own; else the default stays
///   cost    about 25 * rounds forward calls; none if the cache file knows the case
///   throws  io_error if the cache file cannot be read or written; value_error on options
template <class Layer, class Scalar>
AutotuneResult autotune(Layer& layer, const Batch<Scalar>& tokens,
                        const AutotuneOptions& options = {}) {
  if (options.rounds < 1 || !(options.gain >= 0.0 && options.gain < 1.0)) {
    xmoe::detail::fail<value_error>(
        "xmoe::cpu::autotune: rounds is %d, gain is %g; need at least 1, and a share below 1",
        options.rounds, options.gain);
  }
  const Sizes sizes = layer.sizes();
  const index count = tokens.x.rows();
  auto backend = layer.backend();
  AutotuneResult result;
  const std::string key =
      detail::TuningRecord::key(detail::TuningRecord::processor(), backend.threads(), sizes, count,
                                sizeof(typename Layer::traits::weight));
  const auto use = [&](const Tuning& tuning) {
    backend.set_tuning(tuning);
    layer.set_backend(backend);
  };
  if (!options.cache.empty() && detail::TuningRecord::find(options.cache, key, result)) {
    use(result.tuning);
    return result;
  }
  Buffer<Scalar> expected(count * sizes.model_dim), got(count * sizes.model_dim);
  const auto run = [&](const Tuning& tuning, Buffer<Scalar>& y) {
    use(tuning);
    const auto start = std::chrono::steady_clock::now();
    layer.forward(tokens, Out<Scalar>(y.data(), count, sizes.model_dim));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  // Time over the default's, from turns of both; more than 1 if the results differ.
  const auto compare = [&](const Tuning& tuning, int rounds) {
    std::vector<double> ratio;
    for (int round = 0; round < rounds; ++round) {
      const bool first = round % 2 == 0;
      const double one = first ? run(tuning, got) : run(Tuning{}, expected);
      const double two = first ? run(Tuning{}, expected) : run(tuning, got);
      ratio.push_back(first ? one / two : two / one);
      if (std::memcmp(got.data(), expected.data(),
                      static_cast<std::size_t>(got.size()) * sizeof(Scalar)) != 0) {
        ++result.rejected;
        return 2.0;
      }
    }
    std::nth_element(ratio.begin(), ratio.begin() + rounds / 2, ratio.end());
    return ratio[static_cast<std::size_t>(rounds / 2)];
  };
  run(Tuning{}, expected);  // warm
  Tuning best;
  double best_ratio = 1.0;
  for (const Tuning& candidate : detail::neighbours(Tuning{})) {
    ++result.tried;
    const double ratio = compare(candidate, options.rounds);
    if (ratio < best_ratio) {
      best = candidate;
      best_ratio = ratio;
    }
  }
  if (best != Tuning{}) {
    const double ratio = compare(best, 2 * options.rounds + 1);
    if (ratio <= 1.0 - options.gain) {
      result.tuning = best;
      result.ratio = ratio;
    }
  }
  use(result.tuning);
  if (!options.cache.empty()) {
    detail::TuningRecord::append(options.cache, key, result);
  }
  return result;
}

}  // namespace xmoe::inline XMOE_ABI::cpu
