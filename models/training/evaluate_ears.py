"""Measures ears on speech they never met, through a real G.711 telephone.

    python evaluate_ears.py --model ../demo/ears --work /tmp/ears --seed 2026
    python evaluate_ears.py --model ../demo/ears --recordings ../../src/tests/recordings

The sentences are held-out wordings, spoken anew from the seed in held-out voices: a seed that nobody looked at gives the published
figure.  Each clip gets 0.25 s of silence in front and 0.3 s behind, goes to 8 kHz and through 8-bit mu-law and back, clean and
with white noise 15 dB below the voice.  The graphs are run as Milo runs them: onnxruntime, int8, greedy, cached, the language
detected, Whisper's gate.  Then come 1,000 lines without speech, half of them of kinds that training never heard.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import onnxruntime
import torch
from scipy.signal import resample_poly
from tokenizers import Tokenizer

import sounds
import speech
import voice as malagasy
from ears_model import LANGUAGES, MAX_TOKENS, RATE, WINDOW, Ids, LogMel
from export_ears import GRAPHS, run_decoder


def mu_law(samples: np.ndarray) -> np.ndarray:
    """int16 through the segments of G.711 mu-law and back (ITU-T G.711, table 2)."""
    size = np.minimum(np.abs(samples.astype(np.int32)), 32_635) + 132
    segment = np.floor(np.log2(size)).astype(np.int32) - 7
    step = (size >> (segment + 3)) & 15
    back = (((step << 3) + 132) << segment) - 132
    return (np.sign(samples) * back).astype(np.int16)


def telephone(samples: np.ndarray, noise_db: float | None, rng: np.random.Generator) -> np.ndarray:
    """16 kHz int16 as it arrives: silences around, 8 kHz, mu-law, 16 kHz."""
    voice = samples.astype(np.float64)
    whole = np.concatenate([np.zeros(RATE // 4), voice, np.zeros(RATE * 3 // 10)])
    if noise_db is not None:
        whole = whole + rng.standard_normal(len(whole)) * np.sqrt(np.mean(voice**2)) * 10 ** (-noise_db / 20)
    whole *= 0.5 * 32767 / max(np.abs(whole).max(), 1.0)
    narrow = np.clip(resample_poly(whole, 1, 2), -32768, 32767).astype(np.int16)
    return np.clip(resample_poly(mu_law(narrow).astype(np.float64), 2, 1), -32768, 32767).astype(np.int16)


@dataclass
class Heard:
    """One transcript with what Milo's gates look at."""

    text: str
    language: str
    no_speech: float
    average: float
    #: Most likely no speech, and the words are a guess (models/src/whisper/rules.rs).
    rejected: bool


