"""Trains the end-of-turn model on the turns of turns.py: every pause of every turn, end or not.

    nice -n 5 python train_turn.py --data /tmp/turn --work /tmp/turn/run         # again: goes on where it stopped
    python train_turn.py --data /tmp/turn-smoke --work /tmp/turn-smoke/run --smoke

--minutes are CPU minutes of the process, all runs together; the learning rate falls to nothing at their end.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

import speech
from augment import Augment, speed
from ears_model import RATE, LogMel
from run import Run, arguments_of
from turn_model import SHAPE, WINDOW, Turn, features

SEED = 20261130
#: How long the silence is when the model is asked: a voice detector needs this long, and is sometimes late.
ASKED = (0.15, 0.6)
#: Quiet lines first: on bad ones alone how a voice falls is not found.
EASY_STEPS, HARDEST = 2400, 0.6


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
        self._augment.hardness = min(HARDEST, step * HARDEST / EASY_STEPS)
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
    arguments = arguments_of(__doc__, minutes=20.0, batch=32)
    arguments.add_argument("--data", type=Path, required=True)
    a = arguments.parse_args()
    if a.smoke:
        a.minutes, a.batch = 0.3, 8
    torch.set_num_threads(a.threads)
    torch.manual_seed(SEED)
    a.work.mkdir(parents=True, exist_ok=True)
    batches, mel, model = Batches(a.data), LogMel(), Turn(**SHAPE)
    run = Run(a.work, model, lambda name, p: p.ndim == 2 and "blocks" in name, (0.006, 0.001), 0.02, shape=SHAPE)

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        waves, labels = batches.next(step, a.batch)
        with torch.no_grad():
            heard = features(mel, waves)
        with torch.autocast("cpu", torch.bfloat16):
            score = model.score(heard)
        right = ((score > 0) == (labels > 0.5)).float().mean().item()
        return torch.nn.functional.binary_cross_entropy_with_logits(score.float(), labels), {"right": right}

    run.go(a.minutes, loss_of, said_every=5 if a.smoke else 25, kept_every=50)


if __name__ == "__main__":
    main()
