"""Records the callers of the scenario tests: held-out wordings in held-out voices, as a telephone would play them.

    python make_recordings.py --work /tmp/ears --model ../demo/ears --out ../../src/tests/recordings

Each sentence is spoken by every held-out voice at three speeds; the one that the
ears hear right with the greatest confidence is kept (8 kHz, mono, PCM16, 0.3 s
of silence in front, 0.2 s behind).  What no voice gets across is an error: the
scenarios need ears that hear these sentences.  Where a caller pauses within a
sentence ("…", PAUSES, the voice stays up as at a comma), the one is kept whose
pause sounds the least like an end to the end-of-turn model, and its end the
most (`--turn`), of those of which the ears get all words but one; --only makes
one of them, and leaves the list to be corrected by hand.
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path

import jiwer
import numpy as np
import onnxruntime
import torch
from scipy.signal import resample_poly

import grammar
import speech
import voice as malagasy
from ears_model import LogMel
from evaluate_ears import Ears, mu_law
from export_turn import NAME
from turn_model import WINDOW, features

#: name, language, intent, texts (the first that gets across is taken; all but the last of French are held out), words that a right reply holds
SENTENCES = (
    ("mg_hours", "mg", "opening_hours", "amin'ny ora firy no misokatra ny birao", "valo ora maraina"),
    ("mg_appointment", "mg", "appointment", "mila maka fotoana aho ny talata amin'ny sivy ora maraina", "talata; sivy ora maraina"),
    ("mg_price", "mg", "price", "firy ariary ny tapakila", "iray alina ariary"),
    ("mg_goodbye", "mg", "goodbye", "misaotra tompoko veloma", "Veloma; then [hangup]"),
    ("mg_pause", "mg", "opening_hours", "amin'ny ora firy … no misokatra ny birao", "valo ora maraina"),
    ("mg_number", "mg", "my_number", "ny laharako aotra telo efatra … roa roa … efatra efatra enina … fito valo", "the number"),
    ("mg_yes", "mg", "yes", "eny", "anything"),
    ("mg_greeting", "mg", "greeting", "allo salama tompoko", "Salama tompoko"),
    ("mg_barge", "mg", "operator", "azoko atao ve ny miresaka amin'olona azafady", "mpiasa"),
    ("fr_hours", "fr", "opening_hours", "quels sont les horaires du bureau|donnez-moi vos horaires|quand ouvre le bureau|"
     "à quelle heure est-ce que vous ouvrez|à quelle heure ouvre le bureau", "huit heures"),
    ("fr_goodbye", "fr", "goodbye", "merci beaucoup au revoir|au revoir à bientôt|bonne journée au revoir|"
     "c'est tout au revoir|au revoir", "Au revoir; then [hangup]"),
)
SPEEDS = (130, 150, 170)
RATE = 16_000
#: Seconds of the pauses.
PAUSES = {"mg_pause": 0.9, "mg_number": 1.2}


def phone(samples: np.ndarray) -> np.ndarray:
    """8 kHz with the silences, at a third of full scale."""
    whole = np.concatenate([np.zeros(4800), samples.astype(np.float64), np.zeros(3200)])
    return np.round(resample_poly(whole * 11_000 / np.abs(whole).max(), 1, 2)).astype(np.int16)


def say(voice: speech.Voice, text: str, language: str, variant: str, speed: int) -> list[np.ndarray]:
    """The parts of a sentence between its pauses, one where there are none."""
    parts = text.split(" … ")
    return [voice.speak(part + ("," if i < len(parts) - 1 else ""), language, variant, speed, 50, 50, 0)
            for i, part in enumerate(parts)]


def joined(parts: list[np.ndarray], pause: float) -> np.ndarray:
    """With pauses of so many seconds between them."""
    silence = np.zeros(int(pause * RATE), np.int16)
    return np.concatenate([piece for part in parts for piece in (silence, part)][1:])


class Judge:
    """The exported end-of-turn model."""

    def __init__(self, folder: Path):
        self._session, self._mel = onnxruntime.InferenceSession(folder / NAME), LogMel()

    def finished(self, parts: list[np.ndarray], pause: float) -> float:
        """How finished it sounds after these parts, on the telephone."""
        heard = resample_poly(mu_law(phone(joined(parts, pause))).astype(np.float64), 2, 1)[-WINDOW:]
        window = torch.zeros(1, WINDOW)
        window[0, WINDOW - len(heard):] = torch.from_numpy(np.round(heard) / 32768)
        return float(self._session.run(None, {"input_features": features(self._mel, window).numpy()})[0][0, 0])

    def margin(self, parts: list[np.ndarray], pause: float) -> float:
        """How much more finished the end sounds than the pauses."""
        return self.finished(parts, pause) - max(self.finished(parts[:i], pause) for i in range(1, len(parts)))


def heard_as(ears: Ears, recording: np.ndarray):
    """Through mu-law and up to 16 kHz, as Milo's leg delivers it."""
    return ears.hear(np.round(resample_poly(mu_law(recording).astype(np.float64), 2, 1)).astype(np.int16))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, default=Path("/tmp/ears"), help="where the voice is compiled")
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--turn", type=Path, default=Path(__file__).resolve().parents[1] / "demo/turn")
    arguments.add_argument("--only", help="the name of one recording")
    given = arguments.parse_args()
    judge, ears, voice = Judge(given.turn), Ears(given.model), speech.Voice(malagasy.prepare(given.work / "voice"))
    given.out.mkdir(parents=True, exist_ok=True)
    lines, failed = [], []
    said = {language: {t for i in grammar.INTENTS for t in getattr(i, language).train} for language in grammar.LANGUAGES}
    for name, language, intent, texts, keywords in SENTENCES:
        if given.only not in (None, name):
            continue
        assert intent in grammar.BY_NAME, intent
        best, pause = None, PAUSES.get(name, 0.0)
        for text in texts.split("|"):
            words = text.replace(" … ", " ")
            for variant in speech.HELD_OUT_VOICES:
                for speed in SPEEDS:
                    parts = say(voice, text, language, variant, speed)
                    recording = phone(joined(parts, pause))
                    heard = heard_as(ears, recording)
                    wrong = jiwer.process_words(words, heard.text or "-")
                    wrong = wrong.substitutions + wrong.insertions + wrong.deletions
                    good = judge.margin(parts, pause) if len(parts) > 1 else heard.average
                    if wrong <= len(parts) - 1 and heard.language == language and (best is None or good > best[0]):
                        best = good, recording, variant, speed, text
            if best:
                break
        if best is None:
            failed.append(texts)
            continue
        good, recording, variant, speed, text = best
        with wave.open(str(given.out / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(recording.tobytes())
        lines.append(f"| `{name}.wav` | {text} | {language} | {intent} | {keywords} | {language}+{variant}, {speed} | "
                     f"{'no' if text.replace(' … ', ' ') in said[language] else 'yes'} | "
                     f"{len(recording) / 8000 - 0.5:.1f} s |")
        print(lines[-1], f"{good:.2f}")
    if not given.only:
        write_list(given.out, lines)
    if failed:
        raise SystemExit("no voice gets across: " + "; ".join(failed))


def write_list(out: Path, lines: list[str]) -> None:
    """README.md: what is said in each."""
    (out / "README.md").write_text(
        "# Recordings of the scenario tests\n\n"
        "8 kHz mono PCM16, 0.3 s of silence in front and 0.2 s behind. Synthetic speech (espeak-ng) in voices that the\n"
        "shipped models never met in training, and in wordings they never met unless marked. Made by `models/training/make_recordings.py`, which keeps of every\n"
        "sentence the voice that the shipped ears hear right with the greatest confidence. They prove the wiring of a call;\n"
        "how well the ears hear in general is measured in `models/demo/ears/CARD.md`.\n\n"
        "| file | text | language | intent | a right reply holds | voice, speed | wording held out | speech |\n|---|---|---|---|---|---|---|---|\n"
        + "\n".join(lines) + "\n\n"
        "`mg_barge.wav` is the longer one, for talking over Milo's reply. \"…\" is a pause of 0.9 s within the sentence, of 1.2 s within\n"
        "the number, in the voice whose pauses sound the least finished to the end-of-turn model, and its end the most.\n")


if __name__ == "__main__":
    main()
