#!/usr/bin/env python3
"""Kills random roles of a job at random moments and counts how many runs end
with the weights of an undisturbed one.

    tests/bench/kills/kills.py DATA_DIR [--kills 100] [--stops 20] [--seed 1]
        [--role "server 1"]... [--set KEY=VALUE]...

Runs the MNIST job beside this file (binary weights, TernGrad with a shared scale,
one tensor with top-k and error feedback) undisturbed, then again for every kill:
SIGKILL, or SIGSTOP for longer than cluster.peer_timeout_seconds, of one role at
one moment, both drawn from the seed. Prints a line for each, then how many ended
with the undisturbed weights_sha256, and the median of the time lost. Its parts:
until `terse train` had noticed, and the rest: starting again and replaying.
"""
import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
GOES_ON = re.compile("goes on from its last checkpoint|another takes its")
ROLES = ["server 0", "server 1", "worker 0", "worker 1", "worker 2"]


def start(options, run_dir):
    command = [
        os.path.join(options.build, "bin/terse"), "train",
        os.path.join(HERE, "job.yaml"), "--data-dir", options.data_dir,
        "--run-dir", run_dir, "--max-restarts", "10"
    ]
    for change in options.set:
        command += ["--set", change]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def role_process(parent, role):
    """The process of `role` among the children of `parent`."""
    kind, rank = role.split()
    flag = {"server": "--shard", "worker": "--rank"}[kind]
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as file:
                if int(file.read().rsplit(")", 1)[1].split()[1]) != parent:
                    continue
            with open(f"/proc/{name}/cmdline") as file:
                words = file.read().split("\0")
        except (OSError, IndexError, ValueError):
            continue
        if flag in words and words[words.index(flag) + 1] == rank:
            return int(name)
    return None


def weights(run_dir):
    with open(os.path.join(run_dir, "report.json")) as file:
        return json.load(file)["weights_sha256"]


def undisturbed(options, scratch):
    seconds = []
    for i in range(3):
        run_dir = os.path.join(scratch, f"calm{i}")
        begin = time.monotonic()
        process = start(options, run_dir)
        errors = process.communicate()[1]
        if process.returncode != 0:
            sys.exit(errors)
        seconds.append(time.monotonic() - begin)
    return weights(run_dir), statistics.median(seconds)


def disturbed(options, scratch, number, draw, calm_seconds):
    """One run with one loss; returns (weights or None, seconds, noticed)."""
    run_dir = os.path.join(scratch, f"run{number}")
    stop = number < options.stops
    role = draw.choice(options.role or ROLES)
    moment = draw.uniform(0, calm_seconds)
    begin = time.monotonic()
    process = start(options, run_dir)
    time.sleep(moment)
    victim = role_process(process.pid, role)
    struck = time.monotonic()
    if victim is not None:
        os.kill(victim, signal.SIGSTOP if stop else signal.SIGKILL)
    noticed = None
    for line in process.stderr:
        if noticed is None and GOES_ON.search(line):
            noticed = time.monotonic() - struck
    process.wait()
    seconds = time.monotonic() - begin
    result = weights(run_dir) if process.returncode == 0 else None
    what = "SIGSTOP" if stop else "SIGKILL"
    if victim is None:
        what = "nothing (not running then)"
    print(f"{number + 1}: {what} of {role} at {moment:.2f} s: "
          f"exit code {process.returncode} after {seconds:.1f} s", flush=True)
    shutil.rmtree(run_dir)
    return result, seconds, noticed, victim is not None, stop


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--stops", type=int, default=20,
                        help="how many of them are SIGSTOPs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--role", action="append", default=[],
                        help="draw from these alone")
    parser.add_argument("--set", action="append", default=[],
                        help="a change of the job, as of terse train")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/release"))
    options = parser.parse_args()
    options.data_dir = os.path.abspath(options.data_dir)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        expected, calm_seconds = undisturbed(options, scratch)
        print(f"undisturbed: {calm_seconds:.2f} s, {expected}", flush=True)
        runs = [disturbed(options, scratch, i, draw, calm_seconds)
                for i in range(options.kills)]
    same = sum(run[0] == expected for run in runs)
    print(f"{same} of {len(runs)} runs ended with the undisturbed weights; "
          f"{sum(run[3] for run in runs)} had lost a process")
    for name, stop in (("SIGKILL", False), ("SIGSTOP", True)):
        lost = [run for run in runs if run[4] == stop and run[2] is not None]
        if not lost:
            continue
        print(f"{name}: median time lost "
              f"{statistics.median(r[1] for r in lost) - calm_seconds:.2f} s, "
              f"of it {statistics.median(r[2] for r in lost):.2f} s until it "
              f"was noticed ({len(lost)} runs)")
    sys.exit(same != len(runs))


if __name__ == "__main__":
    main()
