"""Trains the ears: a tiny Whisper on the synthetic speech of speech.py.

    python train_ears.py --data /tmp/ears --out /tmp/ears/run --minutes 90     # again: goes on where it stopped
    python train_ears.py --data /tmp/ears-smoke --out /tmp/smoke --smoke      # a few steps

Beside Whisper's own loss the encoder has a CTC loss over characters through a
head that export throws away; without it the alignment is not found in hours.
Windows are short at first and whole at the end.  The learning rate follows the
time spent, so a busy machine costs quality, not the schedule.

Workers are processes of one thread that write into the same weights without a
lock ("Hogwild"): on a shared machine two of these are far faster than one of
two threads.  The first one reports, averages the weights and saves.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from pathlib import Path

import jiwer
import numpy as np
import torch
import torch.multiprocessing as multiprocessing
from tokenizers import Tokenizer
from transformers import WhisperForConditionalGeneration

import speech
from augment import Augment, speed
from ears_model import (LANGUAGES, POSITIONS, RATE, WINDOW, Ids, LogMel, configuration, decode, encode, load_checkpoint,
                        train_tokenizer, transcribe)

#: Clips in a batch that hold no speech, on average.
NOISE_SHARE = 0.04
#: Clips whose target carries timestamps.
TIMESTAMP_SHARE = 0.1
#: Words' pieces that the decoder is shown wrong while it learns, so that it trusts its ears more than its memory.
WRONG_PIECES = 0.2
EMA = 0.996


class Characters:
    """The CTC alphabet: every character of the texts; 0 is the blank."""

    def __init__(self, texts: list[str]):
        self._ids = {c: i + 1 for i, c in enumerate(sorted(set("".join(texts))))}

    def __len__(self) -> int:
        return len(self._ids) + 1

    def encode(self, text: str) -> list[int]:
        return [self._ids[c] for c in text]


class Batches:
    """Endless augmented batches out of one worker's random numbers."""

    def __init__(self, rows, samples, tokenizer: Tokenizer, characters: Characters, size: int, seed: int):
        self._rows, self._samples, self._size = rows, samples, size
        self._random = random.Random(seed)
        self._augment = Augment(torch.Generator().manual_seed(seed))
        self._ids = Ids(tokenizer)
        self._texts = [tokenizer.encode(f" {row['text']}").ids for row in rows]
        self._characters = [characters.encode(row["text"]) for row in rows]
        self._waiting: list[list[int]] = []

    def _next_clips(self) -> list[int]:
        """Clips of like length go together: less padding."""
        if not self._waiting:
            pool = self._random.sample(range(len(self._rows)), min(len(self._rows), self._size * 16))
            pool.sort(key=lambda i: self._rows[i]["length"])
            self._waiting = [pool[i:i + self._size] for i in range(0, len(pool), self._size)]
            self._random.shuffle(self._waiting)
        return self._waiting.pop()

    def _target(self, index: int | None, begin: float, end: float) -> tuple[list[int], list[int]]:
        """(decoder input, label at each of its positions; -100: none)."""
        ids = self._ids
        if index is None:
            prompt = [ids.start, ids.language[self._random.choice(LANGUAGES)], ids.transcribe, ids.no_timestamps]
            return prompt, [ids.no_speech, -100, -100, ids.end]
        prompt = [ids.start, ids.language[self._rows[index]["language"]], ids.transcribe]
        text = self._texts[index]
        if self._random.random() < TIMESTAMP_SHARE:
            line = prompt + [ids.first_time + min(round(t / 0.02), POSITIONS) for t in (begin,)] + text
            line += [ids.first_time + min(round(end / 0.02), POSITIONS), ids.end]
        else:
            line = prompt + [ids.no_timestamps] + text + [ids.end]
        labels = line[1:]
        line = line[:4] + [self._random.randrange(self._ids.end) if t < self._ids.end and self._random.random() < WRONG_PIECES
                           else t for t in line[4:]]
        labels[1] = -100  # <|transcribe|> is always given, never guessed
        return line[:-1], labels

    def next(self, full: bool):
        """(waves, decoder input, labels, characters, how many of each, which clips speak)."""
        clips = self._next_clips()
        placed, inputs, labels, characters = [], [], [], []
        for index in clips:
            row = self._rows[index]
            wave = self._samples[row["offset"]:row["offset"] + row["length"]].astype(np.float32) / 32768
            wave = speed(wave, self._random.uniform(0.87, 1.13))
            if self._random.random() < 0.2:  # a voice detector that woke up late, or slept early
                wave = wave[self._random.randint(0, RATE // 40):len(wave) - self._random.randint(0, RATE // 40)]
            before = self._random.uniform(0.0, 0.5) if self._random.random() < 0.9 else self._random.uniform(0.5, 1.2)
            before, after = int(before * RATE), int(self._random.uniform(0.0, 0.7) * RATE)
            wave = wave[:WINDOW - before]
            silent = self._random.random() < NOISE_SHARE
            line, label = self._target(None if silent else index, before / RATE, (before + len(wave)) / RATE)
            placed.append((wave, before, min(before + len(wave) + after, WINDOW), silent))
            inputs.append(line)
            labels.append(label)
            characters.append([] if silent else self._characters[index])
        longest = max(end for _, _, end, _ in placed)
        window = WINDOW if full else min(WINDOW, longest + self._random.randint(0, RATE // 2))
        # Few different shapes: each one costs its own compiled kernels.
        window = min(-(-window // (RATE // 2)) * (RATE // 2), WINDOW)
        waves = torch.zeros(len(clips), window)
        for i, (wave, before, _, _) in enumerate(placed):
            waves[i, before:before + len(wave)] = torch.from_numpy(wave)
        waves = self._augment(waves, torch.tensor([end for _, _, end, _ in placed]),
                              torch.tensor([silent for *_, silent in placed]))
        steps = -(-max(map(len, inputs)) // 8) * 8
        padded = torch.tensor([line + [self._ids.end] * (steps - len(line)) for line in inputs])
        targets = torch.tensor([label + [-100] * (steps - len(label)) for label in labels])
        counts = torch.tensor([len(c) for c in characters])
        return waves, padded, targets, torch.tensor([c for line in characters for c in line]), counts


def learning_rate(share: float, peak: float) -> float:
    """Warm-up over the first hundredth of the time, then a cosine down to a hundredth of the peak."""
    if share < 0.01:
        return peak * max(share, 1e-4) / 0.01
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min((share - 0.01) / 0.99, 1.0))))


def full_share(share: float) -> float:
    """How many of the batches use the whole window after `share` of the time."""
    return 0.06 if share < 0.85 else 0.15


@torch.inference_mode()
def watch(model, mel: LogMel, tokenizer: Tokenizer, rows, samples, seed: int) -> dict[str, float]:
    """WER per language of held-out sentences in held-out voices through the telephone augmentation."""
    augment, heard = Augment(torch.Generator().manual_seed(seed)), []
    for begin in range(0, len(rows), 25):
        waves = torch.zeros(len(rows[begin:begin + 25]), WINDOW)
        ends = []
        for i, row in enumerate(rows[begin:begin + 25]):
            wave = samples[row["offset"]:row["offset"] + row["length"]].astype(np.float32) / 32768
            waves[i, 3200:3200 + len(wave)] = torch.from_numpy(wave[:WINDOW - 3200])
            ends.append(min(3200 + len(wave) + 4800, WINDOW))
        waves = augment(waves, torch.tensor(ends), torch.zeros(len(ends), dtype=torch.bool))
        heard += transcribe(model, mel(waves), tokenizer, Ids(tokenizer))
    result = {}
    for language in LANGUAGES:
        mine = [i for i, row in enumerate(rows) if row["language"] == language]
        if mine:
            result[language] = jiwer.wer([rows[i]["text"] for i in mine], [heard[i][0] or "-" for i in mine])
    result["language"] = sum(h[1] == row["language"] for h, row in zip(heard, rows)) / len(rows)
    return result


def save(path: Path, state: dict) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


def work(worker: int, given, model, head, tokenizer_json: str, state: dict | None, begun: float) -> None:
    """One process; worker 0 also reports, averages and saves."""
    torch.set_num_threads(1)
    torch.manual_seed(given.seed + worker)
    tokenizer = Tokenizer.from_str(tokenizer_json)
    rows, samples = speech.load_set(given.data, "train")
    characters = Characters([row["text"] for row in rows])
    steps = state["steps"] if state else 0
    batches = Batches(rows, samples, tokenizer, characters, given.batch, given.seed * 1000 + worker + steps * 7)
    mel = LogMel()
    parameters = list(model.parameters()) + list(head.parameters())
    parameters = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02)
    average = None
    if state:
        optimizer.load_state_dict(state["optimizer"])
    if worker == 0:
        average = {k: v.detach().clone() for k, v in (state["average"] if state else model.state_dict()).items()}
        watched, watched_samples = speech.load_set(given.data, "watch")
        watched = watched[:160]
        copy = WhisperForConditionalGeneration(configuration(tokenizer)).eval()
        log = open(given.out / "log.txt", "a", buffering=1)
    spent_before = state["spent"] if state else 0.0
    budget = given.minutes * 60
    reported = saved = evaluated = time.monotonic()
    chance = random.Random(given.seed + 77 * worker)
    running = {"loss": 0.0, "ctc": 0.0, "n": 0}
    while True:
        spent = spent_before + time.monotonic() - begun
        share = spent / budget
        finished = share >= 1.0 or (given.smoke and steps >= 6)
        if worker == 0 and (finished or time.monotonic() - saved > 120):
            save(given.out / "checkpoint.pt", {
                "model": {k: v.clone() for k, v in model.state_dict().items()}, "head": head.state_dict(), "average": average,
                "optimizer": optimizer.state_dict(), "steps": steps, "spent": spent, "tokenizer": tokenizer_json})
            saved = time.monotonic()
        if worker == 0 and (finished or time.monotonic() - evaluated > given.watch_minutes * 60):
            copy.load_state_dict(average)
            scores = watch(copy, mel, tokenizer, watched, watched_samples, 3)
            line = f"{spent / 60:6.1f} min  step {steps}  watched: " + "  ".join(f"{k} {100 * v:.1f} %" for k, v in scores.items())
            print(line, flush=True)
            log.write(line + "\n")
            evaluated = time.monotonic()
        if finished:
            return
        rate = learning_rate(share, given.rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        waves, inputs, labels, letters, counts = batches.next(chance.random() < full_share(share))
        with torch.no_grad():
            features = mel(waves)
        with torch.autocast("cpu", torch.bfloat16):
            encoded = encode(model, features)
            logits = decode(model, inputs, encoded)
            letter_logits = head(encoded)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)
        spoken = torch.full((len(waves),), encoded.shape[1])
        ctc = torch.nn.functional.ctc_loss(letter_logits.float().log_softmax(-1).transpose(0, 1), letters, spoken, counts,
                                           zero_infinity=True)
        optimizer.zero_grad(set_to_none=True)
        (loss + ctc).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        steps += 1
        running["loss"] += loss.item()
        running["ctc"] += ctc.item()
        running["n"] += 1
        if worker == 0:
            with torch.no_grad():
                keep = min(EMA, steps / (steps + 20))
                for name, value in model.state_dict().items():
                    average[name].lerp_(value, 1 - keep)
            if time.monotonic() - reported > 20 or given.smoke:
                n = running["n"]
                line = (f"{spent / 60:6.1f} min  step {steps} (x{given.workers})  loss {running['loss'] / n:.3f}  "
                        f"ctc {running['ctc'] / n:.3f}  rate {rate:.5f}  {(budget - spent) / 60:.0f} min left")
                print(line, flush=True)
                log.write(line + "\n")
                running = {"loss": 0.0, "ctc": 0.0, "n": 0}
                reported = time.monotonic()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=90, help="time to spend in all, over every resumption")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--batch", type=int, default=24)
    arguments.add_argument("--rate", type=float, default=1.2e-3)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--watch-minutes", type=float, default=5)
    arguments.add_argument("--smoke", action="store_true")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    checkpoint = given.out / "checkpoint.pt"
    state = load_checkpoint(checkpoint) if checkpoint.exists() else None
    texts = [row["text"] for row in speech.load_set(given.data, "train")[0]]
    tokenizer = Tokenizer.from_str(state["tokenizer"]) if state else train_tokenizer(texts)
    torch.manual_seed(given.seed)
    model = WhisperForConditionalGeneration(configuration(tokenizer))
    head = torch.nn.Linear(model.config.d_model, len(Characters(texts)))
    if state:
        model.load_state_dict(state["model"])
        head.load_state_dict(state["head"])
        print(f"goes on after {state['spent'] / 60:.1f} minutes")
    print(sum(p.numel() for p in model.parameters()), "parameters,", len(texts), "utterances")
    model.share_memory()
    head.share_memory()
    begun = time.monotonic()
    multiprocessing.set_start_method("spawn")
    processes = [multiprocessing.Process(target=work, args=(i, given, model, head, tokenizer.to_str(), state, begun))
                 for i in range(given.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a worker ended with {process.exitcode}")


if __name__ == "__main__":
    main()
