#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the library's tests and runs them all.
#
#   bash tests/run.sh [preset] [arguments for ctest]
#
# preset: release (default), dev, clang, generic, aarch64, asan, tsan; see CMakePresets.json. Debian packages that are
# missing are installed, which needs root or sudo. The last line is `N passed, M failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/support/machine.sh

preset=release
if [[ $# -gt 0 && $1 != -* ]]; then
  preset=$1
  shift
fi

need g++ g++
need cmake cmake
need ninja ninja-build
need pkg-config pkg-config
need_file /usr/share/eigen3/cmake/Eigen3Config.cmake libeigen3-dev
need_file '/usr/*/cmake/Catch2/Catch2Config.cmake' catch2
case $preset in
  clang | asan | tsan) need_clang ;;
  aarch64)
    need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
    need qemu-aarch64-static qemu-user-static
    ;;
esac
install_missing

configure=(cmake --preset "$preset")
case $preset in
  clang | asan | tsan) configure+=(-D "CMAKE_CXX_COMPILER=$(find_clang)") ;;
esac
nvcc=$(find_nvcc)
if [[ -n $nvcc && -z ${CUDACXX:-} ]]; then
  export CUDACXX=$nvcc
fi
log="build/$preset/configure.log"
mkdir -p "build/$preset"
if ! "${configure[@]}" >"$log" 2>&1; then
  cat "$log"
  echo "tests/run.sh: configuring preset $preset failed" >&2
  exit 1
fi
cmake --build --preset "$preset" -j "$jobs"

report="$PWD/build/$preset/tests.xml"
rm -f "$report"
status=0
ctest --preset "$preset" -j "$jobs" --output-junit "$report" "$@" || status=$?

number() { tr '\n' ' ' <"$report" | sed -nE "s/.*<testsuite [^>]*[[:space:]]$1=\"([0-9]+)\".*/\1/p"; }
if [[ ! -f $report ]]; then
  echo "tests/run.sh: ctest made no report" >&2
  exit 1
fi
total=$(number tests)
failed=$(number failures)
skipped=$(($(number skipped) + $(number disabled)))
if [[ $status -ne 0 && $failed -eq 0 ]]; then
  failed=1 # not run, or no tests at all
fi
line="$((total - failed - skipped)) passed, $failed failed"
if [[ $skipped -gt 0 ]]; then
  line+=", $skipped skipped"
fi
echo "$line"
[[ $failed -eq 0 && $status -eq 0 ]]
