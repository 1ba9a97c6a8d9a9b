#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds xmoe-gpu-check for the GPU of this machine, and runs it.
#
#   bash tests/cuda/gpu_check.sh [--build-only] [options of xmoe-gpu-check, see --help]
#
# Without a GPU it is built for sm_80 and says "no device"; without nvcc nothing is built and a line
# says "no nvcc". XMOE_NVCC names another nvcc, XMOE_JOBS how many compilers run at a time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/support/machine.sh
source "$root/tests/support/machine.sh"

nvcc=$(find_nvcc || true)
if [[ -z $nvcc ]]; then
  echo "no nvcc here: install the CUDA toolkit, or name its nvcc by XMOE_NVCC"
  exit 0
fi
build_only=false
if [[ ${1:-} == --build-only ]]; then
  build_only=true
  shift
fi

arch=sm_80
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; then
  arch=native
fi
out=$root/build/gpu_check
mkdir -p "$out"
# -O1 is for the host's code, which takes long to compile; device code is always optimized
flags=(-std=c++20 -O1 "-arch=$arch" -Werror all-warnings -I "$root/include" -I "$root/tests")

# compile NAME: unless the object is newer than all that it was made of, with the same compiler
compile() {
  local object=$out/$1.o stamp="$nvcc ${flags[*]}" made_of
  if [[ -f $object && -f $object.d && $(cat "$object.stamp" 2>/dev/null) == "$stamp" ]]; then
    made_of=$(sed -e 's/^[^:]*://' -e 's/\\$//' "$object.d")
    # shellcheck disable=SC2086
    if [[ -z $(find $made_of -newer "$object" 2>&1) ]]; then
      return
    fi
  fi
  rm -f "$object.stamp"
  "$nvcc" "${flags[@]}" -MD -MF "$object.d" -c "$root/tests/cuda/gpu_check/$1.cu" -o "$object"
  echo "$stamp" >"$object.stamp"
}

begin=$SECONDS
running=0
for name in bfloat16 half wide main; do  # the longest first
  compile "$name" &
  if ((++running >= jobs)); then
    wait -n || true  # what failed is seen below
  fi
done
wait
for name in bfloat16 half wide main; do
  if [[ ! -f $out/$name.o.stamp ]]; then
    echo "$root/tests/cuda/gpu_check/$name.cu was not compiled" >&2
    exit 1
  fi
done
"$nvcc" "-arch=$arch" -cudart static "$out"/{bfloat16,half,wide,main}.o -o "$out/xmoe-gpu-check" \
  -lcublas
echo "built $out/xmoe-gpu-check for $arch in $((SECONDS - begin)) s"

if ! $build_only; then
  cd "$root"
  exec "$out/xmoe-gpu-check" "$@"
fi
