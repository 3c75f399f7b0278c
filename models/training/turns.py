"""Calls for the end of turn: sentences with the pauses of people who think while they speak.

    python turns.py --out /tmp/turn            # 8,000 turns, 12 h, 1.4 GB

A turn is cut into one to three parts.  All but the last are read with a comma behind them, so that the voice stays up, now and then
with a hesitation; some of the first parts are whole sentences after which the caller goes on.  Every pause of a turn is known: where
it begins, how long it lasts, and whether it is the end.  Inner pauses are made up: lognormal, median 0.6 s, from 0.2 to 3 s.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

import grammar
import speech
import spoken
import voice as malagasy

RATE = 16_000
#: Silence behind the last word, as long as the longest wait that is compared.
TAIL = 2.0


def pause(rng: random.Random) -> float:
    """Seconds of an inner pause."""
    return min(max(rng.lognormvariate(-0.5, 0.6), 0.2), 3.0)


def parts(rng: random.Random, split: str) -> tuple[list[str], str]:
    """What is said between the pauses, and the language."""
    language = "mg" if rng.random() < grammar.MALAGASY_SHARE else "fr"
    words = grammar.sample(rng, split, language).text.split()
    whole = [grammar.sample(rng, split, language).text] if rng.random() < 0.2 else []
    places = sorted(rng.sample(range(1, len(words)), min(len(words) - 1, rng.choice((0, 0, 1, 1, 2))))) if len(words) > 1 else []
    said = whole + [" ".join(words[a:b]) for a, b in zip([0, *places], [*places, len(words)])]
    return said, language


def turn(voice: speech.Voice, rng: random.Random, split: str, voices: list[str]) -> tuple[dict, np.ndarray]:
    """One turn: its sound, and its pauses as [where it begins, length in samples, whether it is the end]."""
    said, language = parts(rng, split)
    variant, speed, pitch, width = rng.choice(voices), rng.randint(120, 205), rng.randint(25, 75), rng.randint(25, 75)
    pieces, pauses, at = [], [], 0
    for i, text in enumerate(said):
        last = i == len(said) - 1
        if not last and rng.random() < 0.3:
            text = f"{text} {rng.choice(spoken.HESITATIONS[language])}"
        wave = voice.speak(text + (rng.choice(("", ".")) if last else ","), language, variant, speed, pitch, width, 0)
        silence = int((TAIL if last else pause(rng)) * RATE)
        pieces += [wave, np.zeros(silence, np.int16)]
        pauses.append([at + len(wave), silence, last])
        at += len(wave) + silence
    return {"text": " ".join(said), "language": language, "voice": variant, "pauses": pauses}, np.concatenate(pieces)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--count", type=int, default=8_000, help="turns for training")
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--smoke", action="store_true", help="a few turns, to see that everything works")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    espeak = malagasy.prepare(given.out / "voice")
    count = 250 if given.smoke else given.count
    speech.write_set("train", given.out, espeak, "train", speech.train_voices(espeak), 21, count, given.processes, turn)


if __name__ == "__main__":
    main()
