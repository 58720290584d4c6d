#!/usr/bin/env bash
# Builds the images and runs jobs of one server and two workers in them: containers
# in plaintext, with TLS and stopped by SIGTERM, mpirun over sshd, by podman play
# kube the pods of `terse launch --kubernetes`, and deploy/compose.yaml.
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
"${podman[@]}" images --filter 'reference=*terse-*' --format '{{.Repository}}:{{.Tag}} {{.Size}}'

clean() {
  "${podman[@]}" pod rm -f -a >/dev/null 2>&1 || true
  "${podman[@]}" rm -f -a >/dev/null 2>&1 || true
  "${podman[@]}" secret rm -a >/dev/null 2>&1 || true
  "${podman[@]}" volume prune -f >/dev/null 2>&1 || true
  "${podman[@]}" network prune -f >/dev/null 2>&1 || true
}
trap clean EXIT
clean
"${podman[@]}" network create terse >/dev/null 2>&1

# Ends the test with the logs of all if NAME does not end with CODE.
expect() { # NAME CODE
  local code
  code="$("${podman[@]}" wait "$1" 2>/dev/null)"
  echo "  $1 ended with $code"
  [[ "$code" == "$2" ]] && return
  for name in "${roles[@]}"; do "${podman[@]}" logs "$name" || true; done
  exit 1
}

locked=(--read-only --cap-drop all --security-opt no-new-privileges --user 10001:10001
  --tmpfs /tmp -v "$work/runs:/var/lib/terse" -v "$work/job.yaml:/etc/terse/job.yaml:ro"
  -v "$work/tls:/etc/terse-tls:ro" -e TERSE_TOKEN=container-test --network terse)
install -d -o 10001 -g 10001 "$work/runs"
rm -rf "$work/tls"
build/release/bin/terse tls "$work/tls"
chown 10001 "$work/tls/tls.key"
roles=(server worker-0 worker-1)
start_roles() { # JOB'S EPOCHS, VARIABLE OF ENCRYPTION
  sed -e "s/epochs: 10/epochs: $1/" deploy/kubernetes/job/job.yaml >"$work/job.yaml"
  local name
  for name in "${roles[@]}"; do
    "${podman[@]}" run -d --name "$name" "${locked[@]}" -e "$2" \
      "terse-${name%-*}:0.1.0" run /etc/terse/job.yaml "--role=${name%-*}" \
      "--rank=$([[ "$name" == worker-1 ]] && echo 1 || echo 0)" \
      --coordinator=server:7000 >/dev/null
  done
}

for how in TERSE_INSECURE=1 TERSE_TLS=/etc/terse-tls; do
  echo "a job to its end, $how"
  start_roles 1 "$how"
  for name in "${roles[@]}"; do expect "$name" 0; done
  "${podman[@]}" rm -f -a >/dev/null
done

echo "SIGTERM to process 1 of a worker"
start_roles 1000 TERSE_TLS=/etc/terse-tls
for _ in $(seq 300); do
  started="$("${podman[@]}" logs worker-0 2>&1)"
  [[ "$started" == *started:* ]] && break
  sleep 0.2
done
"${podman[@]}" kill --signal TERM worker-0 >/dev/null
for name in "${roles[@]}"; do expect "$name" 143; done
"${podman[@]}" rm -f -a >/dev/null

echo "mpirun, over sshd, as the MPI Operator has it"
if ! command -v ssh-keygen >/dev/null; then
  echo "skipped: no ssh-keygen here"
else
  rm -rf "$work/mpi"
  install -d "$work/mpi/ssh" "$work/mpi/hosts"
  install -d -o 1000 -g 1000 "$work/mpi/runs"
  ssh-keygen -q -t rsa -b 2048 -N '' -f "$work/mpi/ssh/id_rsa"
  cp "$work/mpi/ssh/id_rsa.pub" "$work/mpi/ssh/authorized_keys"
  # As a Secret of a pod with fsGroup 1000.
  chown -R 0:1000 "$work/mpi/ssh"
  chmod 750 "$work/mpi/ssh"
  chmod 640 "$work/mpi/ssh/"*
  sed -e 's/epochs: 10/epochs: 1/' deploy/kubernetes/job/job.yaml >"$work/job.yaml"
  mpi=(--read-only --cap-drop all --security-opt no-new-privileges --user 1000:1000
    --tmpfs /tmp -v "$work/mpi/runs:/var/lib/terse" -v "$work/mpi/hosts:/etc/mpi:ro"
    -v "$work/mpi/ssh:/home/mpiuser/.ssh:ro" -v "$work/job.yaml:/etc/terse/job.yaml:ro"
    -e OMPI_MCA_orte_default_hostfile=/etc/mpi/hostfile --network terse -w /var/lib/terse)
  roles=(mpi-launcher mpi-worker-0 mpi-worker-1 mpi-worker-2)
  for name in "${roles[@]:1}"; do
    echo "$name slots=1" >>"$work/mpi/hosts/hostfile"
    "${podman[@]}" run -d --name "$name" --hostname "$name" "${mpi[@]}" \
      terse-mpi:0.1.0 >/dev/null
  done
  "${podman[@]}" run -d --name mpi-launcher "${mpi[@]}" terse-mpi:0.1.0 \
    mpirun -np 3 --bind-to none terse run /etc/terse/job.yaml >/dev/null
  expect mpi-launcher 0
  "${podman[@]}" rm -f -a >/dev/null
