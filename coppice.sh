#!/usr/bin/env bash
# Installs what is missing, builds the program when something changed, and runs it.
#
#   ./coppice.sh run configs/quickstart.json     any command of the program
#   ./coppice.sh test                            every test that this machine can run
#   ./coppice.sh build                           only build
#
# stdout is the program's; what this script has to say goes to stderr. Works offline once the
# packages are there. COPPICE_JOBS limits the compilers at once (default: one per core).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
build=$root/build/release
program=$build/coppice
stamp=$build/coppice.stamp
test_stamp=$build/coppice_test.stamp

say() { printf 'coppice.sh: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 3
}

# What the build needs, by the names of Debian 12, Debian 13 and Ubuntu 24.04.
packages=(g++ cmake ninja-build pkgconf
  nlohmann-json3-dev libfmt-dev libssl-dev libsqlite3-dev libtbb-dev libgit2-dev
  libseccomp-dev libzstd-dev zlib1g-dev libcli11-dev libcurl4-openssl-dev node-d3)
# Opponents that kernels are timed against.
packages+=(libopenblas-dev libdnnl-dev)
test_packages=(catch2 git libcpp-httplib-dev make)
# Tests that need one of these are skipped, by name, where the distribution does not have it.
optional_test_packages=(clang-format-14 chromium patchelf)

missing_of() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
      printf '%s\n' "$name"
  done
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "these packages are missing, and installing them needs root (no sudo here): run as root:
  apt-get install --no-install-recommends ${wanted[*]}"
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1
}

# install NAME...: installs those that are missing; says nothing when none is.
install() {
  local wanted log started=$SECONDS
  if ! command -v dpkg-query >/dev/null; then
    say "no dpkg here: taking the packages for granted (needed: $*)"
    return
  fi
  mapfile -t wanted < <(missing_of "$@")
  ((${#wanted[@]})) || return 0
  log=$(mktemp)
  say "installing ${#wanted[@]} packages: ${wanted[*]}"
  if ! apt_install "${wanted[@]}"; then
    # No package lists yet, or old ones.
    say "fetching the package lists first"
    as_root apt-get -o DPkg::Lock::Timeout=300 update >"$log" 2>&1 || {
      tail -n 20 "$log" >&2
      die "apt-get update failed (see above); without network, install beforehand: ${wanted[*]}"
    }
    apt_install "${wanted[@]}" || {
      tail -n 20 "$log" >&2
      die "apt-get install failed (see above)"
    }
  fi
  rm -f "$log"
  say "packages installed in $((SECONDS - started)) s"
}

# Those of the given packages that the distribution offers (on Ubuntu, chromium is a snap).
offered() {
  local name text
  command -v apt-cache >/dev/null || return 0
  for name in "$@"; do
    text=$(apt-cache show --no-all-versions "$name" 2>/dev/null || true)
    if [[ $text == *Filename:* && $text != *snapd* ]]; then
      printf '%s\n' "$name"
    fi
  done
}

# Nothing that goes into the program is newer than the last good build. Folders count too: their
# time moves when a file is added or removed.
up_to_date() {
  local mark=$1
  shift
  [[ -x $program && -f $mark ]] || return 1
  [[ $(<"$mark") == "$(identity)" ]] || return 1
  [[ -z $(cd "$root" && find CMakeLists.txt CMakePresets.json cmake core archive experiments llm evaluators planner \
    mutators search cli "$@" -path experiments/ops -prune -o -newer "$mark" -print -quit 2>/dev/null) ]]
}

identity() {
  local id='' version=''
  [[ ! -r /etc/os-release ]] || {
    id=$(sed -n 's/^ID=//p' /etc/os-release)
    version=$(sed -n 's/^VERSION_ID=//p' /etc/os-release)
  }
  printf '%s %s %s %s\n' "$id" "$version" "$(uname -m)" "$root"
}

# compile ON|OFF TARGET...: ON builds the tests too.
compile() {
  local with_tests=$1 started=$SECONDS jobs=${COPPICE_JOBS:-$(nproc)}
  shift
  say "building (the first time takes some minutes on two cores)"
  [[ $(command -v ninja) ]] || die "ninja is missing"
  local options=()
  # A tree that has built its tests keeps them configured: switching back would only cost time.
  [[ $with_tests == OFF && -f $build/CMakeCache.txt ]] || options+=("-DCOPPICE_TESTS=$with_tests")
  mkdir -p "$build"
  (cd "$root" && cmake --preset release "${options[@]}") >"$build/configure.log" 2>&1 || {
    tail -n 30 "$build/configure.log" >&2
    die "cmake failed (see above; whole text in build/release/configure.log)"
  }
  # Compilers take up to 1 GB each: fewer at once on a small machine.
  local memory
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1000000) }' /proc/meminfo)
  ((jobs <= memory || memory < 1)) || jobs=$memory
  if [[ -t 2 ]]; then
    NINJA_STATUS='coppice.sh: [%f/%t] ' ninja -C "$build" -j "$jobs" "$@" >&2 || die "the build failed (see above)"
  else
    ninja -C "$build" -j "$jobs" "$@" >"$build/build.log" 2>&1 || {
      grep -A 30 -m 1 '^FAILED' "$build/build.log" >&2 || tail -n 30 "$build/build.log" >&2
      die "the build failed (see above; whole text in build/release/build.log)"
    }
  fi
  say "built in $((SECONDS - started)) s"
}

build_program() {
  up_to_date "$stamp" && return
  local begun
  begun=$(mktemp)
  install "${packages[@]}"
  compile OFF coppice
  identity >"$stamp"
  touch -r "$begun" "$stamp" # what changed while we built counts as newer
  rm -f "$begun"
}

build_tests() {
  up_to_date "$test_stamp" tests && return
  local begun extra
  begun=$(mktemp)
  install "${packages[@]}" "${test_packages[@]}"
  mapfile -t extra < <(offered "${optional_test_packages[@]}")
  ((${#extra[@]} == 0)) || install "${extra[@]}"
  compile ON all
  identity | tee "$stamp" >"$test_stamp"
  touch -r "$begun" "$stamp" "$test_stamp"
  rm -f "$begun"
}

case ${1-} in
  test)
    shift
    build_tests
    cd "$root"
    # Slow tests run alone, the others side by side; the last lines are the runner's count.
    exec ctest --test-dir "$build" --output-on-failure -j "$(nproc)" "$@"
    ;;
  build)
    build_program
    ;;
  *)
    build_program
    exec "$program" "$@"
    ;;
esac
