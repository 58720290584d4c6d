#!/bin/bash
# hosts.sh up PREFIX SUBNET N RATE | down PREFIX N | agent PREFIX ADDRESS COMMAND
#   up     N network namespaces PREFIX-0.. with the addresses SUBNET.1.., behind
#          one bridge (itself in namespace PREFIX-w), whose traffic in each
#          direction is limited to RATE: 100mbit, 1gbit, none
#   agent  runs COMMAND as the host that has ADDRESS, as ssh would
# Needs root and iproute2.
set -euo pipefail

shape() { # namespace device rate
  local burst=131072
  case $3 in
    none) return 0 ;;
    *gbit) burst=$((${3%gbit} * 131072)) ;;
  esac
  ip netns exec "$1" tc qdisc replace dev "$2" root tbf rate "$3" \
    burst "$burst" latency 50ms
}

down() { # prefix n
  local i
  for ((i = 0; i < $2; ++i)); do ip netns del "$1-$i" 2>/dev/null || true; done
  ip netns del "$1-w" 2>/dev/null || true
}

up() { # prefix subnet n rate
  local i
  ip netns add "$1-w"
  ip -n "$1-w" link add name sw0 type bridge
  ip -n "$1-w" link set sw0 up
  for ((i = 0; i < $3; ++i)); do
    ip netns add "$1-$i"
    ip -n "$1-$i" link set lo up
    ip -n "$1-w" link add name "p$i" type veth peer name eth0 netns "$1-$i"
    ip -n "$1-$i" addr add "$2.$((i + 1))/24" dev eth0
    ip -n "$1-$i" link set eth0 up
    ip -n "$1-w" link set "p$i" master sw0
    ip -n "$1-w" link set "p$i" up
    shape "$1-$i" eth0 "$4"
    shape "$1-w" "p$i" "$4"
  done
}

agent() { # prefix [options] address command...
  local prefix=$1
  shift
  while [[ ${1:-} == -* ]]; do shift; done
  local name=$prefix-$((${1##*.} - 1))
  shift
  # A host name of its own, or MPI would take all hosts for one.
  exec ip netns exec "$name" unshare --uts sh -c \
    'hostname "$0"; exec sh -c "$1"' "$name" "$*"
}

what=${1:-}
shift || true
case $what in
  up | down | agent) "$what" "$@" ;;
  *)
    sed -n 2,8p "$0"
    exit 2
    ;;
esac
