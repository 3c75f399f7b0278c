"""Your own recordings, made ready like Common Voice's: 16 kHz FLAC, lists for training, watching and judging.

    python prepare_recordings.py TEXTS.csv OUT --language mg

The CSV's first line names its columns: `file` (WAV, FLAC, Ogg or MP3, relative to the CSV), `text` (what is said, word for word,
figures as words), and, where they are known, `speaker` and `language`.  Whole speakers go to dev and test where there are ten of
them; else single sentences do, and every recording of the same sentence goes with them.  What cannot be trained on is left out,
counted and named.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import tempfile
from pathlib import Path

import soundfile

from clips import LANGUAGES, RATE, Clip, Faults, fault_of, load_list, made_up, read, save_list, tidy, write

#: With fewer speakers a part would be one voice.
SPEAKERS = 10


def drawn(name: str, seed: int) -> float:
    """0 to 1, the same for the same name on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}-{name}".encode()).digest()[:6], "big") / 2**48


def rows_of(file: Path) -> list[tuple[int, dict[str, str]]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        missing = [name for name in ("file", "text") if name not in (rows.fieldnames or ())]
        if missing:
            raise SystemExit(f"{file}, line 1: names no column {' and no '.join(missing)}; wanted are file and text, "
                             f"and there is {', '.join(rows.fieldnames or ['nothing'])}")
        return [(rows.line_num, row) for row in rows]


def prepare(file: Path, out: Path, language: str, shares: tuple[float, float], longest: float, seed: int) -> None:
    faults, clips, seen = Faults(), [], set()
    for line, row in rows_of(file):
        name, text = (row["file"] or "").strip(), tidy(row["text"] or "")
        place, spoken = f"line {line} ({name})", (row.get("language") or language).strip()
        if spoken not in LANGUAGES:
            raise SystemExit(f"{file}, line {line}: language {spoken!r} is none of {', '.join(LANGUAGES)}")
        if any(letter.isdigit() for letter in text):
            faults.add(place, "has figures: write them as the words that are said")
            continue
        if name in seen:
            faults.add(place, "is named twice")
            continue
        seen.add(name)
        try:
            samples = read(file.parent / name)
        except (soundfile.LibsndfileError, OSError):
            faults.add(place, "cannot be read")
            continue
        if why := fault_of(samples, text, longest):
            faults.add(place, why)
            continue
        to = f"clips/{hashlib.sha256(name.encode()).hexdigest()[:12]}.flac"
        write(out / to, samples)
        clips.append(Clip(to, text, spoken, round(len(samples) / RATE, 3), (row.get("speaker") or "").strip()))
    if not clips:
        faults.tell()
        raise SystemExit(f"none of the recordings of {file} is of use")
    by_speaker = len({clip.speaker for clip in clips}) >= SPEAKERS and all(clip.speaker for clip in clips)
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.speaker if by_speaker else clip.text.lower(), []).append(clip)
    parts: dict[str, list[Clip]] = {"train": [], "dev": [], "test": []}
    wanted = {"dev": shares[0] * len(clips), "test": shares[1] * len(clips)}
    for name in sorted(groups, key=lambda name: drawn(name, seed)):
        part = next((part for part, enough in wanted.items() if len(parts[part]) < enough), "train")
        parts[part] += groups[name]
    for part, mine in parts.items():
        save_list(out / f"{part}.jsonl", mine)
        if not mine:
            print(f"  {part} is empty: too few {'speakers' if by_speaker else 'sentences'} for three parts")
    print(f"  kept apart by {'speaker' if by_speaker else 'sentence'}")
    faults.tell()


def smoke() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch), Path(scratch) / "out"
        lines = ["file,text,speaker"]
        for at in range(40):
            text = f"salama tompoko {'abcdefghij'[at % 10] * 3} {'klmnopqrst'[at // 10] * 3}"
            soundfile.write(folder / f"{at}.wav", made_up(text, at), RATE)
            lines.append(f"{at}.wav,{text},speaker{at % 12}")
        lines += ['0.wav,"salama, tompoko",a', "gone.wav,salama,a", "1b.wav,ora 8,a"]
        (folder / "texts.csv").write_text("\n".join(lines) + "\n")
        prepare(folder / "texts.csv", out, "mg", (0.15, 0.15), 30.0, 1)
        parts = [load_list(out / f"{part}.jsonl") for part in ("train", "dev", "test")]
        speakers = [{clip.speaker for clip in part} for part in parts]
        if sum(map(len, parts)) != 40 or speakers[0] & (speakers[1] | speakers[2]):
            raise SystemExit(f"smoke: {[len(part) for part in parts]} clips, speakers {speakers}")
    print("smoke: right")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("texts", nargs="?", type=Path, help="the CSV")
    arguments.add_argument("out", nargs="?", type=Path)
    arguments.add_argument("--language", choices=LANGUAGES, default="mg", help="where the CSV does not say")
    arguments.add_argument("--dev", type=float, default=0.1, help="share that is watched while training")
    arguments.add_argument("--test", type=float, default=0.1, help="share that is judged at the end")
    arguments.add_argument("--longest", type=float, default=30.0, help="seconds; Whisper hears 30 at once")
    arguments.add_argument("--seed", type=int, default=1, help="of the shares")
    arguments.add_argument("--smoke", action="store_true", help="forty made-up recordings, in a second")
    given = arguments.parse_args()
    if given.smoke:
        return smoke()
    if given.texts is None or given.out is None:
        arguments.error("name the CSV and where to write, or --smoke")
    if not given.texts.is_file():
        arguments.error(f"there is no {given.texts}")
    if given.dev < 0 or given.test < 0 or given.dev + given.test >= 1:
        arguments.error("--dev and --test are shares, and leave something to train on")
    prepare(given.texts, given.out, given.language, (given.dev, given.test), given.longest, given.seed)


if __name__ == "__main__":
    main()
