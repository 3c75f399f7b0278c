"""How well the end of turn is told, against waiting a fixed time: held-out wordings, held-out voices, a telephone line.

    python evaluate_turn.py --model ../demo/turn --work /tmp/turn --seed 2026

A turn ends falsely when the caller was going to go on.  A fixed wait of W ends falsely at every inner pause longer than W, and
costs W at the end.  Milo asks the model once, 0.2 s into a pause: where it is sure of the end the turn ends at 0.24 s, where it is
sure that more follows at 1.5 s, and otherwise at 0.4 s.  "best" are the thresholds with the fewest false ends that cost no more
than 0.4 s would without the model; those of src/agent/endpoint.rs are chosen by it, on another seed than the published one.  The
pauses are made up (turns.py), so the figures compare the two on one set of turns and say nothing about people.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import speech
import turns
import voice as malagasy
from evaluate_ears import telephone
from ears_model import RATE, LogMel
from export_turn import NAME
from turn_model import WINDOW, features

#: As Milo waits: `patience` of src/call/verbs.rs, [conversation] end_of_turn_ms and longest_pause_ms.
ASKED, SURE, DOUBT, LONGEST = 0.2, 0.24, 0.4, 1.5
#: As src/agent/endpoint.rs has them.
GOES_ON, FINISHED = 0.2, 0.7
FIXED = (0.24, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5)
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True)
class Judged:
    """Pauses: what the model says of the inner ones and how long they last in seconds, and what it says at the ends."""

    inner: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray

    def fixed(self, wait: float) -> tuple[float, float]:
        """(mean delay in ms, false ends in per cent of the inner pauses)."""
        return 1000 * wait, 100 * float(np.mean(self.lengths > wait))

    def rule(self, goes_on: float, finished: float) -> tuple[float, float]:
        """The same of Milo's rule."""
        def wait(said: np.ndarray) -> np.ndarray:
            return np.where(said >= finished, SURE, np.where(said <= goes_on, LONGEST, DOUBT))
        return 1000 * float(np.mean(wait(self.ends))), 100 * float(np.mean(self.lengths > wait(self.inner)))

    def best(self) -> list[tuple[float, float, float, float]]:
        """(delay, false ends, goes on, finished) of the thresholds to which no others are better in both."""
        tried = sorted((*self.rule(low, high), low, high) for low in THRESHOLDS for high in THRESHOLDS if low < high)
        kept: list[tuple[float, float, float, float]] = []
        for point in tried:
            if not kept or point[1] < kept[-1][1]:
                kept.append(point)
        return kept


def curve(judged: Judged) -> str:
    """False ends over delay, drawn with letters: o fixed waits, + thresholds of the rule, X Milo's."""
    width, height, first, last = 78, 20, 200, 1500
    rows = [[" "] * (width + 1) for _ in range(height + 1)]
    points = [(judged.fixed(wait), "o") for wait in np.arange(0.24, 1.5, 0.02)] + [(point[:2], "+") for point in judged.best()]
    for (delay, false), mark in [*points, (judged.rule(GOES_ON, FINISHED), "X")]:
        rows[height - round(false / 100 * height)][round((delay - first) / (last - first) * width)] = mark
    lines = [f"{100 * (height - i) // height:4d} % |{''.join(row).rstrip()}" for i, row in enumerate(rows)]
    scale = "".join(f"{ms:<6d}" for ms in range(first, last + 1, 100))
    return "\n".join([*lines, "       +" + "-" * width, f"        {scale}ms"])


def judge(session: onnxruntime.InferenceSession, work: Path, seed: int, count: int) -> tuple[Judged, float]:
    """What the model says of so many turns, and the CPU seconds of a decision."""
    mel, rng, noise = LogMel(), random.Random(f"evaluate-{seed}"), np.random.default_rng(seed)
    said = speech.Voice(malagasy.prepare(work / "voice"))
    inner, ends, lengths, spent = [], [], [], 0.0
    for _ in range(count):
        row, wave = turns.turn(said, rng, "held_out", list(speech.HELD_OUT_VOICES))
        for begin, length, last in row["pauses"]:
            heard = telephone(wave[:begin], 25.0 if rng.random() < 0.5 else None, noise)
            # The line's own silences around a clip: 0.25 s in front, and ASKED of what it puts behind.
            heard = heard[:len(heard) - int((0.3 - ASKED) * RATE)][-WINDOW:].astype(np.float32) / 32768
            window = torch.zeros(1, WINDOW)
            window[0, WINDOW - len(heard):] = torch.from_numpy(heard)
            began = time.process_time()
            probability = float(session.run(None, {"input_features": features(mel, window).numpy()})[0][0, 0])
            spent += time.process_time() - began
            (ends if last else inner).append(probability)
            if not last:
                lengths.append(length / RATE)
    return Judged(np.array(inner), np.array(lengths), np.array(ends)), spent / (len(inner) + len(ends))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--work", type=Path, default=Path("/tmp/turn"), help="where the voice is compiled")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--count", type=int, default=600, help="turns")
    a = arguments.parse_args()
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    judged, spent = judge(onnxruntime.InferenceSession(a.model / NAME, options), a.work, a.seed, a.count)
    inner, ends = judged.inner, judged.ends
    area = np.mean((ends[:, None] > inner) + 0.5 * (ends[:, None] == inner))
    right = (np.sum(ends >= 0.5) + np.sum(inner < 0.5)) / (len(ends) + len(inner))
    print(f"{len(ends)} ends and {len(inner)} inner pauses; {spent * 1000:.0f} ms a decision on one core; "
          f"right at 0.5: {100 * right:.1f} %; area under the curve: {area:.3f}")
    print("                                    false ends of inner pauses   mean delay")
    for wait in FIXED:
        delay, false = judged.fixed(wait)
        print(f"fixed wait{'':32}{false:5.1f} %{'':18}{delay:5.0f} ms")
    def told(who: str, low: float, high: float) -> None:
        delay, false = judged.rule(low, high)
        print(f"{who:7}goes on <= {low:4.2f}, finished >= {high:4.2f}  {false:5.1f} %{'':18}{delay:5.0f} ms")
    others = judged.best()
    for _, _, low, high in others[::max(1, len(others) // 8)]:
        told("model:", low, high)
    told("best:", *min((point for point in others if point[0] <= 1000 * DOUBT), key=lambda point: point[1])[2:])
    told("Milo:", GOES_ON, FINISHED)
    unsure = [100 * np.mean((said > GOES_ON) & (said < FINISHED)) for said in (inner, ends)]
    print(f"in doubt: {unsure[0]:.1f} % of the inner pauses, {unsure[1]:.1f} % of the ends")
    print("\nfalse ends over mean delay: o fixed waits, + the rule with other thresholds, X Milo's\n" + curve(judged))
    print(f"(turns of seed {a.seed})")


if __name__ == "__main__":
    main()
