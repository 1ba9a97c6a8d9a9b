// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/interop/routing_trace_writer.hpp>

#include <optional>
#include <utility>

namespace xmoe::inline XMOE_ABI::interop {

/// One record that was read.
template <class R = float>
struct RoutingTraceRecord {
  index step = 0;
  index layer = 0;
  /// False: the file holds choices alone and every weight of the routing is 1. A replay may compute
  /// weights from today's scores.
  bool has_weights = false;
  Routing<R> routing;               ///< its scores are its weights
  std::vector<std::uint8_t> valid;  ///< [T] 0 = padding; empty = no padding
};

/// Reads the records of a file in order:
///
///   RoutingTraceReader reader("run.trace");
///   while (auto record = reader.next()) { ... record->routing.view() ... }
///
/// Trusts nothing: what does not fit is an io_error that names path, byte and expectation. Memory
/// is bounded by a constant times the size of the file, whatever the file says of itself.
class RoutingTraceReader {
 public:
  /// Throws io_error if the file cannot be read or is no trace.
  explicit RoutingTraceReader(const std::string& path)
      : path_(path), file_(path, std::ios::binary) {
    file_.seekg(0, std::ios::end);
    const auto end = file_.good() ? static_cast<std::streamoff>(file_.tellg()) : -1;
    if (end < 0) {
      fail(0, "the file cannot be read");
    }
    size_ = static_cast<std::uint64_t>(end);
    file_.seekg(0);
    const unsigned char* const head = read(trace::header_bytes, "a header of 32 bytes");
    for (std::size_t i = 0; i < sizeof trace::magic; ++i) {
      expect(head[i] == trace::magic[i], i, "expected the magic xmoetrc");
    }
    expect(trace::get(head + 8, 4) == trace::version, 8, "expected version 1");
    expect(trace::get(head + 12, 4) == trace::header_bytes, 12, "expected a header of 32 bytes");
    records_ = trace::get(head + 16, 8);
    const std::uint64_t size = trace::get(head + 24, 8);
    expect(size != 0, 24, "expected the size of the file; its writer was not closed");
    expect(size == size_, 24, "expected the size of the file");
    rewind();
    expect(records_ <= size_ / trace::record_bytes, 16, "more records than the file has room for");
  }

  index records() const { return static_cast<index>(records_); }
  /// The next call of next() reads the first record.
  void rewind() {
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(trace::header_bytes));
    position_ = trace::header_bytes;
    place_ = 0;
    inside_ = false;
  }

  /// The next record, nothing behind the last. Throws io_error; then rewind() is what is left.
  template <class R = float>
  std::optional<RoutingTraceRecord<R>> next() {
    expect(!inside_, position_, "rewind after an error");
    if (place_ == records_) {
      expect(position_ == size_, position_, "expected the end of the file after the last record");
      return std::nullopt;
    }
    inside_ = true;
    const std::uint64_t start = position_;
    const unsigned char* const head = read(trace::record_bytes, "a record of 32 bytes");
    const std::uint64_t step = trace::get(head, 8), layer = trace::get(head + 8, 4);
    const std::uint64_t experts = trace::get(head + 12, 4), tokens = trace::get(head + 16, 4);
    const std::size_t count_bytes = head[20];
    const unsigned flags = head[21];
    const std::uint64_t n = trace::get(head + 24, 8);
    const auto most = static_cast<std::uint64_t>(trace::most);
    expect(step <= static_cast<std::uint64_t>(PTRDIFF_MAX), start, "expected a step below 2^63");
    expect(layer <= most, start + 8, "expected a layer below 2^31");
    expect(experts <= most, start + 12, "expected fewer than 2^31 experts");
    expect(tokens <= most, start + 16, "expected fewer than 2^31 tokens");
    expect(count_bytes <= 2 || count_bytes == 4, start + 20, "expected counts of 0, 1, 2, 4 bytes");
    expect(flags < 4 && trace::get(head + 22, 2) == 0, start + 21, "expected flags that are known");
    // Without counts there are assignments for every token, so that no size is beyond the file's.
    expect(count_bytes != 0 || (n > 0 && tokens > 0 && n % tokens == 0), start + 24,
           "expected a multiple of the tokens");
    const std::size_t id_bytes = trace::id_bytes(static_cast<index>(experts));
    const bool weighted = (flags & trace::with_weights) != 0;
    expect(n <= (size_ - position_) / (id_bytes + (weighted ? 4 : 0)), start + 24,
           "more assignments than the file has room for");

    RoutingTraceRecord<R> record;
    record.step = static_cast<index>(step);
    record.layer = static_cast<index>(layer);
    record.has_weights = weighted;
    const std::vector<index> offsets = read_offsets(tokens, count_bytes, n);
    index real = static_cast<index>(tokens);
    if ((flags & trace::with_padding) != 0) {
      record.valid = read_padding(offsets);
      real = 0;
      for (const std::uint8_t v : record.valid) {
        real += v;
      }
    }
    const std::vector<std::int32_t> expert = read_experts(experts, n);
    Routing<R> all = Routing<R>::from(static_cast<index>(experts), offsets, expert,
                                      read_weights<R>(weighted, n));
    if (real < all.tokens()) {
      RoutingView<R> view = all.view();
      view.valid_tokens = real;
      record.routing = Routing<R>::copy(view);
    } else {
      record.routing = std::move(all);
    }
    inside_ = false;
    ++place_;
    return record;
  }