fi

if ! /usr/bin/python3 -c "import yaml" 2>/dev/null; then
  echo "skipped: podman play kube and deploy/compose.yaml; no python3-yaml here"
  exit 0
fi
echo "podman play kube with the pods of terse launch --kubernetes"
rm -rf "$work/pods"
mkdir "$work/pods"
{
  build/release/bin/terse launch --kubernetes deploy/kubernetes/job/job.yaml \
    --set train.epochs=1 --name kube --tls-secret terse-tls
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {name: terse-tls}\ndata:\n'
  for file in ca.crt tls.crt tls.key; do
    echo "  $file: $(base64 -w0 "$work/tls/$file")"
  done
} | /usr/bin/python3 tests/deploy/containers/pods.py "$work/pods"
"${podman[@]}" secret create kube-token "$work/pods/kube-token.secret" >/dev/null
roles=()
for pod in kube-server-0 kube-worker-0 kube-worker-1; do
  # The name that the headless service would give it. Podman says much that does
  # not matter where there is no systemd.
  "${podman[@]}" play kube --network "terse:alias=$pod.kube" \
    "$work/pods/$pod.yaml" >"$work/pods/$pod.log" 2>&1 || {
    cat "$work/pods/$pod.log"
    exit 1
  }
  name="${pod%-*}"
  roles+=("$pod-${name#kube-}")
done
for name in "${roles[@]}"; do
  locks="$("${podman[@]}" inspect "$name" --format \
    '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.EffectiveCaps}}')"
  echo "  $name: read-only root, user, capabilities: $locks"
  [[ "$locks" == "true 10001:10001 []" ]]
done
for name in "${roles[@]}"; do expect "$name" 0; done
clean

if ! command -v podman-compose >/dev/null; then
  echo "skipped: deploy/compose.yaml; no podman-compose here"
  exit 0
fi
echo "deploy/compose.yaml, on other ports, with Debian's Prometheus"
prometheus="$(sed -n 's/^ *image: \(.*prometheus:.*\)/\1/p' deploy/compose.yaml)"
if ! "${podman[@]}" image exists "$prometheus"; then
  mkdir -p "$work/prometheus"
  cat >"$work/prometheus/Dockerfile" <<EOF
FROM $base
RUN apt-get update -q && apt-get install -y -q --no-install-recommends prometheus
USER 65534:65534
ENTRYPOINT ["/usr/bin/prometheus"]
EOF
  # shellcheck disable=SC2086  # BUILDER has options.
  $BUILDER build --isolation chroot -t "$prometheus" "$work/prometheus" \
    >"$work/prometheus.log" 2>&1
fi
rm -rf "$work/compose"
mkdir -p "$work/compose/kubernetes/job"
cp -r deploy/monitoring "$work/compose"
sed -e 's/epochs: 10/epochs: 2/' deploy/kubernetes/job/job.yaml \
  >"$work/compose/kubernetes/job/job.yaml"
port=$((20000 + RANDOM % 20000))
sed -e "s/127.0.0.1:9090:/127.0.0.1:$port:/" \
  -e "s/127.0.0.1:9100:/127.0.0.1:$((port + 1)):/" \
  deploy/compose.yaml >"$work/compose/compose.yaml"
printf '#!/usr/bin/env bash\nexec %s "$@"\n' "${podman[*]}" >"$work/podman"
chmod +x "$work/podman"
TERSE_TOKEN=container-test podman-compose --podman-path "$work/podman" \
  -f "$work/compose/compose.yaml" up -d >"$work/compose.log" 2>&1 || {
  cat "$work/compose.log"
  exit 1
}
roles=(compose_server_1 compose_worker-0_1 compose_worker-1_1)
for name in "${roles[@]}"; do expect "$name" 0; done
# The coordinator has waited until Prometheus had seen its end.
answer=""
for _ in $(seq 100); do
  answer="$(curl -sS "http://127.0.0.1:$port/api/v1/query" \
    --data-urlencode 'query=last_over_time(terse_job_finished[5m])' || true)"
  [[ "$answer" == *'"1"]'* ]] && break
  sleep 0.2
done
echo "  Prometheus: $answer"
[[ "$answer" == *'"1"]'* ]]
echo "the images are good"
