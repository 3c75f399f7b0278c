"""One speaker's recordings, made ready to train a voice: trimmed, of one loudness, 16 kHz; and texts that the voice can read.

    python prepare_voice.py TEXTS.csv OUT --language mg --vocab mms-tts-mlg/vocab.json

The CSV names its columns in its first line: `file` (relative to the CSV) and `text`.  Silence in front and behind is cut to 50 ms, the
speech is brought to -23 dB of full scale, what would clip is left softer, and OUT has train.jsonl, dev.jsonl and clips/.  Texts are
checked, since a voice learns what is written, not what was meant: figures and abbreviations must be written as the words that are said,
and a letter that the voice's vocab.json lacks would be dropped in silence.  A recording that is noisy, cut off or of another pace than
the others is left out, counted and named.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from clips import LANGUAGES, RATE, Clip, Faults, fault_of, level, load_list, made_up, read, save_list, tidy, write

#: Silence that stays around the speech, in samples.
AROUND = RATE // 20
#: Loudness of the speech, in dB of full scale, and how far its loudest sample may go.
LOUDNESS, PEAK = -23.0, 0.95
#: Frames by which silence is told, and how far below the loudest tenth of the frames it lies, in dB.
FRAME, SILENT = RATE // 100, 35.0
#: The least distance of the speech from what lies between the words, in dB.
CLEAN = 20.0
#: A clip may be read so many times faster or slower than the middle of all.
PACE = 1.8
#: VITS is trained on pieces that fit into memory.
LONGEST, SHORTEST = 15.0, 1.0


def frames(samples: np.ndarray) -> np.ndarray:
    """The level of each hundredth of a second, in dB."""
    whole = samples[:len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return 10 * np.log10(np.mean(whole.astype(np.float64) ** 2, axis=1) + 1e-12)


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Without the silence in front and behind."""
    levels = frames(samples)
    if not len(levels):
        return samples
    loud = np.flatnonzero(levels > np.quantile(levels, 0.9) - SILENT)
    return samples[max(loud[0] * FRAME - AROUND, 0):(loud[-1] + 1) * FRAME + AROUND]


def levelled(samples: np.ndarray) -> np.ndarray:
    """At the loudness of all, as far as nothing is clipped."""
    gain = 10 ** ((LOUDNESS - level(samples)) / 20)
    return samples * min(gain, PEAK / max(float(np.abs(samples).max()), 1e-6))


def fault_of_text(text: str, letters: set[str] | None) -> str | None:
    if any(letter.isdigit() for letter in text):
        return "has figures: write them as the words that are said"
    if re.search(r"\b[A-ZÀ-Ý]{2,}\b|\b\w{1,4}\.\s+[a-zà-ÿ]", text):
        return "has what looks like an abbreviation: write out what is said"
    if letters is not None and (unknown := {letter for letter in text.lower() if letter.isalpha() and letter not in letters}):
        return f"has letters that the voice's vocab.json lacks ({', '.join(sorted(unknown))})"
    return None


