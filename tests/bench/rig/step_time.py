#!/usr/bin/env python3
"""step_time.py BIN OUT.jsonl [options]: what the wire costs a step.

Step time of the 20-million-parameter network (784-4096-4096-10, batch 32, one thread a
worker) on hosts that are network namespaces behind one switch, a worker and a server on
each, over the time of forward and backward alone; beside PyTorch's DDP (python3-torch,
gloo) in the same sitting: every repeat goes through all cells before the next begins.

  sudo tests/bench/rig/step_time.py build/release/bin steps.jsonl --rates none 1gbit
  tests/bench/rig/step_time.py build/release/bin steps.jsonl --table

--servers colocated has the shards in the workers' processes instead. A cell is a gradient
codec as `--set compress.gradient` takes it; binary+CODEC has binary weights; ddp:fp32,
ddp:powersgd and ddp:compute are the peer. OUT.jsonl is added
to, so that a sitting can go on later. --processor runs each cell once more with other
numbers of steps: the difference is the processor time of a step, of all processes.
Needs root, and a machine with nothing else to do: all hosts share its cores.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
NETNS = HERE.parent.parent / "e2e/netns/hosts.sh"
JOB = HERE.parent.parent.parent / "deploy/examples/mlp20m-fp32.yaml"
RATES = ["none", "10gbit", "1gbit", "100mbit"]
CELLS = {
    "compute": "ddp:compute",
    "DDP fp32": "ddp:fp32",
    "DDP PowerSGD 1": "ddp:powersgd",
    "none": "none",
    "fp16": "fp16",
    "TernGrad": "{kind: terngrad, scale: shared}",
    "QSGD-4": "{kind: qsgd, levels: 7, scale: shared}",
    "top-k 1 % EF": "{kind: topk, ratio: 0.01, error_feedback: true}",
    "PowerSGD 1": "{kind: powersgd, rank: 1, error_feedback: true}",
    "binary + TernGrad": "binary+{kind: terngrad, scale: shared}",
    "the same, entropy": "binary+{kind: terngrad, scale: shared, coding: entropy}",
    "auto": "auto",
}


def steps_of(cell, rate, hosts):
    """As many as fit in some seconds."""
    full = CELLS[cell] in ("none", "ddp:fp32")
    if rate == "100mbit":
        return 3 if full else 4 if cell == "fp16" else 6 if "DDP" in cell else 10
    return 8 if full and rate == "1gbit" else 16 if hosts == 2 else 10


class Rig:
    """Hosts as network namespaces, for the length of a `with`."""

    def __init__(self, hosts, rate, folder):
        self.prefix, self.hosts, self.rate = f"st{os.getpid()}", hosts, rate
        self.subnet = f"10.78.{os.getpid() % 250}"
        self.folder = pathlib.Path(folder)

    def __enter__(self):
        subprocess.run([NETNS, "up", self.prefix, self.subnet, str(self.hosts), self.rate],
                       check=True)
        self.agent = self.folder / "agent"
        self.agent.write_text(f'#!/bin/sh\nexec {NETNS} agent {self.prefix} "$@"\n')
        self.agent.chmod(0o755)
        (self.folder / "hosts").write_text(
            "".join(f"{self.subnet}.{i + 1} slots=1\n" for i in range(self.hosts)))
        return self

    def __exit__(self, *_):
        subprocess.run([NETNS, "down", self.prefix, str(self.hosts)], check=True)

    def ddp(self, mode, steps):
        """Milliseconds of a step."""
        ranks = [
            subprocess.Popen([
                self.agent, f"{self.subnet}.{i + 1}",
                f"MASTER_ADDR={self.subnet}.1 GLOO_SOCKET_IFNAME=eth0 OMP_NUM_THREADS=1 "
                f"timeout 300 python3 -W ignore {HERE}/ddp_step.py {i} {self.hosts} {mode} {steps}"
            ], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for i in range(self.hosts)
        ]
        outputs = [rank.communicate() for rank in ranks]
        if any(rank.returncode for rank in ranks) or not outputs[0][0]:
            raise RuntimeError("DDP: " + " | ".join(e.strip()[-300:] for _, e in outputs))
        return {"ms": float(outputs[0][0])}

    def terse(self, binaries, codec, servers, steps):
        """Milliseconds of a step, what they are made of, and bits per element."""
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        weights = "none"
        if codec.startswith("binary+"):
            weights, codec = "binaryconnect", codec.removeprefix("binary+")
        settings = [
            f"compress.gradient={codec}", f"quantize.weights={weights}", f"train.steps={steps}",
            "checkpoint.every_seconds=0", "data.train_samples=2000", "data.test_samples=64"
        ]
        done = subprocess.run(
            [f"{binaries}/terse", "launch", JOB, "--hostfile", self.folder / "hosts", "--agent",
             self.agent, "--run-dir", run, "--insecure", "--servers", servers,
             "--workers", str(self.hosts)] + [w for s in settings for w in ("--set", s)],
            capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError("terse launch: " + done.stderr.strip()[-600:])
        report = json.loads((run / "report.json").read_text())
        return {"ms": report["step_ms_p50"], "time_ms": report["time_ms"],
                "bits_up": report["bits_per_element_up"],
                "bits_down": report["bits_per_element_down"]}

    def run(self, binaries, cell, servers, steps):
        codec = CELLS[cell]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        if codec.startswith("ddp:"):
            found = self.ddp(codec.removeprefix("ddp:"), steps)
        else:
            found = self.terse(binaries, codec, servers or str(self.hosts), steps)
            found["servers"] = servers
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found | {
            "rate": self.rate, "hosts": self.hosts, "cell": cell, "steps": steps,
            "seconds": time.monotonic() - begin,
            "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime -
                                 before.ru_stime}


def measure(arguments):
    # The interpreter that has Debian's torch, and its libraries alone.
    os.environ["PATH"] = "/usr/bin:" + os.environ["PATH"]
    with open(arguments.out, "a") as out, tempfile.TemporaryDirectory() as folder:
        for rate in arguments.rates:
            with Rig(arguments.hosts, rate, folder) as rig:
                for repeat in range(arguments.repeats):
                    for cell in arguments.cells:
                        steps = steps_of(cell, rate, arguments.hosts)
                        for short in [False, True] if arguments.processor else [False]:
                            try:
                                row = rig.run(arguments.bin, cell, arguments.servers,
                                              2 if short else steps)
                            except RuntimeError as error:
                                print(f"{rate} {cell}: {error}", file=sys.stderr)
                                continue
                            row |= {"short": short}
                            out.write(json.dumps(row) + "\n")
                            out.flush()
                            print(f"{rate:8} {cell:18} {row['ms']:8.1f} ms {row['seconds']:6.1f} s",
                                  file=sys.stderr)


def table(rows):
    """Medians; step over compute; processor time from runs of two lengths."""
    for hosts in sorted({r["hosts"] for r in rows}):
        rates = [r for r in RATES if any(x["rate"] == r and x["hosts"] == hosts for x in rows)]
        print(f"\n{hosts} hosts: ms (over compute; least-most of the runs)\n")
        print("| | " + " | ".join(rates) + " | processor ms |\n|---|" + "---|" * (len(rates) + 1))

        def runs(cell, rate=None, short=False):
            return [r for r in rows if r["cell"] == cell and r["hosts"] == hosts and
                    r["short"] == short and rate in (None, r["rate"])]
        for cell in CELLS:
            if not runs(cell):
                continue
            columns = []
            for rate in rates:
                times = [r["ms"] for r in runs(cell, rate)]
                compute = [r["ms"] for r in runs("compute", rate)]
                if not times or not compute:
                    columns.append("")
                    continue
                ms = statistics.median(times)
                columns.append(f"{ms:.0f} ({ms / statistics.median(compute):.2f}; "
                               f"{min(times):.0f}-{max(times):.0f})")
            costs = []
            for rate in rates:
                long, short = runs(cell, rate), runs(cell, rate, True)
                if long and short:
                    costs.append(1e3 * (statistics.median(r["processor_seconds"] for r in long) -
                                        statistics.median(r["processor_seconds"] for r in short)) /
                                 (long[0]["steps"] - short[0]["steps"]))
            columns.append(f"{statistics.median(costs):.0f}" if costs else "")
            print(f"| {cell} | " + " | ".join(columns) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--rates", nargs="+", default=RATES, choices=RATES)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--servers", help="other than one on each host")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--table", action="store_true", help="only prints what OUT has")
    arguments = parser.parse_args()
    arguments.bin = arguments.bin.resolve()
    if not arguments.table:
        measure(arguments)
    with open(arguments.out) as lines:
        table([json.loads(line) for line in lines])


if __name__ == "__main__":
    main()
