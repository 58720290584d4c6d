#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests.
#   tests/run.sh [PRESET] [CTEST ARGUMENTS...]     PRESET: release if not given
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
if (($# > 0)) && [[ "$1" != -* ]]; then
  preset="$1"
  shift
fi

deploy/install-deps.sh
cmake --preset "$preset"
cmake --build --preset "$preset"
exec ctest --test-dir "build/$preset" --output-on-failure --no-tests=error \
  -j2 "$@"