def rows_of(file: Path) -> list[tuple[int, str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        if not {"file", "text"} <= set(rows.fieldnames or ()):
            raise SystemExit(f"{file}, line 1: must name the columns file and text; there is {', '.join(rows.fieldnames or ['nothing'])}")
        return [(rows.line_num, (row["file"] or "").strip(), tidy(row["text"] or "")) for row in rows]


def prepare(file: Path, out: Path, language: str, vocabulary: Path | None, dev: int) -> None:
    letters = {letter.lower() for letter in json.loads(vocabulary.read_text())} if vocabulary else None
    faults, kept = Faults(), []
    for line, name, text in rows_of(file):
        place = f"line {line} ({name})"
        try:
            samples = read(file.parent / name)
        except (soundfile.LibsndfileError, OSError):
            faults.add(place, "cannot be read")
            continue
        whole, samples = samples, trimmed(samples)
        seconds, levels = len(samples) / RATE, frames(whole)
        why = fault_of(samples, text, LONGEST) or fault_of_text(text, letters)
        if why is None and seconds < SHORTEST:
            why = f"is shorter than {SHORTEST:g} s"
        if why is None and np.quantile(levels, 0.9) - np.quantile(levels, 0.02) < CLEAN:
            why = f"is noisy: speech lies less than {CLEAN:g} dB above what is between the words"
        if why:
            faults.add(place, why)
        else:
            to = f"clips/{hashlib.sha256(name.encode()).hexdigest()[:12]}.wav"
            kept.append((place, Clip(to, text, language, round(seconds, 3)), samples))
    paces = [len(clip.text) / clip.seconds for _, clip, _ in kept]
    middle, clips = float(np.median(paces)) if paces else 0.0, []
    for pace, (place, clip, samples) in zip(paces, kept):
        if not middle / PACE <= pace <= middle * PACE:
            faults.add(place, f"is read at another pace than the others (middle: {middle:.0f} letters a second)")
            continue
        write(out / clip.sound, levelled(samples))
        clips.append(clip)
    if len(clips) <= dev:
        faults.tell()
        raise SystemExit(f"{len(clips)} recordings of {file} are of use, and --dev {dev} of them are for watching")
    clips.sort(key=lambda clip: hashlib.sha256(clip.text.encode()).digest())
    save_list(out / "train.jsonl", clips[dev:])
    save_list(out / "dev.jsonl", clips[:dev])
    print(f"  {middle:.0f} letters a second in the middle; {sum(c.seconds for c in clips) / 60:.1f} minutes of speech")
    faults.tell()


def smoke() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch), Path(scratch) / "out"
        quiet, lines = np.zeros(RATE // 2, np.float32), ["file,text"]
        for at in range(6):
            text = f"salama tompoko aiza ny birao {'abcdef'[at] * 3}"
            soundfile.write(folder / f"{at}.wav", np.concatenate([quiet, made_up(text, at) * 0.3, quiet]), RATE)
            lines.append(f"{at}.wav,{text}")
        noisy = made_up("salama tompoko aiza ny birao") * 0.3
        noisy = noisy + 0.1 * np.random.default_rng(1).standard_normal(len(noisy)).astype(np.float32)
        soundfile.write(folder / "noisy.wav", noisy, RATE)
        lines += ["noisy.wav,salama tompoko aiza ny birao", "0.wav,salama tompoko amin'ny 8 ora", "1.wav,ny tompoko ao amin'ny JIRAMA re",
                  "2.wav,salama tompoko çava re aiza ianao"]
        (folder / "texts.csv").write_text("\n".join(lines) + "\n")
        (folder / "vocab.json").write_text(json.dumps({letter: at for at, letter in enumerate("abcdefghijklmnopqrstuvwxyz' ")}))
        prepare(folder / "texts.csv", out, "mg", folder / "vocab.json", 2)
        clips = load_list(out / "train.jsonl") + load_list(out / "dev.jsonl")
        sounds = [read(out / clip.sound) for clip in clips]
        if len(clips) != 6 or any(abs(level(sound) - LOUDNESS) > 1 for sound in sounds) or max(clip.seconds for clip in clips) > 2.6:
            raise SystemExit(f"smoke: {clips}, {[level(sound) for sound in sounds]}")
    print("smoke: right")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("texts", nargs="?", type=Path, help="the CSV")
    arguments.add_argument("out", nargs="?", type=Path)
    arguments.add_argument("--language", choices=LANGUAGES, default="mg")
    arguments.add_argument("--vocab", type=Path, help="vocab.json of the voice that is to be trained further")
    arguments.add_argument("--dev", type=int, default=8, help="clips for watching")
    arguments.add_argument("--smoke", action="store_true", help="ten made-up recordings, in a second")
    given = arguments.parse_args()
    if given.smoke:
        return smoke()
    if given.texts is None or given.out is None:
        arguments.error("name the CSV and where to write, or --smoke")
    for file in filter(None, (given.texts, given.vocab)):
        if not file.is_file():
            arguments.error(f"there is no {file}")
    if given.dev < 1:
        arguments.error("--dev: at least one clip is watched")
    prepare(given.texts, given.out, given.language, given.vocab, given.dev)


if __name__ == "__main__":
    main()