class Ears:
    """The exported graphs."""

    def __init__(self, folder: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._encoder, self._decoder = (onnxruntime.InferenceSession(folder / graph, options) for graph in GRAPHS)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._ids, self._mel = Ids(self._tokenizer), LogMel()
        generation = json.loads((folder / "generation_config.json").read_text())
        self._gate = generation.get("no_speech_threshold", 0.6), generation.get("logprob_threshold", -1.0)

    def hear(self, samples: np.ndarray) -> Heard:
        """Greedy, after detecting the language."""
        ids = self._ids
        window = torch.zeros(1, WINDOW)
        window[0, :len(samples)] = torch.from_numpy(samples[:WINDOW].astype(np.float32) / 32768)
        encoded = self._encoder.run(None, {"input_features": self._mel(window).numpy()})[0]
        first, _ = run_decoder(self._decoder, [ids.start], encoded, None)
        row = np.exp(first[0] - first[0].max())
        row /= row.sum()
        language = max(LANGUAGES, key=lambda name: row[ids.language[name]])
        logits, pasts = run_decoder(self._decoder, [ids.start, ids.language[language], ids.transcribe, ids.no_timestamps],
                                    encoded, None)
        said, total = [], 0.0
        while len(said) < MAX_TOKENS - 8:
            last = logits[-1].astype(np.float64)
            token = int(last.argmax())
            total += last[token] - last.max() - np.log(np.exp(last - last.max()).sum())
            if token == ids.end:
                break
            said.append(token)
            logits, pasts = run_decoder(self._decoder, [token], encoded, pasts)
        text = self._tokenizer.decode([token for token in said if token < ids.end]).strip()
        no_speech, average = float(row[ids.no_speech]), total / (len(said) + 1)
        return Heard(text, language, no_speech, average, no_speech > self._gate[0] and average < self._gate[1])


def report(name: str, rows: list[dict], heard: list[Heard]) -> None:
    """One line a language, one for the gates."""
    print(name)
    for language in (*LANGUAGES, None):
        mine = [i for i, row in enumerate(rows) if language in (row["language"], None)]
        truth, said = [rows[i]["text"] for i in mine], [heard[i].text or "-" for i in mine]
        exact = np.mean([t == s for t, s in zip(truth, said)])
        right = np.mean([heard[i].language == rows[i]["language"] for i in mine])
        print(f"  {language or 'all':4} {len(mine):5} sentences  WER {100 * jiwer.wer(truth, said):5.1f} %  "
              f"CER {100 * jiwer.cer(truth, said):5.1f} %  whole sentence right {100 * exact:5.1f} %  "
              f"language right {100 * right:5.1f} %")
    good = np.array([h.average for h, row in zip(heard, rows) if h.text == row["text"]])
    bad = np.array([h.average for h, row in zip(heard, rows) if h.text != row["text"]])
    area = np.mean((good[:, None] > bad) + 0.5 * (good[:, None] == bad)) if len(good) and len(bad) else np.nan
    means = [x.mean() if len(x) else np.nan for x in (good, bad)]
    print(f"  avg_logprob: right sentences {means[0]:.2f}, wrong ones {means[1]:.2f}; "
          f"area under the curve of the confidence, right against wrong: {area:.3f}; "
          f"no_speech of speech: greatest {max(h.no_speech for h in heard):.3f}, rejected {sum(h.rejected for h in heard)}")


def fresh(seed: int, count: int, work: Path) -> tuple[list[dict], list[np.ndarray]]:
    """Sentences of held-out wordings in held-out voices."""
    said, rng = speech.Voice(malagasy.prepare(work / "voice")), random.Random(f"evaluate-{seed}")
    pairs = [speech.clip(said, rng, "held_out", list(speech.HELD_OUT_VOICES)) for _ in range(count)]
    return [row for row, _ in pairs], [wave for _, wave in pairs]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--work", type=Path, default=Path("/tmp/ears"), help="where the voice is compiled")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--count", type=int, default=1200, help="sentences")
    arguments.add_argument("--sounds", type=int, default=1000, help="lines without speech")
    arguments.add_argument("--wrong", type=int, default=0, help="show so many wrong sentences")
    arguments.add_argument("--recordings", type=Path, help="transcribe the WAV files in a folder instead")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    ears = Ears(given.model)
    if given.recordings:
        for path in sorted(given.recordings.glob("*.wav")):
            with wave.open(str(path)) as file:
                samples, rate = np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()
            heard = ears.hear(np.clip(resample_poly(mu_law(samples).astype(np.float64), RATE, rate), -32768, 32767).astype(np.int16))
            print(f"{path.name:28} {heard.language} {heard.average:6.2f} {heard.no_speech:.3f}  {heard.text}")
        return
    rows, waves = fresh(given.seed, given.count, given.work)
    seconds = sum(map(len, waves)) / RATE + 0.55 * len(rows)
    for name, noise_db in (("clean line", None), ("noise at 15 dB", 15.0)):
        rng = np.random.default_rng(given.seed + 5)
        clips = [telephone(clip, noise_db, rng) for clip in waves]
        began = time.process_time()
        heard = [ears.hear(clip) for clip in clips]
        spent = time.process_time() - began
        report(f"{name} ({spent / len(rows) * 1000:.0f} ms a sentence, real-time factor {spent / seconds:.3f} on one core)", rows, heard)
        for row, h in [(row, h) for row, h in zip(rows, heard) if row["text"] != h.text][:given.wrong]:
            print(f"    {row['voice']:8} {row['text']}\n             {h.text}   ({h.average:.2f})")
    rng = np.random.default_rng(given.seed)
    quiet = [ears.hear(telephone(clip, None, rng)) for clip in sounds.thousand(given.seed, given.sounds)]
    print(f"lines without speech: {len(quiet)}, no_speech least {min(h.no_speech for h in quiet):.3f}, "
          f"above 0.6: {sum(h.no_speech > 0.6 for h in quiet)}, given words: {sum(bool(h.text) and not h.rejected for h in quiet)}")
    print(f"(sentences and lines of seed {given.seed})")


if __name__ == "__main__":
    main()
