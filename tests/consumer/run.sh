#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Uses the library from outside, in one of the ways that users have.
#
#   bash tests/consumer/run.sh CASE...
#
# The cases are the functions case_* below. 77 = the machine lacks what the case needs.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$repository/tests/consumer
source "$repository/tests/support/machine.sh"
cxx=${CXX:-g++}
eigen=$(pkg-config --variable=prefix eigen3)/include/eigen3
strict=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wsign-conversion -Werror)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "consumer: $*" >&2
  exit 1
}

# expect PROGRAM: it prints `name value` lines, all values equal to the expected one up to 1e-5.
expect() {
  local out
  out=$("$@") || fail "$* failed"
  echo "$out"
  compare <<<"$out" || fail "expected $(cat "$here/program/expected.txt")"
}
compare() {
  awk -v want="$(cat "$here/program/expected.txt")" '
    $2 !~ /^[0-9.]+$/ { bad = 1 }
    { d = $2 - want; if (d < 0) d = -d; if (d > 1e-5 * want) bad = 1; ++n }
    END { exit bad || n != 2 }'
}

# build DIR [cmake arguments]: configures and builds a CMake project.
build() {
  local dir=$1
  shift
  cmake -S "$dir" -B "$dir/build" -G Ninja -D CMAKE_CXX_COMPILER="$cxx" \
    -D CMAKE_EXPORT_COMPILE_COMMANDS=ON "$@" >"$dir/log" 2>&1 || { cat "$dir/log"; fail "configure"; }
  cmake --build "$dir/build" -j 1 >"$dir/log" 2>&1 || { cat "$dir/log"; fail "build"; }
  # The library gave the include path, the standard, and nothing else.
  if grep -E '"command"' "$dir/build/compile_commands.json" |
    grep -E -e ' (-march|-mtune|-O[0-9s]|-W|-f[a-z]|-g|-D)'; then
    fail "flags of ours in the user's commands"
  fi
}

# A project of the given kind with the program inside.
project() {
  mkdir "$work/$1"
  cp "$here/program/"*.[ch]pp "$work/$1"
  cp "$here/$1/"* "$work/$1"
}

# Installs the library into $work/prefix, moved there afterwards: packages can be relocated.
install_library() {
  cmake -S "$repository" -B "$work/library" -G Ninja -D CMAKE_CXX_COMPILER="$cxx" \
    -D XMOE_BUILD_TESTS=OFF -D XMOE_BUILD_BENCH=OFF -D XMOE_BUILD_EXAMPLES=OFF >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "configure"; }
  cmake --install "$work/library" --prefix "$work/first" >/dev/null
  mv "$work/first" "$work/prefix"
}

# direct NAME FLAGS...: both files by one compiler call.
direct() {
  local compiler=$1
  shift
  "$compiler" -std=c++20 "$@" -isystem "$eigen" "$here/program/main.cpp" \
    "$here/program/other.cpp" -pthread -o "$work/program"
  expect "$work/program"
}

case_find_package() {
  install_library
  project find_package
  local major minor
  major=$(sed -nE 's/#define XMOE_VERSION_MAJOR ([0-9]+)/\1/p' "$repository/include/xmoe/core/version.hpp")
  minor=$(sed -nE 's/#define XMOE_VERSION_MINOR ([0-9]+)/\1/p' "$repository/include/xmoe/core/version.hpp")
  build "$work/find_package" -D CMAKE_PREFIX_PATH="$work/prefix" -D ACCEPTED="$major.$minor" \
    -D "REFUSED=$major.$((minor + 1));$((major + 1)).0;$major.$minor.99"
  expect "$work/find_package/build/program"
}

case_add_subdirectory() {
  project add_subdirectory
  mkdir "$work/add_subdirectory/xmoe"
  cp -r "$repository"/{CMakeLists.txt,LICENSE,cmake,include,tests} "$work/add_subdirectory/xmoe"
  build "$work/add_subdirectory"
  expect "$work/add_subdirectory/build/program"
  cmake --install "$work/add_subdirectory/build" --prefix "$work/parent" >/dev/null
  local installed tests
  installed=$(cd "$work/parent" && find . -type f)
  [[ $installed == ./share/main.cpp ]] || fail "the parent installs $installed"
  tests=$(cd "$work/add_subdirectory/build" && ctest -N | tail -1)
  [[ $tests == "Total Tests: 0" ]] || fail "the parent got tests: $tests"
}

