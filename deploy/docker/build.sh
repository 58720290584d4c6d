#!/usr/bin/env bash
# Builds the images terse-server, terse-worker and terse-mpi.
#   deploy/docker/build.sh [--prebuilt] [OPTIONS OF THE BUILDER...]
# --prebuilt: with the programs of build/release, built on Debian 12, in place of
# building them in the image. BUILDER: podman, docker or "buildah"; TAG: 0.1.0.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

programs=compile
if [[ "${1:-}" == --prebuilt ]]; then
  shift
  programs=prebuilt
  rm -rf build/images
  deploy/docker/collect.sh build/release/bin build/images
fi
builder="${BUILDER:-}"
for candidate in docker podman buildah; do
  if [[ -z "$builder" ]] && command -v "$candidate" >/dev/null; then
    builder="$candidate"
  fi
done
[[ -n "$builder" ]] || {
  echo "build.sh: install docker, podman or buildah" >&2
  exit 66
}
revision="$(git rev-parse HEAD 2>/dev/null || echo unknown)"
for image in server worker mpi; do
  # shellcheck disable=SC2086  # BUILDER may have options of its own.
  $builder build "$@" --build-arg PROGRAMS="$programs" \
    --build-arg REVISION="$revision" --target "$image" \
    -t "terse-$image:${TAG:-0.1.0}" -f deploy/docker/Dockerfile .
done
