#!/usr/bin/env bash
# From a fresh machine to a first trained network: packages, build, training.
# Arguments go to terse train: deploy/demo.sh --workers 4
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

step "1/3 packages"
deploy/install-deps.sh

step "2/3 build (the first takes minutes, later ones seconds)"
if [[ ! -f build/release/build.ninja ]]; then
  cmake --preset release
fi
cmake --build --preset release --target terse terse-server terse-worker

step "3/3 training: deploy/examples/demo.yaml"
build/release/bin/terse train deploy/examples/demo.yaml "$@"

cat <<'END'

What happened: one server and two workers, each a process of its own, trained a
network that reads digits. Its weights are one bit each, and the workers sent
their gradients as -1, 0 and +1. "bits per element" counts everything that went
over the wire, for each parameter, step and worker; training without
compression has 32 up and 32 down.

Next:
  build/release/bin/terse train deploy/examples/demo.yaml --set compress.gradient=none
      the same without gradient compression: compare "up" and the accuracy
  build/release/bin/terse train deploy/examples/demo.yaml --servers 2 --workers 3
      more processes; the number of servers does not change the weights
  build/release/bin/terse inspect deploy/examples/demo.yaml
      the network's parameters and what happens to each of them
  ls runs/latest/
      the job file as run, the logs of all processes, the report
  README.md
      how to write a job of your own
END
