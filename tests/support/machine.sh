# SPDX-License-Identifier: Apache-2.0
# Sourced by tests/run.sh and .ci/run: what the machine has, and what has to be installed.

jobs=${XMOE_JOBS:-$(nproc)}
missing=()

# need COMMAND PACKAGE
need() {
  if ! command -v "$1" >/dev/null 2>&1; then
    missing+=("$2")
  fi
}
# need_file PATTERN PACKAGE
need_file() {
  if ! compgen -G "$1" >/dev/null; then
    missing+=("$2")
  fi
}

# The oldest clang++ from 16 on, or nothing.
find_clang() {
  local name version
  for name in clang++-{16..29} clang++; do
    if command -v "$name" >/dev/null 2>&1; then
      version=$("$name" -dumpversion)
      if [[ ${version%%.*} -ge 16 ]]; then
        echo "$name"
        return
      fi
    fi
  done
}
# A clang that links with its sanitizers; its version decides the name of their package.
need_clang() {
  local clang version
  clang=$(find_clang)
  if [[ -z $clang ]]; then
    missing+=(clang-16 libclang-rt-16-dev)
  elif ! "$clang" -fsanitize=address -x c++ -o /dev/null - <<<'int main() {}' 2>/dev/null; then
    version=$("$clang" -dumpversion)
    missing+=("libclang-rt-${version%%.*}-dev")
  fi
}

# nvcc, or nothing: it is never installed. XMOE_NVCC names another one.
find_nvcc() {
  local name names=(nvcc /usr/local/cuda/bin/nvcc /usr/local/cuda*/bin/nvcc)
  if [[ -n ${XMOE_NVCC:-} ]]; then
    names=("$XMOE_NVCC")
  fi
  for name in "${names[@]}"; do
    if command -v "$name" 2>/dev/null; then
      return
    fi
  done
}

# Installs what was found missing, or says what to install.
install_missing() {
  if [[ ${#missing[@]} -eq 0 ]]; then
    return 0
  fi
  local as=()
  if [[ $(id -u) -ne 0 ]]; then
    if ! sudo -n true 2>/dev/null; then
      echo "Missing: ${missing[*]}. Install them, or run this as root." >&2
      exit 1
    fi
    as=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing (Debian names): ${missing[*]}. There is no apt-get here: install them by hand." >&2
    exit 1
  fi
  echo "Installing ${missing[*]}"
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  missing=()
}
