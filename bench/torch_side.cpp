// SPDX-License-Identifier: Apache-2.0
// PyTorch in a process of its own, which torch_side.py runs. The interpreter is the environment
// variable XMOE_BENCH_PYTHON, or python3.
#include "sides.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace xmoe_bench {

namespace {

/// The other process: commands and numbers to it, answers from it. One serves all banks.
class Torch {
 public:
  Torch() {
    std::signal(SIGPIPE, SIG_IGN);
    int in[2];
    int out[2];
    if (pipe(in) != 0 || pipe(out) != 0) {
      return;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (const int end : {in[0], in[1], out[0], out[1]}) {
      posix_spawn_file_actions_addclose(&actions, end);
    }
    const char* given = std::getenv("XMOE_BENCH_PYTHON");
    std::string python = given != nullptr && *given != '\0' ? given : "python3";
    std::string script = XMOE_BENCH_TORCH_SCRIPT;
    char* const arguments[] = {python.data(), script.data(), nullptr};
    const int failed = posix_spawnp(&child_, python.c_str(), &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    to_ = fdopen(in[1], "wb");
    from_ = fdopen(out[0], "rb");
    if (failed != 0) {
      child_ = -1;
      return;
    }
    const std::string greeting = line(/*may_end=*/true);
    ready_ = greeting.starts_with("ready ");
    version_ = ready_ ? greeting.substr(6) : "";
  }
  Torch(const Torch&) = delete;
  Torch& operator=(const Torch&) = delete;
  ~Torch() {
    for (std::FILE* file : {to_, from_}) {
      if (file != nullptr) {
        std::fclose(file);
      }
    }
    if (child_ > 0) {
      waitpid(child_, nullptr, 0);
    }
  }

  /// Null if PyTorch cannot be imported; says so once.
  static Torch* get() {
    static Torch torch;
    static const bool told = [] {
      if (torch.ready_) {
        std::fprintf(stderr, "PyTorch %s\n", torch.version_.c_str());
      } else {
        std::fprintf(stderr,
                     "PyTorch is left out: set XMOE_BENCH_PYTHON to a Python that has it\n");
      }
      return true;
    }();
    return told && torch.ready_ ? &torch : nullptr;
  }

  template <class... Numbers>
  void command(const char* name, Numbers... numbers) {
    std::string text = name;
    (text.append(" ").append(std::to_string(numbers)), ...);
    text += "\n";
    write(text.data(), text.size());
  }
  void write(const void* data, std::size_t bytes) {
    if (std::fwrite(data, 1, bytes, to_) != bytes) {
      fail();
    }
  }
  void flush() {
    if (std::fflush(to_) != 0) {
      fail();
    }
  }
  void read(float* to, std::size_t count) {
    flush();
    if (std::fread(to, sizeof(float), count, from_) != count) {
      fail();
    }
  }
  std::string line(bool may_end = false) {
    flush();
    std::string result;
    for (int c = std::fgetc(from_); c != '\n'; c = std::fgetc(from_)) {
      if (c == EOF) {
        if (may_end) {
          return result;
        }
        fail();
      }
      result += static_cast<char>(c);
    }
    return result;
  }

 private:
  [[noreturn]] void fail() {
    ready_ = false;
    throw SideFailure("the process of PyTorch has ended");
  }

  pid_t child_ = -1;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
  bool ready_ = false;
  std::string version_;
};

class TorchSide : public Side {
 public:
  TorchSide(Torch& torch, const Bank& bank, Scalar scalar, index threads)
      : torch_(torch), shape_(bank.shape) {
    torch_.command("bank", shape_.experts(), shape_.up_rows(), shape_.model_dim, shape_.expert_dim,
                   shape_.gated ? 1 : 0, scalar == Scalar::bf16 ? 1 : 0, threads);
    send(bank.up);
    send(bank.down);
    torch_.line();
  }

  ~TorchSide() override {
    try {
      torch_.command("drop");
      torch_.line();
    } catch (const SideFailure&) {  // gone already, and told
    }
  }

  void take(const Problem& next) override {
    Side::take(next);
    torch_.command("problem", next.shape.tokens, next.shape.model_dim, calls());
    send(next.x);
    send(next.dy);
    for (const auto& r : next.routings) {
      send(r.offsets());
      send(r.expert());
      send(r.weight());
    }
    torch_.line();
  }
  void forward(index i) override { call("forward", i); }
  void record(index i) override { call("record", i); }
  void backward(index i) override {
    torch_.command("backward", i);
    receive(dx);
    torch_.read(dweight.data(), static_cast<std::size_t>(routing(i).assignments()));
  }
  std::vector<float> project_gradients() override {
    const index up_stride = gradient_stride(shape_.up_rows());
    const index down_stride = gradient_stride(shape_.model_dim);
    torch_.command("project", up_stride, down_stride);
    const index up = (shape_.up_rows() + up_stride - 1) / up_stride;
    const index down = (shape_.model_dim + down_stride - 1) / down_stride;
    std::vector<float> result(static_cast<std::size_t>(shape_.experts() * (up + down)));
    torch_.read(result.data(), result.size());
    return result;
  }
  double time(Pass pass, index repeats) override {
    torch_.command("time", pass == Pass::backward ? 1 : 0, repeats);
    return std::strtod(torch_.line().c_str(), nullptr);
  }

 private:
  void call(const char* name, index i) {
    torch_.command(name, i);
    receive(y);
  }
  template <class Numbers>
  void send(const Numbers& numbers) {
    torch_.write(numbers.data(), static_cast<std::size_t>(numbers.size()) * sizeof(numbers[0]));
  }
  void receive(xmoe::Buffer<float>& numbers) {
    torch_.read(numbers.data(), static_cast<std::size_t>(numbers.size()));
  }

  Torch& torch_;
  Shape shape_;
};

}  // namespace

std::unique_ptr<Side> make_torch(const Bank& bank, Scalar scalar, index threads) {
  Torch* const torch = Torch::get();
  return torch == nullptr ? nullptr : std::make_unique<TorchSide>(*torch, bank, scalar, threads);
}

}  // namespace xmoe_bench
