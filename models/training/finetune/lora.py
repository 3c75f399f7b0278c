"""Low-rank adaptation (Hu et al. 2021): each chosen matrix stays, and two narrow ones beside it learn.

A tenth of the memory of a full training and a file of a few megabytes; merged at the end, the model has its old shape and pace.
"""

from __future__ import annotations

import torch


class Adapted(torch.nn.Module):
    """A linear layer, and what is learned beside it: W x + (scale / rank) B A x.  B begins at zero, so nothing changes at first."""

    def __init__(self, linear: torch.nn.Linear, rank: int, scale: float):
        super().__init__()
        self.linear, self.factor = linear, scale / rank
        device = linear.weight.device
        self.down = torch.nn.Parameter(torch.randn(rank, linear.in_features, device=device) / rank**0.5)
        self.up = torch.nn.Parameter(torch.zeros(linear.out_features, rank, device=device))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs) + (inputs @ self.down.T @ self.up.T) * self.factor


def adapt(model: torch.nn.Module, rank: int, names: tuple[str, ...]) -> int:
    """Freezes the model and puts an adapter beside every linear layer with one of the names; how many."""
    model.requires_grad_(False)
    chosen = [(parent, name, child) for parent in model.modules() for name, child in parent.named_children()
              if name in names and isinstance(child, torch.nn.Linear)]
    for parent, name, child in chosen:
        setattr(parent, name, Adapted(child, rank, 2.0 * rank))
    return len(chosen)


@torch.no_grad()
def merge(model: torch.nn.Module) -> None:
    """Adds what was learned to the matrices and takes the adapters out."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Adapted):
                child.linear.weight += (child.up @ child.down) * child.factor
                setattr(parent, name, child.linear)
