#!/usr/bin/env python3
"""What the status page costs: steps a second with a page open over without.

  page_cost.py BINARIES [JOB.yaml] [--windows 10] [--seconds 5]

One run of the job; in every other window somebody asks for what the page asks for,
as often. The first window is for warming up. A page in a browser on the same
machine also takes what drawing takes; this is what serving takes.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

JOB = """
name: page-cost
model: {mlp: [512, 512]}
data: {kind: digits, train_samples: 12000, test_samples: 1000}
quantize: {weights: binaryconnect}
compress: {gradient: {kind: terngrad}}
optimizer: {kind: adam, learning_rate: 0.003}
train: {epochs: 100000, batch_size: 50, evaluate_every_epochs: 100000}
cluster: {servers: 1, workers: 2}
"""


def ask(address, seen):
    """One question of the page; returns what to ask for next, and the bytes."""
    url = f"http://{address}/api/status?after={seen[0]}&observed={seen[1]}"
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    status = json.loads(body)
    rows = status["rows"]
    return (rows[-1][0] if rows else seen[0], status["observed_step"]), len(body)


def step_of(address):
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("terse_weights_version "):
                return float(line.split()[1])
    raise SystemExit("no terse_weights_version in /metrics")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("job", nargs="?", type=pathlib.Path)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        job = folder / "job.yaml"
        job.write_text(options.job.read_text() if options.job else JOB)
        run = folder / "run"
        train = subprocess.Popen(
            [options.binaries.resolve() / "terse", "train", job, "--run-dir", run],
            stderr=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})
        try:
            port_file = run / "shard-0.http"
            while not port_file.exists():
                time.sleep(0.1)
            address = port_file.read_text().strip()
            while step_of(address) < 20:
                time.sleep(0.2)
            rates, seen, asked = {False: [], True: []}, (-1, -1), []
            for window in range(options.windows + 1):
                polled = window % 2 == 1
                before, start = step_of(address), time.monotonic()
                while (left := start + options.seconds - time.monotonic()) > 0:
                    if polled:
                        seen, size = ask(address, seen)
                        asked.append(size)
                    time.sleep(min(1, max(left, 0)))
                rate = (step_of(address) - before) / (time.monotonic() - start)
                if window > 0:
                    rates[polled].append(rate)
        finally:
            train.send_signal(signal.SIGTERM)
            train.wait()
    closed, opened = (statistics.median(rates[p]) for p in (False, True))
    print(f"steps/s: page closed {closed:.2f}, open {opened:.2f} (medians of "
          f"{len(rates[False])} and {len(rates[True])} windows of {options.seconds:g} s); "
          f"open/closed {opened / closed:.3f}; "
          f"an answer has {statistics.median(asked):.0f} bytes")


main()
