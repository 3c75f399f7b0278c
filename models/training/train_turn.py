"""Trains the end-of-turn model on the turns of turns.py: every pause of every turn, end or not.

    nice -n 5 python train_turn.py --data /tmp/turn --work /tmp/turn/run         # again: goes on where it stopped
    python train_turn.py --data /tmp/turn-smoke --work /tmp/turn-smoke/run --smoke

--minutes are CPU minutes of the process, all runs together; the learning rate falls to nothing at their end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch

import speech
from augment import Augment, speed
from ears_model import RATE, LogMel
from turn_model import SHAPE, WINDOW, Turn, features

SEED = 20261130
#: How long the silence is when the model is asked: a voice detector needs this long, and is sometimes late.
ASKED = (0.15, 0.6)


class Batches:
    """Augmented pauses; a function of the step."""

    def __init__(self, folder: Path):
        rows, self._samples = speech.load_set(folder, "train")
        self._ends = [(row, p) for row in rows for p in row["pauses"] if p[2]]
        self._inner = [(row, p) for row in rows for p in row["pauses"] if not p[2]]
        self._augment = Augment(torch.Generator())

    def next(self, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(waves, whether each is the end); half and half."""
        rng = random.Random(f"{SEED}-{step}")
        self._augment._generator.manual_seed(SEED + step)
        waves, labels = torch.zeros(size, WINDOW), []
        for i in range(size):
            row, (begin, length, last) = rng.choice(self._ends if rng.random() < 0.5 else self._inner)
            wave = self._samples[row["offset"]:row["offset"] + begin].astype(np.float32) / 32768
            wave = speed(wave, rng.uniform(0.9, 1.1))
            silence = int(min(rng.uniform(*ASKED), length / RATE) * RATE)
            wave = wave[-(WINDOW - silence):]
            waves[i, WINDOW - silence - len(wave):WINDOW - silence] = torch.from_numpy(wave)
            labels.append([float(last)])
        waves = self._augment(waves, torch.full((size,), WINDOW), torch.zeros(size, dtype=torch.bool))
        return waves, torch.tensor(labels)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=60.0)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--smoke", action="store_true", help="a few steps, to see that everything runs")
    a = arguments.parse_args()
    if a.smoke:
        a.minutes, a.batch = 0.3, 8
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    a.work.mkdir(parents=True, exist_ok=True)
    batches, mel, model = Batches(a.data), LogMel(), Turn(**SHAPE)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "blocks" in name]
    others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and "blocks" in name)]
    optimizers = [torch.optim.Muon(matrices, lr=0.01, weight_decay=0.02, momentum=0.95),
                  torch.optim.AdamW(others, lr=0.001, betas=(0.9, 0.98), weight_decay=0.0)]
    rates, step, spent = [0.01, 0.001], 0, 0.0
    kept = a.work / "checkpoint.pt"
    if kept.exists():
        saved = torch.load(kept, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        step, spent = saved["step"], saved["spent"]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, from step {step}, {spent / 60:.1f} CPU-minutes spent", flush=True)

    def keep() -> None:
        """Writes the checkpoint whole or not at all."""
        torch.save({"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step, "spent": spent,
                    "shape": SHAPE}, kept.with_suffix(".new"))
        os.replace(kept.with_suffix(".new"), kept)

    started, before, began, total, right, seen = time.process_time(), spent, time.monotonic(), 0.0, 0.0, 0
    stop: list[int] = []
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: stop.append(number))  # the step is finished and kept
    while spent < a.minutes * 60 and not stop:
        progress = spent / (a.minutes * 60)
        scale = min(1.0, (step + 1) / 40) * min(1.0, (1.0 - progress) / 0.6 + 0.01)
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * scale
        waves, labels = batches.next(step, a.batch)
        with torch.no_grad():
            seen_features = features(mel, waves)
        with torch.autocast("cpu", torch.bfloat16):
            score = model.score(seen_features)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(score.float(), labels)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step, spent = step + 1, before + time.process_time() - started
        total, right, seen = total + loss.item(), right + ((score > 0) == (labels > 0.5)).float().mean().item(), seen + 1
        if step % (5 if a.smoke else 25) == 0:
            left = (a.minutes * 60 - spent) / 60 * (time.monotonic() - began) / (spent - before + 1e-9)
            print(json.dumps({"step": step, "loss": round(total / seen, 4), "right": round(right / seen, 3),
                              "cpu_minutes": round(spent / 60, 2), "minutes_left": round(left)}), flush=True)
            total, right, seen = 0.0, 0.0, 0
        if step % 50 == 0:
            keep()
    keep()


if __name__ == "__main__":
    main()
