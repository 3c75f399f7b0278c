"""Synthetic speech for the ears: grammar sentences spoken by espeak-ng.

    python speech.py --espeak DATA_FOLDER --out /tmp/ears            # ~20,000 utterances, 5-10 minutes
    python speech.py --espeak DATA_FOLDER --out /tmp/ears --smoke    # 200 utterances

DATA_FOLDER holds `espeak-ng-data` with the Malagasy voice compiled in (see
README.md).  Written: `{train,watch,final}.pcm` (16 kHz mono int16, all clips
one after the other) and `{...}.json` (text, language, voice, offset, length of
each clip, and the seed).  `watch` and `final` hold only held-out wordings in
held-out voices; `final` is never looked at before training ends.

espeak-ng's library keeps one global state, so each process has one Voice.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import multiprocessing
import random
import time
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

import grammar

RATE = 16_000
#: The window of the ears; a clip with its silences must fit.
MAX_SECONDS = 9.0

#: Never heard in training.
HELD_OUT_VOICES = ("f4", "m6", "Alicia", "Marco", "steph2", "pablo", "Gene2", "anika")
#: Robots, whispers and caricatures: no telephone caller sounds so.
_UNUSED = ("whisper", "whisperf", "croak", "Demonic", "fast", "UniRobot", "anikaRobot", "AnxiousAndy", "Tweaky", "serious",
           "announcer", "klatt5", "klatt6", "RicishayMax", "RicishayMax2", "RicishayMax3", "Storm", "Mr serious")
_RATE_PARAMETER, _PITCH_PARAMETER, _RANGE_PARAMETER, _WORD_GAP_PARAMETER = 1, 3, 4, 7
_SYNCHRONOUS, _UTF8 = 2, 1


def train_voices(espeak: Path) -> list[str]:
    """The voice variants of training, sorted."""
    names = sorted(p.name for p in (espeak / "espeak-ng-data" / "voices" / "!v").iterdir())
    return [n for n in names if n not in HELD_OUT_VOICES and n not in _UNUSED and not n.startswith("robosoft")]


class Voice:
    """espeak-ng through its C interface."""

    def __init__(self, espeak: Path):
        self._lib = ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
        self._rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 200, str(espeak).encode(), 0)
        if self._rate <= 0:
            raise RuntimeError(f"espeak-ng finds no data in {espeak}")
        self._chunks: list[np.ndarray] = []
        signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

        def take(samples, count, _events):
            if samples and count > 0:
                self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
            return 0

        self._take = signature(take)
        self._lib.espeak_SetSynthCallback(self._take)

    def speak(self, text: str, language: str, variant: str, speed: int, pitch: int, pitch_range: int, gap: int) -> np.ndarray:
        """16 kHz int16 without the silence around the words."""
        if self._lib.espeak_SetVoiceByName(f"{language}+{variant}".encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {language}+{variant}")
        for parameter, value in ((_RATE_PARAMETER, speed), (_PITCH_PARAMETER, pitch), (_RANGE_PARAMETER, pitch_range),
                                 (_WORD_GAP_PARAMETER, gap)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        raw = text.encode()
        self._lib.espeak_Synth(raw, len(raw) + 1, 0, 0, 0, _UTF8, None, None)
        self._lib.espeak_Synchronize()
        if not self._chunks:
            raise RuntimeError(f"espeak-ng said nothing for {text!r}")
        wave = resample_poly(np.concatenate(self._chunks).astype(np.float32), 16_000, self._rate)
        loud = np.flatnonzero(np.abs(wave) > 200)
        if loud.size:
            wave = wave[max(loud[0] - 160, 0):loud[-1] + 320]
        return np.clip(wave, -32768, 32767).astype(np.int16)


def broken(rng: random.Random, text: str, vocabulary: list[str]) -> str:
    """A sentence that the grammar cannot say, out of one that it can."""
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        at, way = rng.randrange(len(words)), rng.random()
        if way < 0.35:
            words[at] = rng.choice(vocabulary)
        elif way < 0.55:
            words.insert(at, rng.choice(vocabulary))
        elif way < 0.75 and len(words) > 1:
            del words[at]
        else:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
    return " ".join(words)


def sentence(rng: random.Random, split: str, vocabularies: dict[str, list[str]]) -> tuple[str, str]:
    """(text, language).  Half of what training gets is word salad or a broken sentence, so that the ears listen
    instead of guessing the likely sentence: with a seventh they wrote trained wordings for those held out."""
    language = "mg" if rng.random() < grammar.MALAGASY_SHARE else "fr"
    roll = rng.random() if split == "train" else 1.0
    if roll < 0.22:
        words = vocabularies[language]
        return " ".join(rng.choice(words) for _ in range(rng.randint(1, 6))), language
    text = grammar.sample(rng, split, language).text
    if roll < 0.5:
        text = broken(rng, text, vocabularies[language])
    elif roll < 0.55 and len(text) < 30:
        text = f"{text} {grammar.sample(rng, split, language).text}"
    return text, language


def clip(voice: Voice, rng: random.Random, split: str, voices: list[str], vocabularies) -> tuple[dict, np.ndarray]:
    """One utterance that fits the window."""
    while True:
        text, language = sentence(rng, split, vocabularies)
        variant = rng.choice(voices)
        wave = voice.speak(text, language, variant, rng.randint(120, 205), rng.randint(25, 75), rng.randint(25, 75),
                           rng.choice([0, 0, 0, 1, 2]))
        if RATE // 8 < len(wave) < MAX_SECONDS * RATE:
            return {"text": text, "language": language, "voice": variant}, wave


def _part(job: tuple) -> tuple[list[dict], list[np.ndarray]]:
    espeak, split, voices, seed, count = job
    voice, rng = Voice(espeak), random.Random(seed)
    vocabularies = {language: grammar.vocabulary(language) for language in grammar.LANGUAGES}
    rows, waves = [], []
    for _ in range(count):
        row, wave = clip(voice, rng, split, voices, vocabularies)
        rows.append(row)
        waves.append(wave)
    return rows, waves


def write_set(name: str, out: Path, espeak: Path, split: str, voices: list[str], seed: int, count: int, processes: int) -> None:
    """Speaks `count` utterances in parts of 250 (a part's seed is fixed, so the set does not depend on `processes`)."""
    size = 250
    jobs = [(espeak, split, voices, seed * 100_003 + i, min(size, count - i * size)) for i in range((count + size - 1) // size)]
    rows, offset, began = [], 0, time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool, open(out / f"{name}.pcm", "wb") as pcm:
        for done, (part, waves) in enumerate(pool.imap(_part, jobs), 1):
            for row, wave in zip(part, waves):
                pcm.write(wave.tobytes())
                rows.append(row | {"offset": offset, "length": len(wave)})
                offset += len(wave)
            left = (time.monotonic() - began) / done * (len(jobs) - done)
            print(f"\r{name}: {len(rows)}/{count}, {offset / RATE / 3600:.2f} h of speech, {left:.0f} s left", end="", flush=True)
    (out / f"{name}.json").write_text(json.dumps({"seed": seed, "split": split, "clips": rows}, ensure_ascii=False))
    print()


def load_set(folder: Path, name: str) -> tuple[list[dict], np.ndarray]:
    """Rows and the samples they point into."""
    rows = json.loads((folder / f"{name}.json").read_text())["clips"]
    return rows, np.memmap(folder / f"{name}.pcm", dtype=np.int16, mode="r")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--espeak", type=Path, required=True, help="folder that holds espeak-ng-data")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--count", type=int, default=20_000, help="utterances for training")
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--smoke", action="store_true", help="a few utterances, to see that everything works")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    count = 200 if given.smoke else given.count
    voices = train_voices(given.espeak)
    print(len(voices), "voices for training,", len(HELD_OUT_VOICES), "held out")
    held_out = list(HELD_OUT_VOICES)
    write_set("watch", given.out, given.espeak, "held_out", held_out, 11, count // 50, given.processes)
    write_set("final", given.out, given.espeak, "held_out", held_out, 77, count // 20, given.processes)
    write_set("train", given.out, given.espeak, "train", voices, 5, count, given.processes)


if __name__ == "__main__":
    main()
