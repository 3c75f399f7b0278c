"""Common Voice as it is unpacked, made ready: 16 kHz FLAC and one list for each part.

    python prepare_common_voice.py cv-corpus-22.0-2025-06-20/mg OUT                # OUT/train.jsonl, dev.jsonl, test.jsonl, clips/
    python prepare_common_voice.py cv-corpus-22.0-2025-06-20/fr OUT-fr --limit 20000

The folder is the tarball's: train.tsv, dev.tsv, test.tsv (columns `path` and `sentence`; `client_id` and `locale` where they are)
and clips/*.mp3, which are decoded here; no ffmpeg is needed.  Common Voice keeps the speakers of the three parts apart, and so do
the lists.  What is broken, silent, clipped, too long or not said in its time is left out, counted and named.  Begun again, what is
decoded already stays.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from pathlib import Path

import soundfile

from clips import LANGUAGES, Clip, Faults, fault_of, made_up, read, save_list, tidy, write

PARTS = ("train", "dev", "test")


def rows_of(file: Path) -> list[dict[str, str]]:
    """The lines of a list of Common Voice's, which quotes nothing."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in ("path", "sentence") if name not in (rows.fieldnames or ())]
        if missing:
            raise SystemExit(f"{file}, line 1: names no column {' and no '.join(missing)}; this is no list of Common Voice's")
        return list(rows)


def prepare(folder: Path, out: Path, part: str, language: str | None, limit: int | None, longest: float, seed: int) -> None:
    file = folder / f"{part}.tsv"
    rows = rows_of(file)
    if limit is not None and limit < len(rows):
        rows = random.Random(f"{part}-{seed}").sample(rows, limit)
    clips, faults, began = [], Faults(), time.monotonic()
    for at, row in enumerate(rows, 1):
        name, text = (row["path"] or "").strip(), tidy(row["sentence"] or "")
        spoken = language or (row.get("locale") or "mg").split("-")[0]
        source, to = folder / "clips" / Path(name).name, out / "clips" / f"{Path(name).stem}.flac"
        if spoken not in LANGUAGES:
            faults.add(name, f"is in {spoken}")
            continue
        try:
            samples = read(to if to.is_file() else source)
        except (soundfile.LibsndfileError, OSError):
            faults.add(name, "cannot be read")
            continue
        if why := fault_of(samples, text, longest):
            faults.add(name, why)
            continue
        if not to.is_file():
            write(to, samples)
        clips.append(Clip(f"clips/{to.name}", text, spoken, round(len(samples) / 16_000, 3), (row.get("client_id") or "")[:16]))
        if at % 500 == 0:
            left = (time.monotonic() - began) / at * (len(rows) - at) / 60
            print(f"  {part}: {at:,} of {len(rows):,}, {left:.0f} minutes left", flush=True)
    if not clips:
        faults.tell()
        raise SystemExit(f"none of the {len(rows)} clips of {file} is of use")
    save_list(out / f"{part}.jsonl", clips)
    faults.tell()


def smoke() -> None:
    """A corpus of eight clips, one broken, one missing, one silent, one with another text."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "mg", Path(scratch) / "out"
        (folder / "clips").mkdir(parents=True)
        texts = ["Salama, tompoko!", "Misaotra betsaka.", "Aiza ny birao?", "Amin’ny firy ianareo no misokatra?"]
        lines = ["client_id\tpath\tsentence\tlocale"]
        for at, text in enumerate(texts):
            soundfile.write(folder / "clips" / f"{at}.mp3", made_up(text, at), 16_000, format="MP3")
            lines.append(f"speaker{at}\t{at}.mp3\t{text}\tmg")
        soundfile.write(folder / "clips" / "silent.mp3", made_up(" " * 20) * 0.01, 16_000, format="MP3")
        (folder / "clips" / "broken.mp3").write_bytes(b"ID3 and nothing else")
        lines += ["a\tsilent.mp3\tsalama\tmg", "a\tbroken.mp3\tsalama\tmg", "a\tmissing.mp3\tsalama\tmg",
                  f"a\t0.mp3\t{'Misaotra betsaka. ' * 9}\tmg"]
        for part in PARTS:
            (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n")
            prepare(folder, out, part, None, None, 30.0, 1)
        from clips import load_list
        kept = [clip.text for clip in load_list(out / "test.jsonl")]
        if kept != [tidy(text) for text in texts]:
            raise SystemExit(f"smoke: kept are {kept}")
    print("smoke: right")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", nargs="?", type=Path, help="with train.tsv, dev.tsv, test.tsv and clips/")
    arguments.add_argument("out", nargs="?", type=Path)
    arguments.add_argument("--parts", default=",".join(PARTS), help="the lists, by name, with commas (validated, other, …)")
    arguments.add_argument("--language", choices=LANGUAGES, help="by the column locale, unless told; mg where there is none")
    arguments.add_argument("--limit", type=int, help="so many clips of each part, drawn")
    arguments.add_argument("--longest", type=float, default=30.0, help="seconds; Whisper hears 30 at once")
    arguments.add_argument("--seed", type=int, default=1, help="of --limit")
    arguments.add_argument("--smoke", action="store_true", help="a made-up corpus of eight clips, in a second")
    given = arguments.parse_args()
    if given.smoke:
        return smoke()
    if given.folder is None or given.out is None:
        arguments.error("name the folder of the corpus and where to write, or --smoke")
    parts = given.parts.split(",")
    absent = [part for part in parts if not (given.folder / f"{part}.tsv").is_file()]
    if absent or not (given.folder / "clips").is_dir():
        arguments.error(f"{given.folder} lacks {', '.join([f'{part}.tsv' for part in absent] or ['clips/'])}: name the folder of one "
                        "language in the unpacked tarball, cv-corpus-…/mg")
    for part in parts:
        prepare(given.folder, given.out, part, given.language, given.limit, given.longest, given.seed)


if __name__ == "__main__":
    main()
