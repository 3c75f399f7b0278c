"""How well the end of turn is told, against waiting a fixed time: held-out wordings, held-out voices, a telephone line.

    python evaluate_turn.py --model ../demo/turn --work /tmp/turn --seed 2026

A turn ends falsely when the caller was going to go on.  A fixed wait of W ends falsely at every inner pause longer than W, and
costs W at the end.  With the model: 0.2 s into a pause it is asked once; at or above the threshold the turn ends there, below it
after 1.5 s.  The pauses are made up (turns.py), so the figures compare the two on one set of turns and say nothing about people.
"""

from __future__ import annotations

import argparse
import random
import time
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

ASKED, LONGEST = 0.2, 1.5


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
    session, mel = onnxruntime.InferenceSession(a.model / NAME, options), LogMel()
    said, rng, noise = speech.Voice(malagasy.prepare(a.work / "voice")), random.Random(f"evaluate-{a.seed}"), np.random.default_rng(a.seed)
    inner, ends, lengths, spent = [], [], [], 0.0
    for _ in range(a.count):
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
    inner, ends, lengths = np.array(inner), np.array(ends), np.array(lengths)
    area = np.mean((ends[:, None] > inner) + 0.5 * (ends[:, None] == inner))
    right = (np.sum(ends >= 0.5) + np.sum(inner < 0.5)) / (len(ends) + len(inner))
    print(f"{len(ends)} ends and {len(inner)} inner pauses; {spent / (len(ends) + len(inner)) * 1000:.0f} ms a decision on one core; "
          f"right at 0.5: {100 * right:.1f} %; area under the curve: {area:.3f}")
    print("fixed wait       false ends of inner pauses   delay")
    for wait in (0.3, 0.4, 0.5, 0.7, 1.0, 1.5):
        print(f"  {wait * 1000:5.0f} ms        {100 * np.mean(lengths > wait):5.1f} %                    {wait * 1000:5.0f} ms")
    print("model, threshold false ends of inner pauses   mean delay")
    for threshold in (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98):
        false = np.mean((inner >= threshold) | (lengths > LONGEST))
        delay = np.mean(np.where(ends >= threshold, ASKED, LONGEST))
        print(f"  {threshold:5.2f}           {100 * false:5.1f} %                    {delay * 1000:5.0f} ms")
    print(f"(turns of seed {a.seed})")


if __name__ == "__main__":
    main()
