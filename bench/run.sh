#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the benchmarks and compares the layer with the loop over experts that one writes with
# Eigen. Arguments go to the program: bash bench/run.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
need() {  # need PACKAGE TEST...: notes PACKAGE if TEST fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}
any_file() { compgen -G "$1"; }
need g++ command -v g++
need cmake command -v cmake
need ninja-build command -v ninja
need libeigen3-dev test -e /usr/share/eigen3/cmake/Eigen3Config.cmake
need libbenchmark-dev any_file '/usr/lib/*/cmake/benchmark/benchmarkConfig.cmake'
if [[ ${#missing[@]} -gt 0 ]]; then
  as_root=()
  [[ $(id -u) -eq 0 ]] || as_root=(sudo)
  echo "installing: ${missing[*]}" >&2
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
    echo "bench/run.sh: apt-get could not install ${missing[*]}" >&2
    exit 2
  fi
fi

build=build/release
mkdir -p "$build" build/bench
log=build/bench/build.log
build() {
  cmake --preset release -D XMOE_BUILD_BENCH=ON &&
    cmake --build "$build" --target xmoe_floor xmoe_bench -j "${XMOE_JOBS:-$(nproc)}"
}
if ! build >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "bench/run.sh: the build failed; all of it is in $log" >&2
  exit 1
fi

status=0
"$build/bench/xmoe_floor" --json build/bench/results.json "$@" || status=$?
if [[ $status -le 1 && -e build/bench/results.json ]]; then
  echo "all numbers: build/bench/results.json; more: $build/bench/xmoe_bench --benchmark_filter=W1"
fi
exit "$status"
