"""Writes torch_trajectories.txt: ten steps of torch.optim on four weights.

Run once with PyTorch 1.13; the tests read the stored file alone. Each case is
a line "case NAME", then per step "g" and the gradients, "w" and the weights
after the step. Gradients are exact in binary: multiples of 1/64.
"""
import torch

CASES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(
        p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.001),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adam_decay": lambda p: torch.optim.Adam(
        p, lr=0.003, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.02),
}


def main():
  with open("torch_trajectories.txt", "w") as file:
    for name, make in CASES.items():
      torch.manual_seed(7)
      weights = torch.nn.Parameter(torch.tensor([0.5, -0.25, 1.0, 0.0]))
      optimizer = make([weights])
      file.write(f"case {name}\n")
      for _ in range(10):
        gradient = torch.randint(-128, 129, (4,)).float() / 64
        weights.grad = gradient
        optimizer.step()
        for tag, row in (("g", gradient), ("w", weights.detach())):
          file.write(tag + " " + " ".join(f"{x:.9g}" for x in row.tolist()))
          file.write("\n")


if __name__ == "__main__":
  main()
