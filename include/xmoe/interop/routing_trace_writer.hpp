// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/routing.hpp>

#include <fstream>
#include <string>
#include <vector>

namespace xmoe::inline XMOE_ABI::interop {

// The file, little-endian: a header of 32 bytes, then records.
//
//   header   magic [8], u32 version, u32 bytes of the header, u64 records, u64 bytes of the file
//   record   u64 step, u32 layer, u32 E, u32 T, u8 bytes of a count, u8 flags, u16 zero,
//            u64 assignments N (32 bytes), then
//            experts of a token   T counts of 1, 2 or 4 bytes; nothing if every token has N / T > 0
//            padding              (T+7)/8 bytes, bit t%8 of byte t/8 is 1 for a real token; by flag
//            expert               N ids of 1 byte (E <= 256), 2 bytes (E <= 65536) or 4
//            weight               N float32; by flag
//
// So a token with K experts takes K bytes where E <= 256 and all tokens have K; 1 more where they
// differ, 4 K more with weights, 1/8 more with padding.
namespace trace {

inline constexpr unsigned char magic[8] = {'x', 'm', 'o', 'e', 't', 'r', 'c', '\n'};
inline constexpr std::uint32_t version = 1;
inline constexpr std::size_t header_bytes = 32;
inline constexpr std::size_t record_bytes = 32;  ///< of a record before its arrays
inline constexpr unsigned with_weights = 1, with_padding = 2;
inline constexpr index most = 0x7fffffff;  ///< tokens, experts

inline std::size_t id_bytes(index experts) { return experts <= 256 ? 1 : experts <= 65536 ? 2 : 4; }

inline void put(std::vector<unsigned char>& to, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    to.push_back(static_cast<unsigned char>(value >> (8 * i)));
  }
}
inline std::uint64_t get(const unsigned char* from, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= static_cast<std::uint64_t>(from[i]) << (8 * i);
  }
  return value;
}
inline std::vector<unsigned char> header(std::uint64_t records, std::uint64_t file_bytes) {
  std::vector<unsigned char> bytes(magic, magic + sizeof magic);
  put(bytes, version, 4);
  put(bytes, header_bytes, 4);
  put(bytes, records, 8);
  put(bytes, file_bytes, 8);
  return bytes;
}

}  // namespace trace

/// Writes routings to a file, one record at a time:
///
///   RoutingTraceWriter writer("run.trace");
///   writer.append(step, layer, routing.view());
///   writer.close();
///
/// A file that was not closed is refused by the reader. The destructor closes, but is silent about
/// errors.
class RoutingTraceWriter {
 public:
  enum class Weights { keep, leave_out };

