#!/bin/bash
# netns_test.sh BIN: jobs across hosts that are network namespaces, at 100 Mbit/s
# and 1 Gbit/s, over gRPC (terse launch) and MPI: the weights are those of one
# process. Exit code 77: namespaces are not allowed here.
set -euo pipefail
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
prefix=tn$$
subnet=10.$((100 + $$ % 100)).$(($$ / 100 % 250))
dir=$(mktemp -d)

skip() {
  echo "skipped: $1"
  exit 77
}
[[ $EUID == 0 ]] || skip "needs root"
command -v ip >/dev/null && command -v tc >/dev/null || skip "needs iproute2"
ip netns add "$prefix-try" 2>/dev/null || skip "network namespaces are not allowed"
ip netns del "$prefix-try"
finish() {
  "$here/hosts.sh" down "$prefix" 3
  rm -rf "$dir"
}
trap finish EXIT

cd "$dir"
cat >job.yaml <<'J'
name: netns
seed: 5
model: {mlp: [64]}
data: {kind: digits, train_samples: 1000, test_samples: 200}
quantize: {weights: binaryconnect}
compress: {gradient: terngrad}
optimizer: {kind: adam, learning_rate: 0.01}
train: {epochs: 2, batch_size: 50}
cluster: {servers: 2, workers: 2}
J
printf '#!/bin/sh\nexec %s/hosts.sh agent %s "$@"\n' "$here" "$prefix" >agent
chmod +x agent
printf '%s.2 slots=1\n%s.3 slots=1\n' "$subnet" "$subnet" >hosts
weights() { grep -o '"weights_sha256": "[0-9a-f]*"' "$1"; }
"$bin/terse" train job.yaml --transport memory --run-dir memory >/dev/null 2>&1
expected=$(weights memory/report.json)

# Between hosts plaintext is not for nothing.
"$bin/terse" tls tls
for rate in 100mbit 1gbit; do
  "$here/hosts.sh" up "$prefix" "$subnet" 3 "$rate"
  for servers in 2 colocated; do
    timeout 300 "$bin/terse" launch job.yaml --hostfile hosts --agent ./agent \
      --tls tls --servers "$servers" --run-dir "grpc-$servers-$rate"
    [[ $(weights "grpc-$servers-$rate/report.json") == "$expected" ]]
    echo "gRPC at $rate, servers: $servers: ok"
  done
  if "$bin/terse-server" --help | grep -q mpi && command -v mpirun >/dev/null; then
    # mpirun runs on a host, too.
    mpi() { # ranks hosts run-dir [options]
      timeout 300 ./agent "$subnet.1" "cd '$dir' && mpirun --allow-run-as-root \
        --bind-to none --map-by node -np $1 --host $2 \
        --mca plm rsh --mca plm_rsh_agent '$dir/agent' \
        --mca oob_tcp_if_include $subnet.0/24 --mca pml ob1 --mca btl tcp,self \
        --mca btl_tcp_if_include $subnet.0/24 \
        '$bin/terse' run job.yaml --run-dir $3 --transport mpi ${*:4}"
      [[ $(weights "$3/report.json") == "$expected" ]]
    }
    mpi 4 "$subnet.1:2,$subnet.2:1,$subnet.3:1" "mpi-$rate"
    echo "MPI at $rate, servers: 2: ok"
    mpi 2 "$subnet.2:1,$subnet.3:1" "mpi-colocated-$rate" \
      --set cluster.servers=colocated
    echo "MPI at $rate, servers: colocated: ok"
  fi
  "$here/hosts.sh" down "$prefix" 3
done
