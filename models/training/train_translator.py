"""Trains the translator: a tiny M2M100 on the grammar's sentences in both languages (parallel.py).

    nice -n 5 python train_translator.py --work /tmp/translator            # again: goes on where it stopped
    python train_translator.py --work /tmp/translator-smoke --smoke

Every batch is a function of the seed and the step's number.  --minutes are CPU minutes of the process, all runs together; the
learning rate falls to nothing at their end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer

import parallel
import spoken
from translator_model import SHAPE, Ids, model_of, source_ids, train_tokenizer

SEED = 20261129
LANGUAGES = ("mg", "fr")


def misheard(rng: random.Random, text: str) -> str:
    """A source as people type and small transcribers hear: an accent lost, a letter wrong, an apostrophe missing."""
    at = rng.randrange(len(text))
    roll = rng.random()
    if roll < 0.3:
        return text.translate(str.maketrans("éèêàâùûîïôç", "eeeaauuiioc"))
    if roll < 0.5:
        return text.replace("'", rng.choice((" ", "\u2019", "")))
    if roll < 0.75 and text[at].isalpha():
        return text[:at] + text[at + 1:]
    return text[:at] + rng.choice("aeioymnrts") + text[at:]


def batch(tokenizer: Tokenizer, ids: Ids, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(source, decoder input, labels; -100: none)."""
    rng = random.Random(f"{SEED}-{step}")
    sources, targets = [], []
    for _ in range(size):
        language = rng.choice(LANGUAGES)
        text, answer, _ = parallel.pair(rng, "train", language)
        target = "fr" if language == "mg" else "mg"
        while spoken.HELD_OUT[language].fullmatch(spoken.plain(text)):
            text, answer, _ = parallel.pair(rng, "train", language)
        if rng.random() < 0.15:
            text = misheard(rng, text)
        sources.append(source_ids(tokenizer, ids, text, language))
        targets.append([ids.end, ids.language[target], *tokenizer.encode(answer).ids, ids.end])
    # Few different lengths: the kernels are compiled for each.
    wide, long = (-(-max(map(len, rows)) // 16) * 16 for rows in (sources, targets))
    source = torch.tensor([row + [ids.pad] * (wide - len(row)) for row in sources])
    given = torch.tensor([row[:-1] + [ids.pad] * (long - len(row)) for row in targets])
    labels = torch.tensor([[-100, *row[2:]] + [-100] * (long - len(row)) for row in targets])
    return source, given, labels


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=45.0)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--smoke", action="store_true", help="a few steps, to see that everything runs")
    a = arguments.parse_args()
    if a.smoke:
        a.minutes, a.batch = 0.4, 16
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    a.work.mkdir(parents=True, exist_ok=True)
    kept = a.work / "checkpoint.pt"
    saved = torch.load(kept, weights_only=True) if kept.exists() else None
    if saved:
        tokenizer = Tokenizer.from_str(saved["tokenizer"])
    else:
        rng = random.Random(SEED)
        tokenizer = train_tokenizer([side for _ in range(20_000) for side in parallel.pair(rng, "train", rng.choice(LANGUAGES))[:2]])
    ids, model = Ids(tokenizer), model_of(tokenizer)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "shared" not in name and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "shared" in name or "embed" in name]
    optimizers = [torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01, momentum=0.95),
                  torch.optim.AdamW(others, lr=0.002, betas=(0.9, 0.98), weight_decay=0.0)]
    rates, step, spent = [0.02, 0.002], 0, 0.0
    if saved:
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        step, spent = saved["step"], saved["spent"]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, from step {step}, {spent / 60:.1f} CPU-minutes spent", flush=True)

    def keep() -> None:
        """Writes the checkpoint whole or not at all."""
        torch.save({"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step, "spent": spent,
                    "shape": SHAPE, "tokenizer": tokenizer.to_str()}, kept.with_suffix(".new"))
        os.replace(kept.with_suffix(".new"), kept)

    started, before, began, total, seen = time.process_time(), spent, time.monotonic(), 0.0, 0
    stop: list[int] = []
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: stop.append(number))  # the step is finished and kept
    while spent < a.minutes * 60 and not stop:
        progress = spent / (a.minutes * 60)
        scale = min(1.0, (step + 1) / 40) * min(1.0, (1.0 - progress) / 0.6 + 0.01)
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * scale
        source, given, labels = batch(tokenizer, ids, step, a.batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=source, attention_mask=(source != ids.pad).long(), decoder_input_ids=given, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step, spent = step + 1, before + time.process_time() - started
        total, seen = total + loss.item(), seen + 1
        if step % (5 if a.smoke else 25) == 0:
            left = (a.minutes * 60 - spent) / 60 * (time.monotonic() - began) / (spent - before + 1e-9)
            print(json.dumps({"step": step, "loss": round(total / seen, 4), "cpu_minutes": round(spent / 60, 2),
                              "minutes_left": round(left)}), flush=True)
            total, seen = 0.0, 0
        if step % 100 == 0:
            keep()
    keep()


if __name__ == "__main__":
    main()
