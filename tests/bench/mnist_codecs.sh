#!/usr/bin/env bash
# Trains the MNIST job of deploy/examples/mnist-binaryconnect-terngrad.yaml with
# one gradient codec after the other, each at a published setting, with and without
# error feedback where it applies, and prints a table (Markdown): accuracy, bits per
# element up and down counted at the link, time of a step.
#   tests/bench/mnist_codecs.sh DATA_DIR [--set KEY=VALUE]...
# In the environment: EPOCHS (12); ONLY, a pattern (grep -E) over the names of the
# rows; CODECS, "NAME VALUE" a line in place of the list below; BUILD, the build
# folder.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data_dir=${1:?usage: mnist_codecs.sh DATA_DIR [--set KEY=VALUE]...}
shift
terse=${BUILD:-build/release}/bin/terse
job=deploy/examples/mnist-binaryconnect-terngrad.yaml

# Settings: TernGrad 2.5 sigmas; QSGD 2 bits of 128 and 4 and 8 bits of 512; DoReFa-G 4
# and 6 bits; Deep Gradient Compression 0.1 % after its warm-up.
codecs=${CODECS:-"none none
fp16 fp16
bf16 bf16
terngrad terngrad
terngrad+feedback {kind: terngrad, error_feedback: true}
terngrad-tensor {kind: terngrad, per: tensor}
terngrad-shared {kind: terngrad, scale: shared}
terngrad-entropy {kind: terngrad, coding: entropy}
qsgd-2bit {kind: qsgd, levels: 1, bucket: 128}
qsgd-2bit+feedback {kind: qsgd, levels: 1, bucket: 128, error_feedback: true}
qsgd-4bit {kind: qsgd, levels: 7, bucket: 512}
qsgd-4bit-shared {kind: qsgd, levels: 7, scale: shared}
qsgd-8bit {kind: qsgd, levels: 127, bucket: 512}
qsgd-l2-elias {kind: qsgd, levels: 7, norm: l2, coding: elias}
qsgd-l2-entropy {kind: qsgd, levels: 7, norm: l2, coding: entropy}
dorefa-4bit {kind: dorefa, bits: 4}
dorefa-6bit {kind: dorefa, bits: 6}
dorefa-4bit+feedback {kind: dorefa, bits: 4, error_feedback: true}
uniform-4bit {kind: uniform, bits: 4}
uniform-4bit+feedback {kind: uniform, bits: 4, error_feedback: true}
uniform-4bit-stochastic {kind: uniform, bits: 4, stochastic: true}
natural natural
natural-entropy {kind: natural, coding: entropy}
blockfloat-8bit {kind: blockfloat, bits: 8}
blockfloat-16bit {kind: blockfloat, bits: 16}
term {kind: term, bits: 4, group: 8, terms: 12}
term+feedback {kind: term, bits: 4, group: 8, terms: 12, error_feedback: true}
sign sign
sign+feedback {kind: sign, error_feedback: true}
onebit onebit
onebit+feedback {kind: onebit, error_feedback: true}
majority majority
topk-1% {kind: topk, ratio: 0.01}
topk-1%+feedback {kind: topk, ratio: 0.01, error_feedback: true}
topk-1%-tensor+feedback {kind: topk, ratio: 0.01, per: tensor, error_feedback: true}
topk-1%-terngrad+feedback {kind: topk, ratio: 0.01, values: terngrad, error_feedback: true}
topk-1%-fp16+feedback {kind: topk, ratio: 0.01, values: fp16, error_feedback: true}
dgc-0.1% {kind: topk, ratio: 0.001, per: tensor, error_feedback: true, warmup_ratios: [0.25, 0.0625, 0.015625, 0.004]}
randomk-10% {kind: randomk, ratio: 0.1}
randomk-10%+feedback {kind: randomk, ratio: 0.1, error_feedback: true}
threshold {kind: threshold, threshold: 0.001}
threshold+feedback {kind: threshold, threshold: 0.001, error_feedback: true}"}
codecs=$(grep -E "^${ONLY:-}" <<<"$codecs")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "| gradient | test accuracy | bits up | bits down | step ms |"
echo "|---|---|---|---|---|"
while read -r name value; do
  run="$scratch/$name"
  "$terse" train "$job" --data-dir "$data_dir" --run-dir "$run" \
    --set "train.epochs=${EPOCHS:-12}" "$@" \
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
