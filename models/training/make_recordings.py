"""Records the callers of the scenario tests: held-out wordings in held-out voices, as a telephone would play them.

    python make_recordings.py --work /tmp/ears --model ../demo/ears --out ../../src/tests/recordings

Each sentence is spoken by every held-out voice at three speeds; the one that the
ears hear right with the greatest confidence is kept (8 kHz, mono, PCM16, 0.3 s
of silence in front, 0.2 s behind).  What no voice gets across is an error: the
scenarios need ears that hear these sentences.
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

import grammar
import speech
import voice as malagasy
from evaluate_ears import Ears, mu_law

#: name, language, intent, texts (the first that gets across is taken; all but the last of French are held out), words that a right reply holds
SENTENCES = (
    ("mg_hours", "mg", "opening_hours", "amin'ny ora firy no misokatra ny birao", "valo ora maraina"),
    ("mg_appointment", "mg", "appointment", "mila maka fotoana aho ny talata amin'ny sivy ora maraina", "talata; sivy ora maraina"),
    ("mg_price", "mg", "price", "firy ariary ny tapakila", "iray alina ariary"),
    ("mg_goodbye", "mg", "goodbye", "misaotra tompoko veloma", "Veloma; then [hangup]"),
    ("mg_greeting", "mg", "greeting", "allo salama tompoko", "Salama tompoko"),
    ("mg_barge", "mg", "operator", "azoko atao ve ny miresaka amin'olona azafady", "mpiasa"),
    ("fr_hours", "fr", "opening_hours", "quels sont les horaires du bureau|donnez-moi vos horaires|quand ouvre le bureau|"
     "à quelle heure est-ce que vous ouvrez|à quelle heure ouvre le bureau", "huit heures"),
    ("fr_goodbye", "fr", "goodbye", "merci beaucoup au revoir|au revoir à bientôt|bonne journée au revoir|"
     "c'est tout au revoir|au revoir", "Au revoir; then [hangup]"),
)
SPEEDS = (130, 150, 170)


def phone(samples: np.ndarray) -> np.ndarray:
    """8 kHz with the silences, at a third of full scale."""
    whole = np.concatenate([np.zeros(4800), samples.astype(np.float64), np.zeros(3200)])
    return np.round(resample_poly(whole * 11_000 / np.abs(whole).max(), 1, 2)).astype(np.int16)


def heard_as(ears: Ears, recording: np.ndarray):
    """Through mu-law and up to 16 kHz, as Milo's leg delivers it."""
    return ears.hear(np.round(resample_poly(mu_law(recording).astype(np.float64), 2, 1)).astype(np.int16))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, default=Path("/tmp/ears"), help="where the voice is compiled")
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    ears, voice = Ears(given.model), speech.Voice(malagasy.prepare(given.work / "voice"))
    given.out.mkdir(parents=True, exist_ok=True)
    lines, failed = [], []
    said = {language: {t for i in grammar.INTENTS for t in getattr(i, language).train} for language in grammar.LANGUAGES}
    for name, language, intent, texts, keywords in SENTENCES:
        assert intent in grammar.BY_NAME, intent
        best = None
        for text in texts.split("|"):
            for variant in speech.HELD_OUT_VOICES:
                for speed in SPEEDS:
                    recording = phone(voice.speak(text, language, variant, speed, 50, 50, 0))
                    heard = heard_as(ears, recording)
                    if (heard.text, heard.language) == (text, language) and (best is None or heard.average > best[0].average):
                        best = heard, recording, variant, speed
            if best:
                break
        if best is None:
            failed.append(texts)
            continue
        heard, recording, variant, speed = best
        with wave.open(str(given.out / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(recording.tobytes())
        lines.append(f"| `{name}.wav` | {text} | {language} | {intent} | {keywords} | {language}+{variant}, {speed} | "
                     f"{'no' if text in said[language] else 'yes'} | "
                     f"{len(recording) / 8000 - 0.5:.1f} s |")
        print(lines[-1], f"{heard.average:.2f}")
    (given.out / "README.md").write_text(
        "# Recordings of the scenario tests\n\n"
        "8 kHz mono PCM16, 0.3 s of silence in front and 0.2 s behind. Synthetic speech (espeak-ng) in voices that the\n"
        "shipped models never met in training, and in wordings they never met unless marked. Made by `models/training/make_recordings.py`, which keeps of every\n"
        "sentence the voice that the shipped ears hear right with the greatest confidence. They prove the wiring of a call;\n"
        "how well the ears hear in general is measured in `models/demo/ears/CARD.md`.\n\n"
        "| file | text | language | intent | a right reply holds | voice, speed | wording held out | speech |\n|---|---|---|---|---|---|---|---|\n"
        + "\n".join(lines) + "\n\n"
        "`mg_barge.wav` is the longer one, for talking over Milo's reply.\n")
    if failed:
        raise SystemExit("no voice gets across: " + "; ".join(failed))


if __name__ == "__main__":
    main()
