#!/usr/bin/env bash
# collect.sh BINARIES TARGET: puts the programs, stripped, and the Debian packages
# that each of them needs at run time into TARGET.
set -euo pipefail

binaries=$1
target=$2
mkdir -p "$target"

# The packages that own the libraries of programs. /lib is /usr/lib here, and
# dpkg knows some by the one and some by the other name.
packages() {
  local libraries
  mapfile -t libraries < <(ldd "$@" |
    sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u | xargs realpath | sort -u)
  { dpkg-query -S "${libraries[@]}" "${libraries[@]#/usr}" 2>/dev/null || true; } |
    cut -d: -f1 | sort -u
}

for program in terse terse-server terse-worker; do
  strip -o "$target/$program" "$binaries/$program"
  chmod 755 "$target/$program"
done
packages "$binaries/terse" "$binaries/terse-server" >"$target/server.packages"
# libtorch finds its BLAS at run time.
{
  packages "$binaries/terse" "$binaries/terse-worker"
  echo libopenblas0-pthread
} | sort -u >"$target/worker.packages"
