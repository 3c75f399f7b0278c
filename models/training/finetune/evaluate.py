"""How well a Whisper checkpoint hears: word and letter errors by language and by bandwidth.

    python evaluate.py --checkpoint OUT/best --list DATA/test.jsonl
    python evaluate.py --checkpoint openai/whisper-small --list DATA/test.jsonl --bandwidth 8k --count 500 --wrong 10

Each recording is heard as it was recorded (16k) and as a telephone carries it (8k: 8 kHz, G.711 µ-law).  Words are compared by the rules
of normalise.py, which are those of `milo eval` but for figures, and `milo eval stt --recordings` judges the exported graphs on the
same recordings.  WER and CER: words and letters that are wrong, missing or too many, for every hundred that were said.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from clips import Clip, load_list, samples_of
from listening import Whisper, by_telephone
from normalise import edits, words

BANDWIDTHS = {"16k": lambda wave: wave, "8k": by_telephone}


@dataclass
class Score:
    """The errors of one language at one bandwidth."""

    cases: int = 0
    right: int = 0
    wrong_words: int = 0
    words: int = 0
    wrong_letters: int = 0
    letters: int = 0

    def add(self, said: str, heard: str) -> bool:
        """Whether all of it was right."""
        wanted, got = words(said), words(heard)
        wrong = edits(wanted, got)
        self.cases, self.right = self.cases + 1, self.right + (wrong == 0)
        self.wrong_words, self.words = self.wrong_words + wrong, self.words + len(wanted)
        letters = " ".join(wanted)
        self.wrong_letters, self.letters = self.wrong_letters + edits(letters, " ".join(got)), self.letters + len(letters)
        return wrong == 0

    @property
    def wer(self) -> float:
        return 100 * self.wrong_words / max(self.words, 1)

    @property
    def cer(self) -> float:
        return 100 * self.wrong_letters / max(self.letters, 1)


def heard(whisper: Whisper, listed: Path, clips: list[Clip], bandwidth: str, batch: int) -> Iterator[tuple[Clip, str]]:
    """Each clip with what was heard of it; clips of one length go together."""
    ordered = sorted(clips, key=lambda clip: clip.seconds)
    for at in range(0, len(ordered), batch):
        mine = ordered[at:at + batch]
        waves = [BANDWIDTHS[bandwidth](samples_of(listed, clip)) for clip in mine]
        yield from zip(mine, whisper.hear(waves, [clip.language for clip in mine]))


def evaluate(whisper: Whisper, listed: Path, clips: list[Clip], bandwidths: list[str], batch: int,
             shown: int) -> dict[tuple[str, str], Score]:
    """Prints the table."""
    whisper.model.eval()
    scores: dict[tuple[str, str], Score] = {}
    wrong, seconds, began = [], sum(clip.seconds for clip in clips), time.monotonic()
    for bandwidth in bandwidths:
        for clip, text in heard(whisper, listed, clips, bandwidth, batch):
            if not scores.setdefault((clip.language, bandwidth), Score()).add(clip.text, text) and len(wrong) < shown:
                wrong.append(f"  {bandwidth} {clip.sound}: {text!r}, not {clip.text!r}")
    spent = time.monotonic() - began
    print("| language | bandwidth | clips | right | WER | CER |\n|---|---|---:|---:|---:|---:|")
    for (language, bandwidth), score in sorted(scores.items()):
        print(f"| {language} | {bandwidth} | {score.cases} | {score.right} | {score.wer:.1f} % | {score.cer:.1f} % |")
    print(f"\n{spent / max(seconds * len(bandwidths), 1e-9):.3f} of real time on {whisper.device}")
    print("\n".join(wrong))
    return scores


def smoke() -> None:
    """A random checkpoint on made-up sounds: the table comes, and its figures are those of somebody who hears nothing."""
    import sys
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    import smoke_checkpoints
    from clips import made_up, save_list, write
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkpoint = smoke_checkpoints.make("whisper", folder / "whisper")
        clips = []
        for at, text in enumerate(("salama tompoko", "aiza ny birao", "bonjour monsieur")):
            wave = made_up(text, at)
            write(folder / f"{at}.flac", wave)
            clips.append(Clip(f"{at}.flac", text, "fr" if at == 2 else "mg", len(wave) / 16_000))
        save_list(folder / "test.jsonl", clips)
        scores = evaluate(Whisper(checkpoint, "cpu"), folder / "test.jsonl", load_list(folder / "test.jsonl"), list(BANDWIDTHS), 2, 2)
        if len(scores) != 4 or any(score.wer == 0 or score.cases != 2 - (language == "fr") for (language, _), score in scores.items()):
            raise SystemExit(f"smoke: {scores}")
    print("smoke: right")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--checkpoint", help="a folder, or a name on the hub")
    arguments.add_argument("--list", type=Path, help="test.jsonl of a prepare script")
    arguments.add_argument("--bandwidth", default="16k,8k", help="16k, 8k or both, with a comma")
    arguments.add_argument("--count", type=int, help="so many clips, drawn")
    arguments.add_argument("--seed", type=int, default=1, help="of --count")
    arguments.add_argument("--batch", type=int, default=8)
    arguments.add_argument("--wrong", type=int, default=0, help="show so many wrong ones")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--smoke", action="store_true", help="a random tiny checkpoint on three made-up sounds")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    if given.smoke:
        return smoke()
    if given.checkpoint is None or given.list is None:
        arguments.error("name --checkpoint and --list, or --smoke")
    bandwidths = given.bandwidth.split(",")
    if unknown := [one for one in bandwidths if one not in BANDWIDTHS]:
        arguments.error(f"--bandwidth {unknown[0]}: there are {', '.join(BANDWIDTHS)}")
    clips = load_list(given.list)
    if given.count is not None and given.count < len(clips):
        clips = Random(given.seed).sample(clips, given.count)
    with_figures = sum(any(letter.isdigit() for letter in clip.text) for clip in clips)
    if with_figures:
        print(f"{with_figures} texts hold figures, which are not read aloud here: judge those by `milo eval stt --recordings`")
    evaluate(Whisper(given.checkpoint, given.device), given.list, clips, bandwidths, given.batch, given.wrong)


if __name__ == "__main__":
    main()
