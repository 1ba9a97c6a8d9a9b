// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>

namespace emulation {

/// How a child process ended, and what it wrote to its standard error.
struct ChildResult {
  int status = 0;  ///< as waitpid gives it
  std::string text;

  bool clean() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  bool says(const std::string& what) const { return text.find(what) != std::string::npos; }
};

/// Calls f in a child process, so that it may crash, or be ended by a sanitizer. A C++ exception
/// ends it with status 3 and its text.
template <class F>
ChildResult run_in_child(F f) {
  int ends[2];
  std::fflush(nullptr);
  if (::pipe(ends) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  const pid_t child = ::fork();
  if (child < 0) {
    throw std::system_error(errno, std::generic_category(), "fork");
  }
  if (child == 0) {
    ::dup2(ends[1], 2);
    ::close(ends[0]);
    ::close(ends[1]);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT}) {  // not the test framework's
      std::signal(signal, SIG_DFL);
    }
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    int status = 0;
    try {
      f();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "exception: %s\n", e.what());
      status = 3;
    }
    std::fflush(nullptr);
    ::_exit(status);
  }
  ::close(ends[1]);
  ChildResult result;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof(buffer))) != 0;) {
    if (n < 0 && errno != EINTR) {
      break;
    }
    result.text.append(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  ::close(ends[0]);
  while (::waitpid(child, &result.status, 0) < 0 && errno == EINTR) {
  }
  return result;
}

}  // namespace emulation
