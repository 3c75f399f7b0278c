"""How near the times of words are that an exported Whisper tells: against espeak-ng, which says when it speaks each word.

    python evaluate_word_times.py --model /var/lib/milo/models/whisper --work /tmp/voice

The folder is one of `export.py --word-times`.  Sentences are spoken in voices that the shipped ears were never trained on, behind a
third of a second of silence; what is not written down word for word is left out, and so is each first word, which begins where the
sound does.  The path through the attention is that of transformers, as Milo's own is.
"""

from __future__ import annotations

import argparse
import ctypes
import json
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from tokenizers import Tokenizer
from transformers import AutoFeatureExtractor

import export_parity
import voice as malagasy
from make_golden_whisper import moments
from speech import HELD_OUT_VOICES

RATE, FRAME_MS, LEAD_S, TRAIL_S = 16_000, 20, 0.35, 0.25
LONGEST = 60
SENTENCES = {
    "mg": ("amin'ny ora firy no misokatra ny birao", "te hanova ny fotoana aho", "hoatrinona ny vidin'ny mofo roa",
           "aiza ny birao azafady", "misaotra betsaka tompoko", "very ny karatro omaly"),
    "fr": ("à quelle heure ouvrez vous", "je voudrais prendre un rendez-vous", "combien coûte le pain", "merci beaucoup au revoir"),
}
_SYNCHRONOUS, _UTF8, _WORD = 2, 1, 1


class Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int), ("user_data", ctypes.c_void_p),
                ("id", ctypes.c_char * 8)]


class Speaker:
    """espeak-ng, with the milliseconds at which it begins each word."""

    def __init__(self, espeak: Path):
        self._lib = malagasy.library()
        self._rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 200, str(espeak).encode(), 0)
        if self._rate <= 0:
            raise SystemExit(f"espeak-ng finds no data in {espeak}")
        signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
        self._heard = signature(self._keep)
        self._lib.espeak_SetSynthCallback(self._heard)

    def _keep(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while events[at].type:
            if events[at].type == _WORD:
                self._words.append(events[at].audio_position)
            at += 1
        return 0

    def say(self, text: str, language: str, variant: str) -> tuple[np.ndarray, list[int]]:
        self._chunks, self._words = [], []
        self._lib.espeak_SetVoiceByName(f"{language}+{variant}".encode())
        words = text.encode() + b"\0"
        self._lib.espeak_Synth(words, len(words), 0, 1, 0, _UTF8, None, None)
        self._lib.espeak_Synchronize()
        wave = resample_poly(np.concatenate(self._chunks).astype(np.float32) / 32768, RATE, self._rate) * 0.6
        wave = np.concatenate([np.zeros(int(LEAD_S * RATE)), wave, np.zeros(int(TRAIL_S * RATE))])
        wave += np.random.default_rng(1).standard_normal(len(wave)) * 1e-3
        return wave.astype(np.float32), [round(LEAD_S * 1_000) + at for at in self._words]


def told(graphs: export_parity.Graphs, features: np.ndarray, tokenizer: Tokenizer, language: str, frames: int) -> list[tuple[str, int]]:
    """Each word that the graphs write, greedily, and the millisecond at which it begins."""
    encoded = graphs.encode({"input_features": features})
    prompt = [tokenizer.token_to_id(f"<|{name}|>") for name in ("startoftranscript", language, "transcribe", "notimestamps")]
    end = tokenizer.token_to_id("<|endoftext|>")
    line, fresh, pasts = list(prompt), prompt, None
    while len(line) < LONGEST:
        logits, pasts = graphs.decode(fresh, encoded, None, pasts)
        fresh = [int(logits[-1][:end + 1].argmax())]
        if fresh == [end]:
            break
        line += fresh
    text = line[len(prompt):]
    if not text:
        return []
    starts = moments(torch.from_numpy(graphs.attention(line, encoded))[:, len(prompt) - 1:], frames)
    firsts = [at for at, token in enumerate(text) if at == 0 or tokenizer.decode([token]).startswith(" ")]
    words = [tokenizer.decode(text[first:last]).strip() for first, last in zip(firsts, [*firsts[1:], len(text)])]
    return [(word, starts[first] * FRAME_MS) for word, first in zip(words, firsts)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", type=Path, required=True, help="a folder that `export.py --word-times` has written")
    arguments.add_argument("--work", type=Path, required=True, help="where espeak-ng's data with the Malagasy voice are made")
    arguments.add_argument("--precision", choices=export_parity.SUFFIX, default="fp32")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    graphs = export_parity.Graphs(given.model, given.precision)
    if not graphs.tells_attention:
        raise SystemExit(f"{given.model} tells no times of words: export it with --word-times")
    tokenizer, extractor = Tokenizer.from_file(str(given.model / "tokenizer.json")), AutoFeatureExtractor.from_pretrained(given.model)
    speaker, errors, right, spoken = Speaker(malagasy.prepare(given.work)), [], 0, 0
    for language, sentences in SENTENCES.items():
        for text in sentences:
            for variant in HELD_OUT_VOICES:
                wave, begins = speaker.say(text, language, variant)
                features = extractor(wave, sampling_rate=RATE, return_tensors="np").input_features
                words = told(graphs, features, tokenizer, language, -(-len(wave) * 1_000 // (RATE * FRAME_MS)))
                spoken += 1
                if [word for word, _ in words] == text.split() and len(begins) == len(words):
                    right += 1
                    errors += [at - begin for (_, at), begin in list(zip(words, begins))[1:]]
    if not errors:
        raise SystemExit(f"none of {spoken} sentences was written down word for word: there is nothing to measure")
    away = np.abs(errors)
    print(json.dumps({"precision": given.precision, "sentences": spoken, "right": right, "words": len(errors),
                      "mean_ms": round(float(away.mean())), "median_ms": round(float(np.median(away))),
                      "late_ms": round(float(np.mean(errors))), "within_100_ms": round(float((away <= 100).mean()), 3)}))


if __name__ == "__main__":
    main()
