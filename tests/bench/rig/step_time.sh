#!/bin/bash
# step_time.sh BIN OUT.csv ["RATES"] ["CODECS"] [HOSTS] [REPEATS]
#
# Step time of the 20-million-parameter network (784-4096-4096-10, batch 32, one
# thread a worker) on HOSTS hosts that are network namespaces, a worker and a
# server on each, over the time of forward and backward alone; beside PyTorch's
# DDP (python3-torch, gloo) in the same sitting. Rates: none 10gbit 1gbit 100mbit.
# A codec is NAME[:k=v,...] as `--set compress.gradient` takes it; binary+CODEC
# has binary weights, and ddp, ddp_powersgd are the peer. Medians of REPEATS.
#
#   sudo tests/bench/rig/step_time.sh build/release/bin /tmp/steps.csv "1gbit" \
#       "none {kind: terngrad, scale: shared}"
#
# Codecs are separated by ; since they have spaces. Needs root, and a machine with
# nothing else to do: all hosts share its cores.
set -euo pipefail
bin=$(cd "$1" && pwd)
out=$(realpath "$2")
rates=${3:-none 10gbit 1gbit 100mbit}
codecs=${4:-'none;fp16;{kind: terngrad, scale: shared};{kind: qsgd, levels: 7, scale: shared};{kind: topk, ratio: 0.01, error_feedback: true};{kind: powersgd, rank: 1, error_feedback: true};binary+{kind: terngrad};auto;ddp;ddp_powersgd'}
n=${5:-2}
repeats=${6:-3}
here=$(cd "$(dirname "$0")" && pwd)
netns=$here/../../e2e/netns/hosts.sh
job=$here/../../../deploy/examples/mlp20m-fp32.yaml
prefix=tr$$
subnet=10.78.$(($$ % 250))
dir=$(mktemp -d)
finish() {
  "$netns" down "$prefix" "$n"
  rm -rf "$dir"
}
trap finish EXIT
cd "$dir"
printf '#!/bin/sh\nexec %s agent %s "$@"\n' "$(realpath "$netns")" "$prefix" >agent
chmod +x agent
for ((i = 1; i <= n; ++i)); do echo "$subnet.$i slots=1"; done >hosts

median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

terse_step() { # codec -> ms compute_ms
  local weights=none codec=$1
  if [[ $codec == binary+* ]]; then
    weights=binaryconnect
    codec=${codec#binary+}
  fi
  rm -rf run
  timeout 900 "$bin/terse" launch "$job" --hostfile hosts --agent ./agent \
    --run-dir run --insecure --servers "$n" --workers "$n" \
    --set "compress.gradient=$codec" --set "quantize.weights=$weights" \
    --set "train.steps=${STEPS:-30}" >/dev/null 2>log ||
    { cat log >&2; return 1; }
  python3 -c 'import json; r = json.load(open("run/report.json")); print(r["step_ms_p50"])'
}

ddp_step() { # hook
  local i pids=()
  for ((i = 0; i < n; ++i)); do
    ./agent "$subnet.$((i + 1))" "MASTER_ADDR=$subnet.1 GLOO_SOCKET_IFNAME=eth0 \
      OMP_NUM_THREADS=1 timeout 900 python3 -W ignore '$here/ddp_step.py' $i $n $1 \
      ${STEPS:-30}" >"ddp.$i" 2>"ddp.$i.err" &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || { cat ddp.*.err >&2; return 1; }; done
  cat ddp.0
}

echo "rate,hosts,codec,step_ms,over_compute" | tee "$out"
for rate in $rates; do
  "$netns" up "$prefix" "$subnet" "$n" "$rate"
  # All hosts compute at once, as they do in a step.
  compute=$(for ((k = 0; k < repeats; ++k)); do ddp_step compute; done | median)
  echo "$rate,$n,compute,$compute,1" | tee -a "$out"
  IFS=';' read -ra list <<<"$codecs"
  for codec in "${list[@]}"; do
    ms=$(for ((k = 0; k < repeats; ++k)); do
      case $codec in
        ddp) ddp_step fp32 ;;
        ddp_powersgd) ddp_step powersgd ;;
        *) terse_step "$codec" ;;
      esac
    done | median)
    python3 -c 'import sys; r, n, c, ms, base = sys.argv[1:]
print(f"{r},{n},\"{c}\",{float(ms):.1f},{float(ms) / float(base):.2f}")' \
      "$rate" "$n" "$codec" "$ms" "$compute" | tee -a "$out"
  done
  "$netns" down "$prefix" "$n"
done
