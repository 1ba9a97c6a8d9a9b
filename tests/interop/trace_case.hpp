// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/interop/routing_trace.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "support/routing_case.hpp"

// Files of routings in a temporary folder.
namespace tests {

using Bytes = std::vector<unsigned char>;

/// The path of a file that goes away with this.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_((std::filesystem::temp_directory_path() /
               ("xmoe_trace_" + std::to_string(std::random_device()()) + ".bin"))
                  .string()) {}
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  Bytes bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  void write(const Bytes& bytes) const {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::string path_;
};

/// A routing of `tokens` tokens; `fixed` experts each, or 0 .. 3 where it is negative.
template <class R>
xmoe::Routing<R> trace_routing(Generator& random, index tokens, index experts, index fixed,
                               const std::vector<std::uint8_t>& valid = {}) {
  std::vector<index> offsets = {0};
  std::vector<std::int32_t> expert;
  std::vector<R> weight;
  for (index t = 0; t < tokens; ++t) {
    const bool real = valid.empty() || valid[static_cast<std::size_t>(t)] != 0;
    const index count = !real || experts == 0 ? 0 : fixed < 0 ? random.below(4) : fixed;
    for (index r = 0; r < count; ++r) {
      const bool last = expert.empty();  // the largest id needs every bit that it may have
      expert.push_back(static_cast<std::int32_t>(last ? experts - 1 : random.below(experts)));
      weight.push_back(static_cast<R>(random.normal()));
    }
    offsets.push_back(static_cast<index>(expert.size()));
  }
  return xmoe::Routing<R>::from(experts, offsets, expert, weight);
}

/// Every number of two routings, bit for bit.
template <class R>
bool same_routing(const xmoe::Routing<R>& a, const xmoe::Routing<R>& b, bool weights = true) {
  const auto equal = [](const auto& x, const auto& y) {
    return x.size() == y.size() &&
           (x.empty() || std::memcmp(x.data(), y.data(), x.size_bytes()) == 0);
  };
  return a.experts() == b.experts() && equal(a.offsets(), b.offsets()) &&
         equal(a.expert(), b.expert()) && (!weights || equal(a.weight(), b.weight()));
}

}  // namespace tests
