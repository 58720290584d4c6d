#!/usr/bin/env bash
# Builds the images and runs a job in them, a pod of one server and two workers.
#   containers_test.sh SOURCE WORK
# Minutes and gigabytes: only with TERSE_TEST_CONTAINERS=1, as root, with podman,
# buildah and debootstrap; ends with 77 elsewhere. WORK keeps the base image.
set -euo pipefail

source_folder=$1
work=$2
mkdir -p "$work"

skip() {
  echo "skipped: $*"
  exit 77
}
[[ "${TERSE_TEST_CONTAINERS:-}" == 1 ]] || skip "set TERSE_TEST_CONTAINERS=1"
((EUID == 0)) || skip "this needs root"
for program in podman buildah runc debootstrap; do
  command -v "$program" >/dev/null || skip "no $program here"
done

cat >"$work/containers.conf" <<'EOF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
EOF
export CONTAINERS_CONF="$work/containers.conf"
podman=(podman --storage-driver vfs --root "$work/storage" --runroot "$work/run")
base=docker.io/library/debian:bookworm-slim

if ! "${podman[@]}" image exists "$base"; then
  # The first archive that apt is told of, in either form of its lists.
  mirror="$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    awk '$1 == "URIs:" || $1 == "deb" {
           for (i = 2; i <= NF; ++i) if ($i ~ /^https?:/) { print $i; break }
         }' | grep -v security | head -n 1 || true)"
  [[ -n "$mirror" ]] || skip "apt has no archive"
  [[ -d "$work/root" ]] ||
    debootstrap --variant=minbase bookworm "$work/root" "$mirror" >"$work/debootstrap.log"
  tar -C "$work/root" -c . | "${podman[@]}" import - "$base" >/dev/null
fi

cd "$source_folder"
export BUILDER="buildah --storage-driver vfs --root $work/storage --runroot $work/run"
deploy/docker/build.sh --prebuilt --isolation chroot >"$work/build.log" 2>&1 || {
  tail -n 20 "$work/build.log"
  exit 1
}
"${podman[@]}" images --format '{{.Repository}}:{{.Tag}} {{.Size}}'

locked=(--read-only --cap-drop all --security-opt no-new-privileges --user 10001:10001
  --tmpfs /tmp -v "$work/runs:/var/lib/terse" -e TERSE_TOKEN=container-test -v "$work/job.yaml:/etc/terse/job.yaml:ro" --network host)

install -d -o 10001 -g 10001 "$work/runs"
start() { # NAME IMAGE ROLE RANK
  "${podman[@]}" run -d --name "$1" "${locked[@]}" "terse-$2:0.1.0" \
    run /etc/terse/job.yaml "--role=$3" "--rank=$4" \
    "--coordinator=127.0.0.1:$port" >/dev/null
}
clean() { "${podman[@]}" rm -f -a >/dev/null 2>&1 || true; }
trap clean EXIT
clean
port=$((20000 + RANDOM % 20000))
sed -e 's/epochs: 10/epochs: 1/' deploy/kubernetes/job/job.yaml >"$work/job.yaml"

echo "a job to its end"
start server server server 0
start worker-0 worker worker 0
start worker-1 worker worker 1
for name in server worker-0 worker-1; do
  code="$("${podman[@]}" wait "$name")"
  echo "  $name ended with $code"
  [[ "$code" == 0 ]] || {
    "${podman[@]}" logs "$name"
    exit 1
  }
done
clean

echo "SIGTERM to process 1"
sed -i -e 's/epochs: 1/epochs: 1000/' "$work/job.yaml"
start server server server 0
start worker-0 worker worker 0
start worker-1 worker worker 1
for _ in $(seq 300); do
  "${podman[@]}" logs worker-0 2>&1 | grep -q started && break
  sleep 0.2
done
"${podman[@]}" kill --signal TERM worker-0 >/dev/null
code="$("${podman[@]}" wait worker-0)"
echo "  worker-0 ended with $code"
[[ "$code" == 143 ]]
code="$("${podman[@]}" wait server)"
echo "  server ended with $code"
[[ "$code" == 143 ]]
echo "the images are good"
