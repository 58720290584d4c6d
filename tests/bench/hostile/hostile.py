#!/usr/bin/env python3
"""What a running job feels of a hostile client: step time and memory.

    tests/bench/hostile/hostile.py [--seconds 20] [--aside] [--build build/release]

Starts a server and two workers of the demo job on TCP, then for `--seconds` each:
nobody else, hostile_client, nobody else. Prints what the client was answered, the
steps per second of the three times, what processor time the server took in them, and
its resident memory. --aside gives the client only the processor time that nobody else
wants, as if it ran on another machine.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def steps_done(folder):
    with open(os.path.join(folder, "metrics.jsonl")) as file:
        events = [json.loads(line) for line in file if line.endswith("\n")]
    steps = [(e["seconds"], e["step"]) for e in events if e["event"] == "progress"]
    return steps[-1] if steps else (0, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--aside", action="store_true")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/release"))
    options = parser.parse_args()
    aside = ["chrt", "--idle", "0"] if options.aside else []
    build = os.path.abspath(options.build)
    environment = dict(os.environ, TERSE_TOKEN="the job's own",
                       OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    with tempfile.TemporaryDirectory() as folder:
        job = subprocess.run(
            [f"{build}/bin/terse", "train", os.path.join(ROOT, "deploy/examples/demo.yaml"),
             "--print-job", "--set", "train.epochs=100000", "--workers", "2"],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        with open(f"{folder}/job.yaml", "w") as file:
            file.write(job)
        start = lambda *words: subprocess.Popen(
            words, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
        server = start(f"{build}/bin/terse-server", "--job", "job.yaml",
                       "--listen", "127.0.0.1:0", "--port-file", "port",
                       "--run-dir", ".")
        roles = [server]
        try:
            while not os.path.exists(f"{folder}/port"):
                time.sleep(0.05)
            address = open(f"{folder}/port").read().strip()
            roles += [start(f"{build}/bin/terse-worker", "--coordinator", address,
                            "--rank", str(rank)) for rank in range(2)]
            while steps_done(folder)[1] < 20:
                time.sleep(0.2)
            rates = []
            shares = []
            memory = [resident_mib(server.pid)]
            for hostile in (False, True, False):
                seconds, steps = steps_done(folder)
                processor = processor_seconds(server.pid)
                if hostile:
                    subprocess.run(aside + [f"{build}/tests/hostile_client", address,
                                            str(options.seconds)],
                                   env=environment, check=True)
                else:
                    time.sleep(options.seconds)
                seconds_now, steps_now = steps_done(folder)
                rates.append((steps_now - steps) / (seconds_now - seconds))
                shares.append((processor_seconds(server.pid) - processor) /
                              (seconds_now - seconds))
                memory.append(resident_mib(server.pid))
        finally:
            for role in roles:
                role.kill()
                role.wait()
    calm = (rates[0] + rates[2]) / 2
    print("steps/s: %.1f before, %.1f meanwhile, %.1f after: step time %.3f "
          "times the calm one" % (*rates, calm / rates[1]))
    print("server processor time, of a core: %.2f before, %.2f meanwhile, %.2f "
          "after" % tuple(shares))
    print("server memory, MiB: %.1f at the start, %.1f before, %.1f at the end "
          "of it, %.1f after" % tuple(memory))


if __name__ == "__main__":
    main()
