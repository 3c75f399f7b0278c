"""Recordings and what is said in them: how sound is read and written, and the lists that every script here reads.

A list is a file of JSON lines, `sound` relative to it:

    {"sound": "clips/0001.flac", "text": "salama tompoko", "language": "mg", "seconds": 1.42, "speaker": "a1"}
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

RATE = 16_000
LANGUAGES = ("mg", "fr")
#: Letters a second that people say: what lies outside was cut off, or is another text.
SLOWEST, FASTEST = 2.5, 30.0
#: Below this the voice is drowned by the noise of 16 bits, in dB of full scale.
QUIETEST = -55.0


@dataclass
class Clip:
    """One line of a list."""

    sound: str
    text: str
    language: str
    seconds: float
    speaker: str = ""


def read(path: Path) -> np.ndarray:
    """A sound file (WAV, FLAC, Ogg, MP3) as 16 kHz mono in -1..1."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if rate != RATE:
        common = np.gcd(rate, RATE)
        mono = resample_poly(mono, RATE // common, rate // common).astype(np.float32)
    return mono


def write(path: Path, samples: np.ndarray) -> None:
    """FLAC or WAV of 16 bits, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"new-{path.name}")
    soundfile.write(new, np.clip(samples, -1.0, 1.0), RATE, subtype="PCM_16")
    new.replace(path)


def level(samples: np.ndarray) -> float:
    """Root mean square in dB of full scale."""
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12)


def tidy(text: str) -> str:
    """One kind of apostrophe and of blank, accents joined with their letters; case and punctuation stay."""
    text = unicodedata.normalize("NFC", text)
    for other in "’ʼ‘´`ʹ":
        text = text.replace(other, "'")
    return " ".join(text.split())


def fault_of(samples: np.ndarray, text: str, longest: float) -> str | None:
    """Why a recording is of no use, in a few words by which they are counted."""
    seconds, letters = len(samples) / RATE, sum(letter.isalpha() for letter in text)
    if not letters:
        return "has no words"
    if seconds < 0.3:
        return "is shorter than 0.3 s"
    if seconds > longest:
        return f"is longer than {longest:g} s"
    if level(samples) < QUIETEST:
        return "is as good as silent"
    if np.mean(np.abs(samples) > 0.999) > 0.01:
        return "is clipped: more than 1 % of it is at full scale"
    if not SLOWEST <= letters / seconds <= FASTEST:
        return f"has a text that nobody says in its time (not {SLOWEST:g} to {FASTEST:g} letters a second)"
    return None


class Faults:
    """What was left out, by reason; the first few of each are named."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def add(self, name: str, why: str) -> None:
        self._count[why] += 1
        self._named.setdefault(why, []).append(name)

    def __len__(self) -> int:
        return sum(self._count.values())

    def tell(self) -> None:
        for why, count in self._count.most_common():
            named = self._named[why]
            print(f"  left out: {count} {why}: {', '.join(named[:3])}{' …' if count > 3 else ''}")


def save_list(path: Path, clips: list[Clip]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips))
    hours, speakers = sum(clip.seconds for clip in clips) / 3600, len({clip.speaker for clip in clips})
    print(f"{path}: {len(clips):,} clips, {hours:.2f} h, {speakers} speakers")


def load_list(path: Path) -> list[Clip]:
    """Reads a list; a line that is none is told with its number."""
    if not path.is_file():
        raise SystemExit(f"there is no list {path}: the prepare scripts write them")
    clips = []
    for at, line in enumerate(path.read_text().splitlines(), 1):
        try:
            said = json.loads(line)
            clip = Clip(str(said["sound"]), str(said["text"]), str(said["language"]), float(said["seconds"]), str(said.get("speaker", "")))
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path}, line {at}: is no clip ({error!r}); wanted are sound, text, language and seconds") from error
        if clip.language not in LANGUAGES:
            raise SystemExit(f"{path}, line {at}: language {clip.language!r} is none of {', '.join(LANGUAGES)}")
        clips.append(clip)
    if not clips:
        raise SystemExit(f"{path} is empty")
    return clips


def samples_of(listed_in: Path, clip: Clip) -> np.ndarray:
    file = listed_in.parent / clip.sound
    try:
        return read(file)
    except (soundfile.LibsndfileError, OSError) as error:
        raise SystemExit(f"{file}, named in {listed_in}, cannot be read: {error}") from error


def made_up(text: str, seed: int = 1) -> np.ndarray:
    """For the smoke modes: each letter a tone of its own, so that there is something to learn, and nobody's voice."""
    random, parts = np.random.default_rng(seed), []
    for letter in text.lower():
        at = np.arange(int(0.07 * RATE)) / RATE
        pitch = 180 + 37 * (ord(letter) % 61)
        parts.append(0.3 * np.sin(2 * np.pi * pitch * at) * np.hanning(len(at)) if letter.isalpha() else np.zeros(len(at)))
    wave = np.concatenate([np.zeros(1600), *parts, np.zeros(1600)])
    return (wave + 0.002 * random.standard_normal(len(wave))).astype(np.float32)


def run_options(arguments: argparse.ArgumentParser, watched: str, learner: str) -> None:
    """What every script asks that goes on from a checkpoint: where it stands, how often it looks, and on what it runs."""
    import torch
    arguments.add_argument("--checkpoint", help="a folder, or a name on the hub")
    arguments.add_argument("--dev", type=Path, help="dev.jsonl: what is watched")
    arguments.add_argument("--out", type=Path, help="the run's folder: resume.pt, best/")
    arguments.add_argument("--watch", type=int, default=250, help=f"{watched} the dev list every so many steps")
    arguments.add_argument("--keep", type=int, default=100, help="write resume.pt every so many steps")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--smoke", action="store_true", help=f"a random tiny {learner} learns made-up sounds: half a minute")
