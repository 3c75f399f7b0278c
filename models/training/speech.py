"""Synthetic speech for the ears and for the end of turn: sentences spoken by espeak-ng.

    python speech.py --out /tmp/ears                 # 40,000 utterances, 20 h of speech, 2.4 GB
    python speech.py --out /tmp/ears --smoke         # 300 utterances

Written: `{train,watch}.pcm` (16 kHz mono int16, all clips one after the other), `{...}.jsonl` (text, language, voice, offset and
length of each clip) and `{...}.meta.json` (seed, and which Malagasy voice spoke).  `watch` holds held-out wordings in held-out
voices, to be looked at while training; what is published is spoken anew, from another seed (evaluate_ears.py).  Killed at any
moment, the same command goes on where it stopped; a change of the Malagasy voice or of the grammar begins anew.

espeak-ng's library keeps one global state, so each process has one Voice.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import multiprocessing
import random
import time
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

import spoken
import voice as malagasy

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
        self._lib = malagasy.library()
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


def clip(voice: Voice, rng: random.Random, split: str, voices: list[str]) -> tuple[dict, np.ndarray]:
    """One utterance that fits the window."""
    while True:
        said = spoken.training(rng) if split == "train" else spoken.evaluation(rng)
        variant = rng.choice(voices)
        wave = voice.speak(said.speech, said.language, variant, rng.randint(120, 205), rng.randint(25, 75), rng.randint(25, 75),
                           rng.choice([0, 0, 0, 1, 2]))
        if RATE // 8 < len(wave) < MAX_SECONDS * RATE:
            return {"text": said.text, "language": said.language, "voice": variant}, wave


def _part(job: tuple) -> tuple[list[dict], list[np.ndarray]]:
    make, espeak, split, voices, seed, count = job
    voice, rng = Voice(espeak), random.Random(seed)
    pairs = [make(voice, rng, split, voices) for _ in range(count)]
    return [row for row, _ in pairs], [wave for _, wave in pairs]


def _source() -> str:
    """Which wordings and which Malagasy voice a set is made of."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("grammar*.py")), here / "spoken.py", *(f for f in (spoken.PHRASES,) if f.exists())]
    return malagasy.digest() + "-" + hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]


def write_set(name: str, out: Path, espeak: Path, split: str, voices: list[str], seed: int, count: int, processes: int,
              make=clip) -> None:
    """Speaks `count` utterances (`make` says one) in parts of 250.  Each part has its seed and a process of its own, since espeak-ng
    remembers what it said before: so the set depends neither on `processes` nor on interruptions."""
    size, meta = 250, {"seed": seed, "split": split, "source": _source()}
    index, sound, head = (out / f"{name}.{kind}" for kind in ("jsonl", "pcm", "meta.json"))
    if not head.exists() or json.loads(head.read_text()) != meta:
        index.unlink(missing_ok=True)
        sound.unlink(missing_ok=True)
        head.write_text(json.dumps(meta))
    lines = index.read_text().splitlines() if index.exists() else []
    kept = len(lines) if len(lines) >= count else len(lines) // size * size
    rows = [json.loads(line) for line in lines[:kept]]
    offset = rows[-1]["offset"] + rows[-1]["length"] if rows else 0
    index.write_text("".join(line + "\n" for line in lines[:kept]))
    sound.touch()
    with open(sound, "r+b") as pcm:
        pcm.truncate(offset * 2)
    first = kept // size
    jobs = [(make, espeak, split, voices, seed * 100_003 + i, min(size, count - i * size))
            for i in range(first, -(-count // size))]
    if kept >= count:
        jobs = []
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=1) as pool, open(sound, "ab") as pcm, open(index, "a") as listed:
        for done, (part, waves) in enumerate(pool.imap(_part, jobs), 1):
            told = []
            for row, wave in zip(part, waves):
                pcm.write(wave.tobytes())
                told.append(json.dumps(row | {"offset": offset, "length": len(wave)}, ensure_ascii=False) + "\n")
                offset += len(wave)
            # The sound first: what the index names is there.
            pcm.flush()
            listed.write("".join(told))
            listed.flush()
            kept += len(part)
            left = (time.monotonic() - began) / done * (len(jobs) - done)
            print(f"{name}: {kept}/{count}, {offset / RATE / 3600:.2f} h of speech, {left:.0f} s left", flush=True)


def load_set(folder: Path, name: str) -> tuple[list[dict], np.ndarray]:
    """Rows and the samples they point into."""
    rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return rows, np.memmap(folder / f"{name}.pcm", dtype=np.int16, mode="r")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--count", type=int, default=40_000, help="utterances for training")
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--smoke", action="store_true", help="a few utterances, to see that everything works")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    espeak = malagasy.prepare(given.out / "voice")
    count = 300 if given.smoke else given.count
    voices = train_voices(espeak)
    print(len(voices), "voices for training,", len(HELD_OUT_VOICES), "held out")
    write_set("watch", given.out, espeak, "held_out", list(HELD_OUT_VOICES), 11, 20 if given.smoke else 400, given.processes)
    write_set("train", given.out, espeak, "train", voices, 5, count, given.processes)


if __name__ == "__main__":
    main()
