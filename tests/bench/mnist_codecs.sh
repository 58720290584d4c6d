#!/usr/bin/env bash
# Trains the MNIST job of deploy/examples/mnist-binaryconnect-terngrad.yaml with
# one gradient codec after the other and prints a table (Markdown): accuracy, bits
# per element up and down counted at the link, time of a step.
#   tests/bench/mnist_codecs.sh DATA_DIR [--set KEY=VALUE]...
# CODECS in the environment replaces the list below, one "NAME VALUE" a line;
# BUILD the build folder.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data_dir=${1:?usage: mnist_codecs.sh DATA_DIR [--set KEY=VALUE]...}
shift
terse=${BUILD:-build/release}/bin/terse
job=deploy/examples/mnist-binaryconnect-terngrad.yaml

codecs=${CODECS:-"none none
fp16 fp16
terngrad terngrad
qsgd-4bit {kind: qsgd, levels: 7, bucket: 512}
dorefa-4bit {kind: dorefa, bits: 4}
topk-1%-feedback {kind: topk, ratio: 0.01, error_feedback: true}"}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "| gradient | test accuracy | bits up | bits down | step ms |"
echo "|---|---|---|---|---|"
while read -r name value; do
  run="$scratch/$name"
  "$terse" train "$job" --data-dir "$data_dir" --run-dir "$run" "$@" \
    --set "compress.gradient=$value" >"$scratch/out" 2>"$scratch/err" || {
    cat "$scratch/err" >&2
    exit 1
  }
  awk -F'[:,]' -v name="$name" '
    /"test_accuracy"/ { accuracy = 100 * $2 }
    /"bits_per_element_up"/ { up = $2 }
    /"bits_per_element_down"/ { down = $2 }
    /"step_ms_p50"/ { step_ms = $2 }
    END {
      printf "| %s | %.2f %% | %.3f | %.3f | %.1f |\n", name, accuracy, up, down,
        step_ms
    }' "$run/report.json"
done <<<"$codecs"
