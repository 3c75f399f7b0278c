"""A training run that is told its CPU minutes: it goes on from its checkpoint, says how long is left, and stops where it is asked to.

The mind, the translator and the end of turn are trained so; the ears have several processes, and train_ears.py.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

WARM_STEPS = 40
#: The share of the run at whose end the learning rate falls to nothing.
FALLING = 0.6


def arguments_of(description: str, minutes: float, batch: int) -> argparse.ArgumentParser:
    """What every such training is told."""
    arguments = argparse.ArgumentParser(description=description.splitlines()[0])
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=minutes, help="CPU minutes of the process, all runs together")
    arguments.add_argument("--batch", type=int, default=batch)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--smoke", action="store_true", help="a few steps, to see that everything runs")
    return arguments


class Run:
    """The state of a run: the model, its two optimizers (Muon for matrices, AdamW for all else), the step, the seconds spent."""

    def __init__(self, work: Path, model: torch.nn.Module, is_matrix: Callable[[str, torch.nn.Parameter], bool],
                 rates: tuple[float, float], weight_decay: float, **also: object) -> None:
        self.kept, self.model, self.rates, self.also = work / "checkpoint.pt", model, rates, also
        named = list(model.named_parameters())
        self.others = [p for name, p in named if not is_matrix(name, p)]
        matrices = [p for name, p in named if is_matrix(name, p)]
        self.optimizers = [torch.optim.Muon(matrices, lr=rates[0], weight_decay=weight_decay, momentum=0.95),
                           torch.optim.AdamW(self.others, lr=rates[1], betas=(0.9, 0.98), weight_decay=0.0)]
        self.step, self.spent = 0, 0.0
        if self.kept.exists():
            saved = torch.load(self.kept, weights_only=True)
            model.load_state_dict(saved["model"])
            for optimizer, state in zip(self.optimizers, saved["optimizers"]):
                optimizer.load_state_dict(state)
            self.step, self.spent = saved["step"], saved["spent"]

    def keep(self) -> None:
        """Writes the checkpoint whole or not at all."""
        new = self.kept.with_suffix(".new")
        torch.save({"model": self.model.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers],
                    "step": self.step, "spent": self.spent, **self.also}, new)
        os.replace(new, self.kept)

    def go(self, minutes: float, loss_of: Callable[[int], tuple[torch.Tensor, dict[str, float]]], *,
           said_every: int, kept_every: int) -> None:
        """Trains until the minutes are spent; `loss_of` a step gives its loss, and figures whose means are printed."""
        size = sum(p.numel() for p in self.model.parameters())
        print(f"{size:,} parameters, from step {self.step}, {self.spent / 60:.1f} CPU-minutes spent", flush=True)
        whole, before, started, began = minutes * 60, self.spent, time.process_time(), time.monotonic()
        stop: list[int] = []
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, lambda number, _: stop.append(number))  # the step is finished and kept
        seen: list[dict[str, float]] = []
        while self.spent < whole and not stop:
            scale = min(1.0, (self.step + 1) / WARM_STEPS) * min(1.0, (1.0 - self.spent / whole) / FALLING + 0.01)
            for optimizer, rate in zip(self.optimizers, self.rates):
                optimizer.param_groups[0]["lr"] = rate * scale
            loss, figures = loss_of(self.step)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.others, 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
            self.step, self.spent = self.step + 1, before + time.process_time() - started
            seen.append({"loss": loss.item(), **figures})
            if self.step % said_every == 0:
                left = (whole - self.spent) / 60 * (time.monotonic() - began) / (self.spent - before + 1e-9)
                print(json.dumps({"step": self.step, **means(seen), "cpu_minutes": round(self.spent / 60, 2),
                                  "minutes_left": round(left)}), flush=True)
                seen = []
            if self.step % kept_every == 0:
                self.keep()
        self.keep()


def means(seen: Iterable[dict[str, float]]) -> dict[str, float]:
    seen = list(seen)
    return {name: round(sum(one[name] for one in seen) / len(seen), 4) for name in seen[0]}
