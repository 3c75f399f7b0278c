"""Trains the ears: a tiny Whisper on the synthetic speech of speech.py.

    python train_ears.py --data /tmp/ears --out /tmp/ears/run           # again: goes on where it stopped
    python train_ears.py --data /tmp/ears-smoke --out /tmp/smoke --smoke

Beside Whisper's own loss the encoder has a CTC loss over characters through a head that export throws away; without it the
alignment is not found in hours.  First come short clips on quiet lines, then all; windows are as short as their clips, some of
them whole.  The budget is CPU minutes of all workers together, over every resumption, so a busy machine costs time, not quality.
The learning rate stays until the last 30 % of the budget and falls then: before that, a greater or smaller --cpu-minutes on
resumption changes nothing but the end.

Workers are processes of one thread that write into the same weights without a lock ("Hogwild"): on a shared machine two of these
are far faster than one of two threads.  The first one reports, averages the weights and saves every two minutes.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import random
import signal
import time
from pathlib import Path

import jiwer
import numpy as np
import torch
import torch.multiprocessing as multiprocessing
from tokenizers import Tokenizer
from transformers import WhisperForConditionalGeneration

import sounds
import speech
from augment import Augment, speed
from ears_model import (CHARACTERS, LANGUAGES, POSITIONS, RATE, SHAPE, WINDOW, Ids, LogMel, configuration, decode, encode,
                        load_checkpoint, train_tokenizer, transcribe)

#: Clips in a batch that hold no speech, on average; half of them tones, music and the like.
NOISE_SHARE = 0.06
#: Clips whose target carries timestamps.
TIMESTAMP_SHARE = 0.1
#: Words' pieces that the decoder is shown wrong while it learns, so that it trusts its ears more than its memory.
WRONG_PIECES = 0.2
#: Steps with short clips and quiet lines alone.
EASY_STEPS, EASY_SECONDS = 1200, 2.2
EMA = 0.9985


class Batches:
    """Endless augmented batches out of one worker's random numbers."""

    def __init__(self, rows, samples, tokenizer: Tokenizer, size: int, seed: int):
        self._rows, self._samples, self._size = rows, samples, size
        self._random = random.Random(seed)
        self.augment = Augment(torch.Generator().manual_seed(seed))
        self._ids = Ids(tokenizer)
        self._texts = [tokenizer.encode(f" {row['text']}").ids for row in rows]
        self._characters = [[CHARACTERS[c] for c in row["text"]] for row in rows]
        self._short = [i for i, row in enumerate(rows) if row["length"] < EASY_SECONDS * RATE]
        rng = np.random.default_rng(seed)
        self._sounds = [sounds.clip(rng, seconds=(3.0, 10.0)) for _ in range(150)]
        self._waiting: list[list[int]] = []
        self.easy = False

    def _next_clips(self) -> list[int]:
        """Clips of like length go together: less padding."""
        if not self._waiting:
            choice = self._short if self.easy else range(len(self._rows))
            pool = self._random.sample(choice, min(len(choice), self._size * 16))
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
            line = prompt + [ids.first_time + min(round(begin / 0.02), POSITIONS)] + text
            line += [ids.first_time + min(round(end / 0.02), POSITIONS), ids.end]
        else:
            line = prompt + [ids.no_timestamps] + text + [ids.end]
        labels = line[1:]
        line = line[:4] + [self._random.randrange(self._ids.end) if t < self._ids.end and self._random.random() < WRONG_PIECES
                           else t for t in line[4:]]
        labels[1] = -100  # <|transcribe|> is always given, never guessed
        return line[:-1], labels

    def _sound(self, window: int) -> torch.Tensor:
        """A piece of something that is no speech, of about unit size."""
        clip = self._random.choice(self._sounds)
        at = self._random.randint(-window // 2, max(len(clip) - window // 2, 0))
        piece = np.zeros(window, np.float32)
        part = clip[max(at, 0):at + window]
        piece[max(-at, 0):max(-at, 0) + len(part)] = part
        return torch.from_numpy(piece / (np.sqrt(np.mean(part ** 2)) + 1e-3)) if len(part) else torch.from_numpy(piece)

    def next(self, full: bool):
        """(waves, decoder input, labels, characters, how many of each)."""
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
        waves, other = torch.zeros(len(clips), window), torch.zeros(len(clips), window)
        for i, (wave, before, _, silent) in enumerate(placed):
            waves[i, before:before + len(wave)] = torch.from_numpy(wave)
            if silent and self._random.random() < 0.6:
                other[i] = self._sound(window)
        waves = self.augment(waves, torch.tensor([end for _, _, end, _ in placed]),
                             torch.tensor([silent for *_, silent in placed]), other)
        steps = -(-max(map(len, inputs)) // 8) * 8
        padded = torch.tensor([line + [self._ids.end] * (steps - len(line)) for line in inputs])
        targets = torch.tensor([label + [-100] * (steps - len(label)) for label in labels])
        counts = torch.tensor([len(c) for c in characters])
        return waves, padded, targets, torch.tensor([c for line in characters for c in line]), counts

    def masked(self, features: torch.Tensor) -> torch.Tensor:
        """Stripes of time and of frequency are hidden in half of the clips, so that no single cue is leaned on."""
        if self.easy:
            return features
        features = features.clone()
        for clip in features:
            if self._random.random() < 0.5:
                low, width = self._random.randrange(80), self._random.randint(1, 10)
                clip[low:low + width] = clip.mean()
                at, width = self._random.randrange(clip.shape[1]), self._random.randint(1, 12)
                clip[:, at:at + width] = clip.mean()
        return features


def learning_rate(steps: int, share: float) -> float:
    """Of the peak: a warm-up of 150 steps, all of it until 70 % of the budget, then a cosine down to a hundredth."""
    fall = 1.0 if share < 0.7 else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min((share - 0.7) / 0.3, 1.0)))
    return min((steps + 1) / 150, 1.0) * fall


