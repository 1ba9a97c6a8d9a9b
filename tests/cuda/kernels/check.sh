#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles the kernels for every target and compares the binaries with bounds.txt.
#
#   bash tests/cuda/kernels/check.sh            compile, check, write build/docs/cuda.md
#   bash tests/cuda/kernels/check.sh --update   compile, write bounds.txt anew from what is measured
#
# Every .cu here takes part. One that takes long is compiled in pieces, if it says so:
#
#   // piece NAME WORD=VALUE... [sm_XX...]
#
# is one compilation with -D XMOE_GATE_WORD=VALUE..., for the targets named, or else for all. Only
# device code is made: the host's side of these files is parsed, not compiled.
# Without nvcc nothing is checked, and a line says so. XMOE_NVCC names another nvcc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
source tests/support/machine.sh

here=tests/cuda/kernels
out=build/cuda_kernels
targets=(sm_80 sm_90 sm_100)
running=()

nvcc=$(find_nvcc)
if [[ -z $nvcc ]]; then
  echo "no nvcc here: kernels not compiled for ${targets[*]}, binaries not checked"
  exit 0
fi
need g++ g++
install_missing

# jobs_of FILE: for every piece and target "target, file, where to, -D..."
jobs_of() {
  local name=${1##*/} line word defines only words target
  while read -r line; do
    read -ra words <<<"$line"
    defines=() only=()
    for word in "${words[@]:1}"; do
      case $word in
        sm_*) only+=("$word") ;;
        *=*) defines+=(-D "XMOE_GATE_$word") ;;
        *)
          echo "$1: \"// piece $line\": what is $word?" >&2
          return 1
          ;;
      esac
    done
    if [[ ${#only[@]} -eq 0 ]]; then
      only=("${targets[@]}")
    fi
    for target in "${only[@]}"; do
      echo "$target" "$1" "$out/${name%.cu}.${words[0]}.$target" "${defines[@]}"
    done
  done < <(sed -nE 's|^// piece (.*)|\1|p' "$1" | grep . || echo all)
}

# compile TARGET FILE STEM -D...: STEM.cubin and STEM.log
compile() {
  local begin=$SECONDS
  if ! $compiler -arch="$1" "${@:4}" -o "$3.cubin" "$2" >"$3.log" 2>&1; then
    echo "$3:" >&2
    grep -vE '^ptxas info|bytes stack frame' "$3.log" >&2
    return 255 # and no further one is begun
  fi
  echo "$((SECONDS - begin)) s ${3##*/}"
}
export -f compile
export compiler="$nvcc -std=c++20 -Werror all-warnings -I include -Xptxas -v -cubin"

rm -rf "$out"
mkdir -p "$out" build/docs
for file in "$here"/*.cu; do
  jobs_of "$file"
done >"$out/jobs"
mapfile -t stems < <(awk '{ print $3 }' "$out/jobs")
# What the checker has to refuse, in a binary of its own.
for target in "${targets[@]}"; do
  echo "$target $here/twins/local_memory.cu $out/local_memory.$target"
done >>"$out/jobs"

for program in check twins traffic; do
  g++ -std=c++20 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wsign-conversion -Werror \
    -o "$out/$program" "$here/$program.cpp" &
  running+=($!)
done
for id in "${running[@]}"; do
  wait "$id"
done
xargs -P "$jobs" -L 1 bash -c 'compile "$@"' compile <"$out/jobs"

if [[ ${1:-} == --update ]]; then
  "$out/check" --update "$here/bounds.txt" "${stems[@]}" >"$out/bounds.txt"
  cp "$out/bounds.txt" "$here/bounds.txt"
  git diff --stat -- "$here/bounds.txt"
  exit
fi
"$out/traffic" >build/docs/traffic.txt
"$out/check" --page build/docs/traffic.txt "$here/bounds.txt" "${stems[@]}" >build/docs/cuda.md
"$out/check" "$here/bounds.txt" "${stems[@]}"
"$out/twins" "$here/bounds.txt" "$out/gemm_kernels.bfloat16.sm_80" "$out/gemm_kernels.float.sm_80" \
  "${targets[@]/#/$out/local_memory.}"