case_fetch_content() {
  project fetch_content
  build "$work/fetch_content" -D XMOE_SOURCE="$repository"
  expect "$work/fetch_content/build/program"
}

case_pkg_config() {
  install_library
  local pc=$work/prefix/share/pkgconfig flags version
  version=$(PKG_CONFIG_PATH=$pc pkg-config --modversion xmoe)
  grep -q "\"$version\"" "$repository/include/xmoe/core/version.hpp" || fail "version $version"
  flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs xmoe)
  for flag in $flags; do
    case $flag in
      -I* | -pthread | -lpthread) ;;
      *) fail "pkg-config hands out $flag" ;;
    esac
  done
  # shellcheck disable=SC2086
  "$cxx" -std=c++20 "$here"/program/{main,other}.cpp $flags -o "$work/program"
  expect "$work/program"
}

case_single_header() {
  cmake -D INCLUDE="$repository/include" -D OUTPUT="$work/single/xmoe/xmoe.hpp" \
    -P "$repository/cmake/amalgamate.cmake"
  direct "$cxx" -I "$work/single" "${strict[@]}"
}

case_two_units() { direct "$cxx" -I "$repository/include" -O1; }

# Objects for different instruction sets in one program, in both orders of linking.
case_two_targets() {
  [[ $(uname -m) == x86_64 ]] || exit 77
  local common=(-std=c++20 -O2 -I "$repository/include" -isystem "$eigen" -pthread -c)
  "$cxx" "${common[@]}" -march=x86-64-v2 "$here/program/main.cpp" -o "$work/main.o"
  "$cxx" "${common[@]}" -march=native "$here/program/other.cpp" -o "$work/other.o"
  "$cxx" "$work/main.o" "$work/other.o" -pthread -o "$work/program"
  expect "$work/program"
  "$cxx" "$work/other.o" "$work/main.o" -pthread -o "$work/program"
  expect "$work/program"
}

case_no_exceptions() { direct "$cxx" -I "$repository/include" -fno-exceptions; }
case_no_rtti() { direct "$cxx" -I "$repository/include" -fno-rtti; }
case_strict_gcc() { direct "$cxx" -I "$repository/include" "${strict[@]}"; }
case_strict_clang() {
  local clang
  clang=$(find_clang)
  [[ -n $clang ]] || exit 77
  direct "$clang" -I "$repository/include" "${strict[@]}"
}
# Numbers agree, and NaN is still refused. Bitwise equality is not promised with that flag.
case_fast_math() {
  direct "$cxx" -I "$repository/include" -O2 -ffast-math
  "$cxx" -std=c++20 -I "$repository/include" -isystem "$eigen" -O2 -ffast-math \
    "$here/fast_math/main.cpp" -pthread -o "$work/refusals"
  "$work/refusals" || fail "a NaN got through"
}

# Two .cu files and a .cpp: they link, agree on the handle, and without a device say so.
case_cuda() {
  local nvcc out
  nvcc=$(find_nvcc)
  [[ -n $nvcc ]] || exit 77
  install_library
  project cuda
  cmake -S "$work/cuda" -B "$work/cuda/build" -G Ninja -D CMAKE_CXX_COMPILER="$cxx" \
    -D CMAKE_CUDA_COMPILER="$nvcc" -D CMAKE_CUDA_ARCHITECTURES=80 \
    -D CMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; fail "configure"; }
  cmake --build "$work/cuda/build" -j 2 >"$work/log" 2>&1 || { cat "$work/log"; fail "build"; }
  ! grep -i warning "$work/log" || fail "warnings"
  out=$("$work/cuda/build/program") || fail "the program failed"
  echo "$out"
  [[ $(grep -cE '^(the device agrees with the CPU|no device: xmoe::cuda::Backend: .*)$' <<<"$out") == 2 ]] ||
    fail "neither a result nor a reason"
}

# The comparison notices a wrong number, a missing one, and one that is not a number.
self_test() {
  local want
  want=$(cat "$here/program/expected.txt")
  compare <<<"a $want"$'\n'"b $want" || fail "compare refuses the right numbers"
  ! compare <<<"a $want"$'\n'"b 0" || fail "compare accepts 0"
  ! compare <<<"a $want"$'\n'"b nan" || fail "compare accepts nan"
  ! compare <<<"a $want" || fail "compare accepts one number"
}

[[ $# -gt 0 ]] || fail "which case?"
self_test
for name in "$@"; do
  "case_$name"
  find "$work" -mindepth 1 -delete
done
