#!/bin/sh
# Builds common/kernels and its tests for 64-bit ARM (NEON) and runs the tests
# under emulation. No part of CI: it needs, beyond deploy/dependencies.txt,
#
#   apt-get install g++-aarch64-linux-gnu qemu-user
#
# and downloads (does not install) Highway and GoogleTest for arm64.
# Usage: tests/cross/kernels_aarch64.sh BUILD_FOLDER [GTEST_FILTER]
set -eu

if [ $# -lt 1 ]; then
  echo "usage: $0 BUILD_FOLDER [GTEST_FILTER]" >&2
  exit 2
fi
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1/objects" "$1/lists/partial" "$1/archives/partial"
cd "$1"
build_dir=$PWD

if [ ! -d root ]; then
  touch status
  apt="apt-get -qq -o APT::Architecture=arm64 -o APT::Sandbox::User=root
       -o Dir::State::lists=$build_dir/lists -o Dir::State::status=$build_dir/status
       -o Dir::Cache::archives=$build_dir/archives"
  $apt update
  $apt download libhwy1 libhwy-dev libgtest-dev libgmock-dev
  for package in ./*.deb; do dpkg-deb -x "$package" root; done
fi

flags="-std=c++20 -O2 -Wall -ffp-contract=off -I$source_dir -isystem root/usr/include"
# As common/kernels/CMakeLists.txt has it.
targets="-DHWY_DISABLED_TARGETS=(HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128)"
compile() {
  object=objects/$(echo "${1#"$source_dir"/}" | tr / _).o
  if [ ! "$object" -nt "$1" ]; then
    echo "$1"
    aarch64-linux-gnu-g++ $flags "$targets" -c "$1" -o "$object"
  fi
}
for file in "$source_dir"/common/kernels/*.cc \
            "$source_dir"/tests/unit/common/kernels/*_test.cc; do
  compile "$file"
done

libraries=root/usr/lib/aarch64-linux-gnu
aarch64-linux-gnu-g++ objects/*.o -o unit_kernels -L$libraries \
  -lgtest_main -lgmock -lgtest -lhwy -lpthread
qemu-aarch64 -L /usr/aarch64-linux-gnu \
  -E LD_LIBRARY_PATH="$build_dir/$libraries" \
  ./unit_kernels --gtest_filter="${2:-*}"