  /// Throws io_error if the file cannot be opened. A file of that name is replaced.
  explicit RoutingTraceWriter(const std::string& path)
      : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
    write(trace::header(0, 0));
    check();
  }
  ~RoutingTraceWriter() { finish(); }
  RoutingTraceWriter(const RoutingTraceWriter&) = delete;
  RoutingTraceWriter& operator=(const RoutingTraceWriter&) = delete;

  /// Adds a record. A double weight is rounded to float. Scores are not kept.
  ///
  ///   in      step, layer   0 or more, any order; told back as they are
  ///           valid [T]     0 = padding, which has no experts; empty = no padding
  ///   throws  shape_error, value_error naming what a reader would refuse; io_error. The file holds
  ///           whole records alone, unless it was an io_error
  template <class R>
  void append(index step, index layer, const RoutingView<R>& routing,
              Weights weights = Weights::keep, VectorView<const std::uint8_t> valid = {}) {
    check(step, layer, routing, valid);
    const index n = routing.tokens > 0 ? routing.offsets[routing.tokens] : 0;
    index longest = 0, shortest = n;
    for (index t = 0; t < routing.tokens; ++t) {
      const index count = routing.end(t) - routing.begin(t);
      longest = count > longest ? count : longest;
      shortest = count < shortest ? count : shortest;
    }
    const bool even = n > 0 && longest == shortest;
    const std::size_t count_bytes = even ? 0 : longest < 256 ? 1 : longest < 65536 ? 2 : 4;
    const bool keep = weights == Weights::keep, padded = valid.size() > 0;

    record_.clear();
    const auto put = [&](index value, std::size_t bytes) {
      trace::put(record_, static_cast<std::uint64_t>(value), bytes);
    };
    put(step, 8);
    put(layer, 4);
    put(routing.experts, 4);
    put(routing.tokens, 4);
    put(static_cast<index>(count_bytes), 1);
    put((keep ? trace::with_weights : 0u) | (padded ? trace::with_padding : 0u), 1);
    put(0, 2);
    put(n, 8);
    for (index t = 0; t < routing.tokens; ++t) {
      put(routing.end(t) - routing.begin(t), count_bytes);
    }
    for (index t = 0; padded && t < routing.tokens; t += 8) {
      index bits = 0;
      for (index i = t; i < routing.tokens && i < t + 8; ++i) {
        bits |= index(valid[i] != 0 ? 1 : 0) << (i - t);
      }
      put(bits, 1);
    }
    for (index a = 0; a < n; ++a) {
      put(routing.expert[a], trace::id_bytes(routing.experts));
    }
    for (index a = 0; keep && a < n; ++a) {
      put(__builtin_bit_cast(std::uint32_t, static_cast<float>(routing.weight[a])), 4);
    }
    write(record_);
    check();
    ++records_;
  }

  /// Ends the file; nothing can be appended afterwards. Throws io_error if anything was not
  /// written. A second call does nothing.
  void close() {
    if (!finish()) {
      fail();
    }
  }

 private:
  static constexpr const char* name = "xmoe::interop::RoutingTraceWriter";

  [[noreturn]] void fail() const {
    detail::fail<io_error>("%s: %.300s, byte %llu: the file cannot be written", name, path_.c_str(),
                           static_cast<unsigned long long>(bytes_));
  }
  void check() const {
    if (!file_.good()) {
      fail();
    }
  }
  template <class R>
  void check(index step, index layer, const RoutingView<R>& routing,
             VectorView<const std::uint8_t> valid) const {
    if (closed_) {
      detail::fail<io_error>("%s: %.300s is closed", name, path_.c_str());
    }
    if (step < 0 || layer < 0 || layer > trace::most) {
      detail::fail<value_error>("%s: step is %td, layer is %td; must be 0 or more", name, step,
                                layer);
    }
    if (routing.tokens < 0 || routing.tokens > trace::most || routing.experts < 0 ||
        routing.experts > trace::most) {
      detail::fail<shape_error>("%s: %td tokens, %td experts; at most %td each", name,
                                routing.tokens, routing.experts, trace::most);
    }
    if (valid.size() != 0 && valid.size() != routing.tokens) {
      detail::fail<shape_error>("%s: the padding mask has %td entries, there are %td tokens", name,
                                valid.size(), routing.tokens);
    }
    for (index t = 0; t < routing.tokens; ++t) {
      const index count = routing.end(t) - routing.begin(t);
      if (count < 0 || count > trace::most || routing.offsets[0] != 0) {
        detail::fail<shape_error>("%s: offsets must rise from 0; token %td has %td experts", name,
                                  t, count);
      }
      if (count > 0 && valid.size() != 0 && valid[t] == 0) {
        detail::fail<value_error>("%s: token %td is padding, but has %td experts", name, t, count);
      }
    }
    for (index a = 0; a < (routing.tokens > 0 ? routing.offsets[routing.tokens] : 0); ++a) {
      if (routing.expert[a] < 0 || routing.expert[a] >= routing.experts) {
        detail::fail<value_error>("%s: expert[%td] is %d, must be in 0 .. %td", name, a,
                                  static_cast<int>(routing.expert[a]), routing.experts - 1);
      }
      if (!is_finite(static_cast<float>(routing.weight[a]))) {
        detail::fail<value_error>("%s: weight[%td] is not finite as a float", name, a);
      }
    }
  }
  void write(const std::vector<unsigned char>& bytes) {
    file_.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
    bytes_ += bytes.size();
  }
  /// The header now says how much follows it.
  bool finish() noexcept {
    if (!closed_) {
      closed_ = true;
      file_.flush();
      if (file_.good()) {
        const std::uint64_t size = bytes_;
        file_.seekp(0);
        write(trace::header(records_, size));
        bytes_ = size;
      }
      file_.close();
      complete_ = file_.good();
    }
    return complete_;
  }

  std::string path_;
  std::ofstream file_;
  std::vector<unsigned char> record_;
  std::uint64_t records_ = 0, bytes_ = 0;
  bool closed_ = false, complete_ = false;
};

}  // namespace xmoe::inline XMOE_ABI::interop