 private:
  [[noreturn]] void fail(std::uint64_t byte, const char* what) const {
    detail::fail<io_error>("xmoe::interop::RoutingTraceReader: %.300s, byte %llu: %s",
                           path_.c_str(), static_cast<unsigned long long>(byte), what);
  }
  void expect(bool holds, std::uint64_t byte, const char* what) const {
    if (!holds) {
      fail(byte, what);
    }
  }
  /// The next bytes of the file; valid until the next call.
  const unsigned char* read(std::uint64_t bytes, const char* what) {
    if (bytes > size_ - position_) {
      detail::fail<io_error>(
          "xmoe::interop::RoutingTraceReader: %.300s, byte %llu: expected %s, %llu bytes are left",
          path_.c_str(), static_cast<unsigned long long>(position_), what,
          static_cast<unsigned long long>(size_ - position_));
    }
    buffer_.resize(static_cast<std::size_t>(bytes) + 1);
    file_.read(reinterpret_cast<char*>(buffer_.data()), static_cast<std::streamsize>(bytes));
    expect(file_.good() || bytes == 0, position_, "the file cannot be read");
    position_ += bytes;
    return buffer_.data();
  }

  std::vector<index> read_offsets(std::uint64_t tokens, std::size_t count_bytes, std::uint64_t n) {
    const std::uint64_t start = position_;
    const unsigned char* const from = read(tokens * count_bytes, "a count for every token");
    std::vector<index> offsets(static_cast<std::size_t>(tokens) + 1, 0);
    std::uint64_t sum = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      sum += count_bytes == 0 ? n / tokens : trace::get(from + t * count_bytes, count_bytes);
      expect(sum <= n, start + t * count_bytes, "more experts than the record has assignments");
      offsets[t + 1] = static_cast<index>(sum);
    }
    expect(sum == n, position_, "expected counts whose sum is the record's assignments");
    return offsets;
  }
  std::vector<std::uint8_t> read_padding(const std::vector<index>& offsets) {
    const std::uint64_t start = position_;
    const std::size_t tokens = offsets.size() - 1;
    const unsigned char* const from = read((tokens + 7) / 8, "a bit of padding for every token");
    std::vector<std::uint8_t> valid(tokens, 0);
    for (std::size_t t = 0; t < tokens; ++t) {
      valid[t] = static_cast<std::uint8_t>((unsigned{from[t / 8]} >> (t % 8)) & 1u);
      expect(valid[t] != 0 || offsets[t + 1] == offsets[t], start + t / 8,
             "expected no experts for a token of padding");
    }
    return valid;
  }
  std::vector<std::int32_t> read_experts(std::uint64_t experts, std::uint64_t n) {
    const std::uint64_t start = position_;
    const std::size_t width = trace::id_bytes(static_cast<index>(experts));
    const unsigned char* const from = read(n * width, "an expert for every assignment");
    std::vector<std::int32_t> expert(static_cast<std::size_t>(n));
    for (std::size_t a = 0; a < expert.size(); ++a) {
      const std::uint64_t e = trace::get(from + a * width, width);
      if (e >= experts) {
        detail::fail<io_error>(
            "xmoe::interop::RoutingTraceReader: %.300s, byte %llu: expert is %llu, expected less "
            "than %llu",
            path_.c_str(), static_cast<unsigned long long>(start + a * width),
            static_cast<unsigned long long>(e), static_cast<unsigned long long>(experts));
      }
      expert[a] = static_cast<std::int32_t>(e);
    }
    return expert;
  }
  template <class R>
  std::vector<R> read_weights(bool weighted, std::uint64_t n) {
    std::vector<R> weight(static_cast<std::size_t>(n), R(1));
    if (weighted) {
      const std::uint64_t start = position_;
      const unsigned char* const from = read(n * 4, "a weight for every assignment");
      for (std::size_t a = 0; a < weight.size(); ++a) {
        const auto bits = static_cast<std::uint32_t>(trace::get(from + a * 4, 4));
        const float w = __builtin_bit_cast(float, bits);
        expect(is_finite(w), start + a * 4, "expected a finite weight");
        weight[a] = static_cast<R>(w);
      }
    }
    return weight;
  }

  std::string path_;
  std::ifstream file_;
  std::vector<unsigned char> buffer_;
  std::uint64_t size_ = 0, position_ = 0, records_ = 0, place_ = 0;
  bool inside_ = false;  ///< of a record: an error left the place unknown
};

}  // namespace xmoe::inline XMOE_ABI::interop
