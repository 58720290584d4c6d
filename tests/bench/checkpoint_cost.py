#!/usr/bin/env python3
"""What checkpoints in the background cost the 20-million-parameter job.

    tests/bench/checkpoint_cost.py [--steps 150] [--every 50] [--rounds 2]

Runs deploy/examples/mlp20m-terngrad.yaml in turn without checkpoints (but the one
at its end) and with one every `--every` steps. Prints seconds a step of both, over
whole runs, their ratio, and what that is with the default of one in 300 seconds.
"""
import argparse
import json
import os
import subprocess
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def run(options, folder, every):
    report = os.path.join(folder, "report.json")
    subprocess.run(
        [os.path.join(options.build, "bin/terse"), "train",
         os.path.join(ROOT, "deploy/examples/mlp20m-terngrad.yaml"),
         "--set", f"train.steps={options.steps}", "--set", "checkpoint.every_seconds=0",
         "--set", f"checkpoint.every_steps={every}", "--http", "none",
         "--run-dir", os.path.join(folder, "run"), "--report", report],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(folder, "run/metrics.jsonl")) as file:
        events = [json.loads(line) for line in file]
    kept = sum(e["event"] == "checkpoint" for e in events) - 1  # But the last.
    bytes_each = sum(
        os.path.getsize(os.path.join(path, name))
        for path, _, names in os.walk(os.path.join(folder, "run/checkpoints"))
        for name in names) / max(1, min(2, kept + 1))
    # Until the last step has begun: the test and the last checkpoint are behind.
    steps = [e for e in events if e["event"] == "progress"]
    return (steps[-1]["seconds"] - steps[0]["seconds"]) / (
        steps[-1]["step"] - steps[0]["step"]), kept, bytes_each


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/release"))
    options = parser.parse_args()
    sums = {0: 0.0, options.every: 0.0}
    for _ in range(options.rounds):
        for every in sums:
            with tempfile.TemporaryDirectory() as folder:
                seconds, kept, bytes_each = run(options, folder, every)
            sums[every] += seconds / options.rounds
            print(f"every {every} steps: {1000 * seconds:.1f} ms a step, {kept} "
                  f"checkpoints of {bytes_each / 2**20:.0f} MiB", flush=True)
    without, with_them = sums[0], sums[options.every]
    each = (with_them - without) * options.every
    print(f"ratio {with_them / without:.3f} with one every {options.every} steps "
          f"({options.every * without:.1f} s); one costs {each:.2f} s, so with one in "
          f"300 s the ratio is {1 + each / 300:.4f}")


if __name__ == "__main__":
    main()
