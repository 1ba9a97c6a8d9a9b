#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the benchmarks and measures the layer beside other ways to compute it. Arguments go to the
# program: bash bench/run.sh --quick, bash bench/run.sh --help
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
as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo)
if [[ ${#missing[@]} -gt 0 ]]; then
  echo "installing: ${missing[*]}" >&2
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
    echo "bench/run.sh: apt-get could not install ${missing[*]}" >&2
    exit 2
  fi
fi

# Peers. Without them their columns stay empty.
install_peer() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
}
for peer in libdnnl-dev:dnnl.h libxsmm-dev:libxsmm.h; do
  package=${peer%%:*}
  if [[ ! -e /usr/include/${peer##*:} ]]; then
    echo "installing: $package" >&2
    if ! install_peer "$package" &&
      ! { "${as_root[@]}" apt-get update -qq >/dev/null 2>&1 && install_peer "$package"; }; then
      echo "no $package here: that peer is left out" >&2
    fi
  fi
done

build=build/release
mkdir -p "$build" build/bench
log=build/bench/build.log
build() {
  cmake --preset release -D XMOE_BUILD_BENCH=ON &&
    cmake --build "$build" --target xmoe_compare xmoe_bench -j "${XMOE_JOBS:-$(nproc)}"
}
if ! build >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "bench/run.sh: the build failed; all of it is in $log" >&2
  exit 1
fi

for argument in "$@"; do
  [[ $argument != --check && $argument != --help ]] || exec "$build/bench/xmoe_compare" "$@"
done
status=0
"$build/bench/xmoe_compare" --json build/bench/results.json --html build/bench/report.html "$@" ||
  status=$?
if [[ $status -le 1 ]]; then
  echo "numbers: build/bench/results.json; charts: build/bench/report.html"
fi
exit "$status"
