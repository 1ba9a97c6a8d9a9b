#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job: trains a Switch, an XMoE and a fixed top-k language model of the same size on real
# text and compares quality and work. Arguments go to the program: bash examples/run.sh --help
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."

# Files are named from where the user is; the program runs at the root of the repository.
arguments=()
option=
for argument in "$@"; do
  if [[ $option =~ ^--(text|out|checkpoint)$ && $argument != /* && $PWD != "$from" ]]; then
    argument=$from/$argument
  fi
  arguments+=("$argument")
  option=$argument
done

missing=()
need() {  # need PACKAGE TEST...: notes PACKAGE if TEST fails
  local package=$1
  shift
  "$@" > /dev/null 2>&1 || missing+=("$package")
}
need g++ command -v g++
need cmake command -v cmake
need ninja-build command -v ninja
need libeigen3-dev test -e /usr/include/eigen3/Eigen/Core
need libcli11-dev test -e /usr/include/CLI/CLI.hpp
need nlohmann-json3-dev test -e /usr/include/nlohmann/json.hpp
# with --text the text is the user's own
if [[ " $* " != *" --text"* ]]; then
  need bible-kjv command -v bible
  need bible-kjv-text dpkg -s bible-kjv-text
fi
need gnuplot-nox command -v gnuplot

if [ ${#missing[@]} -gt 0 ]; then
  as_root=(env DEBIAN_FRONTEND=noninteractive)
  [ "$(id -u)" -eq 0 ] || as_root=(sudo "${as_root[@]}")
  echo "installing: ${missing[*]}" >&2
  if ! { command -v apt-get && { [ "$(id -u)" -eq 0 ] || command -v sudo; }; } > /dev/null
  then
    echo "run.sh: missing, and not to be installed from here: ${missing[*]}" >&2
    exit 2
  fi
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"; } > /dev/null
  then
    echo "run.sh: apt-get could not install ${missing[*]}" >&2
    exit 2
  fi
fi

build=build/examples
log=$build/build.log
mkdir -p "$build"
[ ! -t 2 ] || echo "building (about a minute the first time) ..." >&2
if ! { cmake -S . -B "$build" -G Ninja -D CMAKE_BUILD_TYPE=Release -D XMOE_BUILD_TESTS=OFF \
    -D XMOE_BUILD_BENCH=OFF -D XMOE_BUILD_EXAMPLES=ON -D XMOE_INSTALL=OFF &&
    cmake --build "$build" --target language_model -j "$(nproc)"; } > "$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "run.sh: the build failed; all of it is in $log" >&2
  exit 1
fi
exec "$build/examples/language_model" ${arguments[@]+"${arguments[@]}"}