def optimizers(model, head) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, Adam for the rest."""
    named = [*model.named_parameters(), *(("head", p) for p in head.parameters())]
    matrices = [p for name, p in named if p.requires_grad and p.ndim == 2 and "embed" not in name and name != "head"]
    others = [p for name, p in named if p.requires_grad and not (p.ndim == 2 and "embed" not in name and name != "head")]
    return [torch.optim.Muon(matrices, lr=1e-3, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)]


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


def work(worker: int, given, model, head, tokenizer_json: str, state: dict | None, clock: torch.Tensor, stop) -> None:
    """One process; worker 0 also reports, averages and saves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    torch.set_num_threads(1)
    steps = state["steps"] if state else 0
    torch.manual_seed(given.seed + worker + steps)
    tokenizer = Tokenizer.from_str(tokenizer_json)
    rows, samples = speech.load_set(given.data, "train")
    batches = Batches(rows, samples, tokenizer, given.batch, given.seed * 1000 + worker + steps * 7)
    mel = LogMel()
    parameters = [p for p in (*model.parameters(), *head.parameters()) if p.requires_grad]
    steppers = optimizers(model, head)
    if state:
        for stepper, kept in zip(steppers, state["optimizers"]):
            stepper.load_state_dict(kept)
    peaks = [given.rate, given.rate / 2]
    if worker == 0:
        average = {k: v.detach().clone() for k, v in (state["average"] if state else model.state_dict()).items()}
        watched, watched_samples = speech.load_set(given.data, "watch")
        watched = watched[:given.watched]
        copy = WhisperForConditionalGeneration(configuration(tokenizer)).eval()
        log = open(given.out / "log.txt", "a", buffering=1)
    before, budget = state["spent"] if state else 0.0, given.cpu_minutes * 60
    began = reported = saved = time.monotonic()
    first_spent = evaluated = before
    chance = random.Random(given.seed + 77 * worker + steps)
    running = {"loss": 0.0, "ctc": 0.0, "n": 0}
    while True:
        clock[worker] = time.process_time()
        spent = before + float(clock.sum())
        share = spent / budget
        if os.getppid() != parent:
            return  # killed: whoever started again goes on from what was saved, and must not find it overwritten
        finished = share >= 1.0 or stop.is_set() or (given.smoke and steps >= given.smoke_steps)
        if worker == 0 and (finished or time.monotonic() - saved > 120):
            save(given.out / "checkpoint.pt", {
                "model": {k: v.clone() for k, v in model.state_dict().items()}, "head": head.state_dict(), "average": average,
                "optimizers": [stepper.state_dict() for stepper in steppers], "steps": steps, "spent": spent, "shape": SHAPE,
                "tokenizer": tokenizer_json})
            saved = time.monotonic()
        if worker == 0 and not stop.is_set() and (finished or spent - evaluated > given.watch_minutes * 60):
            copy.load_state_dict(average)
            scores = watch(copy, mel, tokenizer, watched, watched_samples, 3)
            line = f"{spent / 60:6.1f} CPU-min  step {steps}  watched: " + "  ".join(f"{k} {100 * v:.1f} %" for k, v in scores.items())
            print(line, flush=True)
            log.write(line + "\n")
            evaluated = spent
        if finished:
            return
        batches.easy = steps < EASY_STEPS
        batches.augment.hardness = min(1.0, 0.2 + 0.8 * max(steps - EASY_STEPS / 2, 0) / (2 * EASY_STEPS))
        rate = learning_rate(steps, share)
        for stepper, peak in zip(steppers, peaks):
            for group in stepper.param_groups:
                group["lr"] = peak * rate
        waves, inputs, labels, letters, counts = batches.next(not batches.easy and chance.random() < 0.06 + 0.1 * (share > 0.85))
        with torch.no_grad():
            features = batches.masked(mel(waves))
        with torch.autocast("cpu", torch.bfloat16):
            encoded = encode(model, features)
            logits = decode(model, inputs, encoded)
            letter_logits = head(encoded)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)
        heard = torch.full((len(waves),), encoded.shape[1])
        ctc = torch.nn.functional.ctc_loss(letter_logits.float().log_softmax(-1).transpose(0, 1), letters, heard, counts,
                                           reduction="none", zero_infinity=True)
        # A letter of speech weighs the same everywhere; silence is the decoder's to learn.
        ctc = ctc[counts > 0].sum() / counts.sum().clamp(min=1)
        for stepper in steppers:
            stepper.zero_grad(set_to_none=True)
        (loss + ctc).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for stepper in steppers:
            stepper.step()
        steps += 1
        running["loss"] += loss.item()
        running["ctc"] += ctc.item()
        running["n"] += 1
        if worker == 0:
            with torch.no_grad():
                keep = min(EMA, steps / (steps + 20))
                for name, value in model.state_dict().items():
                    average[name].lerp_(value, 1 - keep)
            if time.monotonic() - reported > 30 or given.smoke:
                n, pace = running["n"], (spent - first_spent) / max(time.monotonic() - began, 1.0)
                line = (f"{spent / 60:6.1f} CPU-min  step {steps} (x{given.workers})  loss {running['loss'] / n:.3f}  "
                        f"ctc {running['ctc'] / n:.3f}  rate {given.rate * rate:.5f}  "
                        f"{(budget - spent) / 60 / max(pace, 1e-3):.0f} min left at this pace ({pace:.2f} cores)")
                print(line, flush=True)
                log.write(line + "\n")
                running = {"loss": 0.0, "ctc": 0.0, "n": 0}
                reported = time.monotonic()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--cpu-minutes", type=float, default=130, help="of all workers together, over every resumption")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--rate", type=float, default=3e-3)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--watch-minutes", type=float, default=20, help="CPU minutes between looks at the held-out sentences")
    arguments.add_argument("--watched", type=int, default=160, help="how many of them")
    arguments.add_argument("--smoke", action="store_true", help="a few steps, to see that everything works")
    arguments.add_argument("--smoke-steps", type=int, default=8)
    given = arguments.parse_args()
    if given.smoke:
        given.batch, given.watched = 8, 4
    given.out.mkdir(parents=True, exist_ok=True)
    lock = open(given.out / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"another training already writes to {given.out}") from None
    checkpoint = given.out / "checkpoint.pt"
    state = load_checkpoint(checkpoint) if checkpoint.exists() else None
    texts = [row["text"] for row in speech.load_set(given.data, "train")[0]]
    tokenizer = Tokenizer.from_str(state["tokenizer"]) if state else train_tokenizer(texts)
    torch.manual_seed(given.seed)
    model = WhisperForConditionalGeneration(configuration(tokenizer))
    head = torch.nn.Linear(model.config.d_model, len(CHARACTERS) + 1)
    if state:
        model.load_state_dict(state["model"])
        head.load_state_dict(state["head"])
        print(f"goes on after {state['spent'] / 60:.1f} CPU-minutes")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(texts):,} utterances", flush=True)
    model.share_memory()
    head.share_memory()
    clock = torch.zeros(given.workers, dtype=torch.double).share_memory_()
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: stop.set())  # the step is finished and kept
    processes = [context.Process(target=work, args=(i, given, model, head, tokenizer.to_str(), state, clock, stop))
                 for i in range(given.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a worker ended with {process.exitcode}")


if __name__ == "__main__":
    main()
