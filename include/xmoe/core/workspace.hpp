// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/buffer.hpp>

namespace xmoe::inline XMOE_ABI {

/// A block of memory from which a call takes its scratch arrays, one after the other.
///
/// Sizes are known beforehand: `layer.workspace_bytes(T)` runs the same sequence of `take` on a
/// measuring workspace, which hands out nothing and only counts. A function that takes scratch
/// therefore has the form
///
///     S* rows = workspace.take<S>(n);
///     if (workspace.measuring()) { return; }
///
/// and its size can never drift from its use. Arrays that outlive a call come from `ctx.keep`,
/// which may be the same block: take them before opening a Scope on scratch. Not thread-safe: one
/// workspace per concurrent call.
///
///   Memory   owner of a block: Memory(bytes, uninitialized), data(), size(); movable
///   unit     what arrays are aligned to, in bytes
template <class Memory, index unit>
class BasicWorkspace {
 public:
  /// Nothing inside: every `take` of more than zero elements fails.
  BasicWorkspace() = default;
  explicit BasicWorkspace(index bytes) : memory_(bytes, uninitialized) {}
  // Arrays point into the block: it moves, but is never copied.
  BasicWorkspace(BasicWorkspace&&) noexcept = default;
  BasicWorkspace& operator=(BasicWorkspace&&) noexcept = default;
  /// A workspace that only counts.
  static BasicWorkspace measure() {
    BasicWorkspace result;
    result.measuring_ = true;
    return result;
  }

  bool measuring() const { return measuring_; }
  index capacity() const { return memory_.size(); }
  /// The most bytes that were ever in use.
  index peak() const { return peak_; }

  /// `count` numbers, aligned, not initialised. Throws value_error when the block is used up.
  template <class S>
  S* take(index count) {
    static_assert(std::is_trivially_copyable_v<S>);
    const index bytes = round_up(count * static_cast<index>(sizeof(S)));
    used_ += bytes;
    peak_ = used_ > peak_ ? used_ : peak_;
    if (measuring_) {
      return nullptr;
    }
    if (used_ > capacity()) {
      const index wanted = used_;
      used_ -= bytes;
      detail::fail<value_error>("xmoe::Workspace::take: %td bytes needed, the workspace has %td",
                                wanted, capacity());
    }
    return reinterpret_cast<S*>(memory_.data() + (used_ - bytes));
  }

  /// Gives back what was taken since its construction.
  class Scope {
   public:
    explicit Scope(BasicWorkspace& workspace) : workspace_(workspace), used_(workspace.used_) {}
    ~Scope() { workspace_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    BasicWorkspace& workspace_;
    index used_;
  };

  /// Makes room for `bytes`; only while nothing is taken. Allocates if it grows.
  void reserve(index bytes) {
    XMOE_ASSERT(used_ == 0, "xmoe::Workspace::reserve while arrays are in use");
    if (bytes > capacity()) {
      memory_ = Memory();  // free before growing
      memory_ = Memory(bytes, uninitialized);
    }
  }
  /// Gives everything back.
  void clear() { used_ = 0; }

 private:
  static constexpr index round_up(index bytes) { return (bytes + unit - 1) / unit * unit; }

  Memory memory_;
  index used_ = 0;
  index peak_ = 0;
  bool measuring_ = false;
};

/// In host memory.
using Workspace = BasicWorkspace<Buffer<std::byte>, static_cast<index>(alignment)>;

}  // namespace xmoe::inline XMOE_ABI
