#!/usr/bin/env python3
"""ddp_step.py RANK WORLD compute|fp32|powersgd STEPS: median step time (ms) of the
784-4096-4096-10 network in PyTorch, batch 32, one thread, printed by rank 0.
compute: no communication but a barrier before each step. Needs MASTER_ADDR."""
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook

rank, world, mode, steps = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
torch.set_num_threads(1)
torch.manual_seed(1)
dist.init_process_group("gloo", init_method=f"tcp://{os.environ['MASTER_ADDR']}:29511",
                        rank=rank, world_size=world)
net = torch.nn.Sequential(torch.nn.Linear(784, 4096), torch.nn.ReLU(),
                          torch.nn.Linear(4096, 4096), torch.nn.ReLU(),
                          torch.nn.Linear(4096, 10))
model = net
if mode != "compute":
    # PowerSGD over gloo needs one bucket: with several, ranks start collectives
    # in different orders and abort.
    one = mode == "powersgd"
    if one:
        dist._DEFAULT_FIRST_BUCKET_BYTES = 1 << 30
    model = torch.nn.parallel.DistributedDataParallel(net, bucket_cap_mb=1024 if one else 25)
if mode == "powersgd":
    model.register_comm_hook(powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=1,
                                                         start_powerSGD_iter=2),
                             powerSGD_hook.powerSGD_hook)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
x, y = torch.randn(32, 784), torch.randint(0, 10, (32,))
times = []
for step in range(steps + 5):
    if mode == "compute":
        dist.barrier()
    begin = time.perf_counter()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    if mode == "compute":
        loss.backward()
        net.zero_grad()
    else:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    times.append((time.perf_counter() - begin) * 1e3)
if rank == 0:
    print(f"{statistics.median(times[5:]):.2f}")
dist.destroy_process_group()
