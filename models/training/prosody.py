"""How much pitch, loudness and length tell of the end of a turn: the weights of `models/src/prosody.rs`, and what comes of them.

    python prosody.py --work /tmp/turn         # a minute on one core

Fitted on turns of the training's wordings and voices, measured on held-out ones, both over a telephone line.  The figures are those
of the Rust source, one by one: whoever changes one there changes it here.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

import speech
import turns
import voice as malagasy
from evaluate_ears import telephone
from evaluate_turn import ASKED, FINISHED, FIXED, GOES_ON, Judged

RATE, LATEST, FRAME, HOP, PERIODS = 8_000, 24_000, 256, 128, np.arange(20, 134)
VOICED, NEARLY, SOFT, LEAST, END, SLOPE, SOFTENS, STEEPEST = 0.6, 0.9, 25.0, 5, 10, 25, 12, 40.0
#: Below the first it is taken that more follows, above the second that all is said; they become GOES_ON and FINISHED of src/agent/endpoint.rs.
LOW, HIGH = 0.33, 0.7


def pitch(sound: np.ndarray) -> float | None:
    """Of the frame that this begins with, in semitones above 1 Hz."""
    frame = sound[:FRAME]
    later = np.lib.stride_tricks.sliding_window_view(sound[:FRAME + PERIODS[-1]], FRAME)[PERIODS]
    alike = later @ frame / np.sqrt(frame @ frame * np.einsum("ij,ij->i", later, later) + 1e-12)
    if alike.max() < VOICED:
        return None
    padded = np.concatenate([[0.0], alike, [0.0]])
    peaks = (alike >= NEARLY * alike.max()) & (alike >= padded[:-2]) & (alike >= padded[2:])
    return float(12 * np.log2(RATE / PERIODS[np.argmax(peaks)]))


def slope(at: np.ndarray, values: np.ndarray) -> float:
    times = at * HOP / RATE
    times = times - times.mean()
    return float(times @ values / (times @ times)) if times @ times > 1e-9 else 0.0


def shape(turn: np.ndarray) -> np.ndarray | None:
    """The five figures of a turn (16 kHz, with the silence behind it)."""
    sound = turn[len(turn) % 2:].astype(np.float64)
    sound = ((sound[0::2] + sound[1::2]) / 2 / 32768)[-LATEST:]
    count = (len(sound) - FRAME - 134) // HOP + 1
    if count < 1:
        return None
    loudness = np.array([10 * np.log10(np.mean(sound[t * HOP:t * HOP + FRAME] ** 2) + 1e-9) for t in range(count)])
    loud = np.nonzero(loudness > np.sort(loudness)[(count - 1) * 95 // 100] - SOFT)[0]
    pitches = {int(t): pitch(sound[t * HOP:]) for t in loud}
    voiced = np.array([t for t, found in pitches.items() if found is not None])
    if len(voiced) < LEAST:
        return None
    above = np.array([pitches[t] for t in voiced])
    above = above - np.median(above)
    falling = voiced + SLOPE > voiced[-1]
    return np.array([above[-END:].mean(), np.clip(slope(voiced[falling], above[falling]), -STEEPEST, STEEPEST),
                     loudness[loud[-SOFTENS:]].mean() - loudness[loud].mean(), above[falling].std(), np.log(1 + len(loud) * HOP / RATE)])


def pauses(work: Path, split: str, seed: int, count: int) -> list[tuple[np.ndarray | None, bool, float]]:
    """Of every pause of so many turns: its figures, whether it is the end, and how many seconds it lasts."""
    espeak = malagasy.prepare(work / "voice")
    voices = list(speech.HELD_OUT_VOICES) if split == "held_out" else speech.train_voices(espeak)
    said, rng, noise = speech.Voice(espeak), random.Random(f"evaluate-{seed}"), np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        row, wave = turns.turn(said, rng, split, voices)
        for begin, length, last in row["pauses"]:
            heard = telephone(wave[:begin], 25.0 if rng.random() < 0.5 else None, noise)
            rows.append((shape(heard[:len(heard) - int((0.3 - ASKED) * turns.RATE)]), last, length / turns.RATE))
    return rows


def fit(rows: list[tuple[np.ndarray | None, bool, float]]) -> tuple[np.ndarray, float]:
    """(weights, bias) of a logistic regression, stretched so that LOW and HIGH become GOES_ON and FINISHED."""
    known = [(figures, last) for figures, last, _ in rows if figures is not None]
    figures, ends = np.array([row[0] for row in known]), np.array([row[1] for row in known], float)
    middle, spread = figures.mean(0), figures.std(0)
    inputs, weights = np.c_[(figures - middle) / spread, np.ones(len(ends))], np.zeros(figures.shape[1] + 1)
    for _ in range(50):
        said = 1 / (1 + np.exp(-inputs @ weights))
        bent = (inputs * (said * (1 - said))[:, None]).T @ inputs / len(ends) + 1e-3 * np.eye(len(weights))
        weights -= np.linalg.solve(bent, inputs.T @ (said - ends) / len(ends) + 1e-3 * weights)
    def logit(share: float) -> float:
        return float(np.log(share / (1 - share)))
    stretch = (logit(FINISHED) - logit(GOES_ON)) / (logit(HIGH) - logit(LOW))
    own = stretch * weights[:-1] / spread
    return own, float(stretch * (weights[-1] - logit(HIGH)) + logit(FINISHED) - own @ middle)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, default=Path("/tmp/turn"), help="where the voice is compiled")
    arguments.add_argument("--seed", type=int, default=4711, help="of the turns that are measured")
    arguments.add_argument("--count", type=int, default=1_200, help="turns that it is fitted to; half as many are measured")
    a = arguments.parse_args()
    weights, bias = fit(pauses(a.work, "train", 21, a.count))
    weights, bias = weights.round(3), round(bias, 2)
    print(f"WEIGHTS: {weights.tolist()}, BIAS: {bias}")
    rows = pauses(a.work, "held_out", a.seed, a.count // 2)
    # Where nothing is said the silence alone tells, as in doubt.
    said = np.array([0.5 if figures is None else 1 / (1 + np.exp(-(figures @ weights + bias))) for figures, _, _ in rows])
    last, lengths = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    judged = Judged(said[~last], lengths[~last], said[last])
    area = np.mean((judged.ends[:, None] > judged.inner) + 0.5 * (judged.ends[:, None] == judged.inner))
    delay, false = judged.rule(GOES_ON, FINISHED)
    print(f"{len(judged.ends)} ends and {len(judged.inner)} inner pauses; area under the curve: {area:.3f}")
    print(f"Milo's rule: {false:.1f} % of the inner pauses end the turn, the ends are answered after {delay:.0f} ms on average")
    for wait in FIXED:
        delay, false = judged.fixed(wait)
        print(f"fixed wait:  {false:.1f} %, {delay:.0f} ms")
    print(f"(turns of seed {a.seed})")


if __name__ == "__main__":
    main()
