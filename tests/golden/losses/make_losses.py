#!/usr/bin/env python3
"""Writes losses.csv: ten training steps of two small networks.

An implementation of its own: the draws, the order of the samples, the networks,
the losses and the optimizer are written from their definitions
(common/base/random.h, worker/data/dataset.h, proto/job.proto), and torch
computes in double precision with its own automatic derivatives.

Needs python3-torch. Usage: make_losses.py > losses.csv
"""

import math

import torch
import torch.nn.functional as F

MASK = (1 << 64) - 1
MASK32 = (1 << 32) - 1
SEED = 11
SAMPLES = 200
BATCH = 16
STEPS = 10
RATE = 0.05000000074505806  # 0.05 as a float32.
MOMENTUM = 0.8999999761581421
INIT, DROPOUT, SHUFFLE = 1, 4, 6


def mix64(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def mix_key(*parts):
    key = 0x9E3779B97F4A7C15
    for part in parts:
        key = mix64((key + 0x9E3779B97F4A7C15 + part) & MASK)
    return key


def draw_key(draw, *parts):
    return mix_key(draw, mix_key(*parts))


def random_bits(key, index):
    x = (index * 0x9E3779B9 + key) & MASK32
    x ^= x >> 16
    x = x * 0x7FEB352D & MASK32
    x ^= x >> 15
    x = (x + (key >> 32)) & MASK32
    x = x * 0x846CA68B & MASK32
    return x ^ (x >> 16)


def random_unit(key, index):
    return (random_bits(key, index) >> 8) / (1 << 24)


def sample(index, shape):
    key = mix_key(77, 0, index)
    count = math.prod(shape)
    values = [2 * random_unit(key, i) - 1 for i in range(count)]
    return values, random_bits(key, count) % 10


def shuffled_index(epoch, position):
    """The Feistel network of worker/data/shuffle.cc on numbers of 8 bits."""
    assert 128 < SAMPLES <= 256
    key = draw_key(SHUFFLE, SEED, epoch)
    while True:
        left, right = position >> 4, position & 15
        for turn in range(6):
            mixed = mix64((key + right * 6 + turn) & MASK)
            left, right = right, left ^ (mixed >> 60)
        position = left << 4 | right
        if position < SAMPLES:
            return position


def batch(step, shape):
    per_epoch = SAMPLES // BATCH
    epoch, first = step // per_epoch, step % per_epoch * BATCH
    picked = [sample(shuffled_index(epoch, first + i), shape)
              for i in range(BATCH)]
    x = torch.tensor([p[0] for p in picked], dtype=torch.float64)
    return x.reshape(BATCH, *shape), torch.tensor([p[1] for p in picked])


def weight(tensor, *shape):
    """Uniform in He's bounds; float32 like the product's."""
    key = draw_key(INIT, SEED, tensor)
    fan_in = math.prod(shape[1:])
    largest = torch.tensor(math.sqrt(6 / fan_in), dtype=torch.float32)
    units = [2 * random_unit(key, i) - 1 for i in range(math.prod(shape))]
    values = largest * torch.tensor(units, dtype=torch.float32)
    return values.double().reshape(shape).requires_grad_()


def constant(value, count):
    return torch.full((count,), value, dtype=torch.float64).requires_grad_()


def dropout(x, step, layer, probability):
    key = draw_key(DROPOUT, SEED, step, 0, layer)
    mask = [random_unit(key, i) >= probability for i in range(x.numel())]
    mask = torch.tensor(mask, dtype=torch.float64).reshape(x.shape)
    return x * mask / (1 - probability)


def norm(x, scale, shift):
    axes = [0] + list(range(2, x.dim()))
    size = [1, -1] + [1] * (x.dim() - 2)
    mean = x.mean(axes, keepdim=True)
    variance = ((x - mean) ** 2).mean(axes, keepdim=True)
    normal = (x - mean) / (variance + 9.999999747378752e-05).sqrt()
    return normal * scale.reshape(size) + shift.reshape(size)


class Mlp:
    """128-48-32-10 with batch norm; tensors are numbered in layer order,
    two buffers after each batch norm's scale and shift."""

    def __init__(self):
        self.parameters = [
            weight(0, 48, 128), constant(1, 48), constant(0, 48),
            weight(5, 32, 48), constant(1, 32), constant(0, 32),
            weight(10, 10, 32), constant(0, 10)]

    def loss(self, x, labels, step):
        w1, g1, b1, w2, g2, b2, w3, b3 = self.parameters
        x = torch.relu(norm(x.flatten(1) @ w1.T, g1, b1))
        x = torch.relu(norm(x @ w2.T, g2, b2))
        return F.cross_entropy(x @ w3.T + b3, labels)

    def update(self, parameter, gradient, velocity):
        velocity.mul_(MOMENTUM).add_(gradient)
        parameter.sub_(RATE * velocity)


class Cnn:
    """conv 6, batch norm, ReLU, max pool, conv 8, tanh, average pool, dropout,
    linear; squared hinge; Nesterov's momentum."""

    def __init__(self):
        self.parameters = [
            weight(0, 6, 2, 3, 3), constant(1, 6), constant(0, 6),
            weight(5, 8, 6, 3, 3), constant(0, 8),
            weight(7, 10, 8), constant(0, 10)]

    def loss(self, x, labels, step):
        w1, g1, b1, w2, b2, w3, b3 = self.parameters
        x = torch.relu(norm(F.conv2d(x, w1, padding=1), g1, b1))
        x = torch.tanh(F.conv2d(F.max_pool2d(x, 2), w2, b2))
        x = dropout(F.avg_pool2d(x, 2), step, 7, 0.25)
        scores = x.flatten(1) @ w3.T + b3
        targets = 2 * F.one_hot(labels, 10) - 1
        return (1 - targets * scores).clamp(min=0).square().sum(1).mean()

    def update(self, parameter, gradient, velocity):
        velocity.mul_(MOMENTUM).add_(gradient)
        parameter.sub_(RATE * (gradient + MOMENTUM * velocity))


def main():
    print("name,step,loss")
    for name, network in (("mlp", Mlp()), ("cnn_dropout", Cnn())):
        velocities = [torch.zeros_like(p) for p in network.parameters]
        for step in range(STEPS):
            x, labels = batch(step, (2, 8, 8))
            loss = network.loss(x, labels, step)
            gradients = torch.autograd.grad(loss, network.parameters)
            print(f"{name},{step},{loss.item():.9g}")
            with torch.no_grad():
                for update in zip(network.parameters, gradients, velocities):
                    network.update(*update)


if __name__ == "__main__":
    main()
