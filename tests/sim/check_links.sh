#!/usr/bin/env bash
# check_links.sh BINARY NAME...: fails if BINARY loads a library of one of the
# names.
set -euo pipefail
binary=$1
shift
libraries=$(ldd "$binary")
for name in "$@"; do
  if grep -q "lib$name" <<<"$libraries"; then
    echo "$binary links lib$name:" >&2
    grep "lib$name" <<<"$libraries" >&2
    exit 1
  fi
done
