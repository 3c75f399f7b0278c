"""Trains the mind: a tiny LLaMA that answers the grammar's callers.

    nice -n 5 python train_mind.py --work /tmp/mind --minutes 60
    python train_mind.py --work /tmp/mind-smoke --smoke

Every batch is a function of the seed and the step's number; a checkpoint lies
in --work and the same command resumes it.  --minutes are CPU minutes of the
process, all runs together; the learning rate falls to nothing at their end.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import grammar
import mind_dialogues
import mind_tools
from mind_model import Mind, Shape
from mind_tokenizer import Tokenizer

VOCABULARY = 1536
SEED = 20261122


#: Steps whose dialogues have the tools in their prompt.
TOOLS_SHARE = 0.25


def beginning(tokenizer: Tokenizer, tools: bool) -> list[int]:
    """What every dialogue begins with: the system prompt."""
    prompt = mind_tools.SYSTEM_PROMPT if tools else grammar.SYSTEM_PROMPT
    return mind_dialogues.encode(tokenizer, [("system", prompt)])[0]


def batch(tokenizer: Tokenizer, step: int, size: int) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """`size` dialogues: their common beginning, the rest as ids [size, time], and the targets: the next id where the mind
    speaks, -100 elsewhere."""
    rng = random.Random(f"{SEED}-{step}")
    tools = rng.random() < TOOLS_SHARE
    beginning_ids = beginning(tokenizer, tools)
    turns = rng.choice((2, 3, 4, 5))
    rows = []
    for _ in range(size):
        d = mind_dialogues.dialogue(rng, "train", max(1, turns - rng.randrange(2)), noise=0.45, practice=0.5, tools=tools)
        row, learned = mind_dialogues.encode(tokenizer, mind_dialogues.history(rng, d))
        rows.append((row[len(beginning_ids):], learned[len(beginning_ids):]))
    # Few different lengths: the kernels are compiled for each.
    length = -(-max(len(ids) for ids, _ in rows) // 32) * 32
    ids = torch.zeros(size, length, dtype=torch.long)
    targets = torch.full((size, length), -100)
    for i, (row, learned) in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        targets[i, :len(row) - 1] = torch.tensor([t if l else -100 for t, l in zip(row[1:], learned[1:])])
    return beginning_ids, ids, targets


def loss_of(mind: Mind, common: list[int], ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the words the mind must say. The common beginning is computed once for all rows, logits only
    where they count."""
    with torch.autocast("cpu", torch.bfloat16):
        _, past = mind.hidden(torch.tensor([common]))
        past = [[m.expand(len(ids), -1, -1, -1) for m in keys_and_values] for keys_and_values in past]
        hidden, _ = mind.hidden(ids, past)
        said = (targets.flatten() >= 0).nonzero().flatten()
        said = F.pad(said, (0, -len(said) % 512))  # place 0 is never said: its target is -100
        logits = F.linear(hidden.flatten(0, 1)[said], mind.token_embd.weight)
    return F.cross_entropy(logits.float(), targets.flatten()[said])


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=60.0)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--smoke", action="store_true", help="a few steps, to see that everything runs")
    a = arguments.parse_args()
    if a.smoke:
        a.minutes, a.batch = 0.4, 8
    torch.set_num_threads(a.threads)
    torch.manual_seed(SEED)
    a.work.mkdir(parents=True, exist_ok=True)

    vocabulary = a.work / "tokenizer.json"
    if not vocabulary.exists():
        Tokenizer.learn(mind_dialogues.texts(random.Random(SEED), 20_000), VOCABULARY).save(vocabulary)
    tokenizer = Tokenizer.load(vocabulary)

    mind = Mind(Shape(len(tokenizer.pieces), layers=6))
    matrices = [p for name, p in mind.named_parameters() if p.ndim == 2 and "embd" not in name]
    others = [p for name, p in mind.named_parameters() if p.ndim != 2 or "embd" in name]
    optimizers = [torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01, momentum=0.95),
                  torch.optim.AdamW(others, lr=0.004, betas=(0.9, 0.98), weight_decay=0.0)]
    rates = [0.02, 0.004]
    step, spent = 0, 0.0
    kept = a.work / "checkpoint.pt"
    if kept.exists():
        saved = torch.load(kept, weights_only=True)
        mind.load_state_dict(saved["mind"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        step, spent = saved["step"], saved["spent"]
    print(f"{sum(p.numel() for p in mind.parameters()):,} parameters, from step {step}, {spent / 60:.1f} CPU-minutes spent")

    def keep() -> None:
        """Writes the checkpoint whole or not at all."""
        torch.save({"mind": mind.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step,
                    "spent": spent, "shape": mind.shape.as_dict()}, kept.with_suffix(".new"))
        kept.with_suffix(".new").replace(kept)

    started, before, began, total, seen = time.process_time(), spent, time.monotonic(), 0.0, 0
    stop: list[int] = []
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: stop.append(number))  # the step is finished and kept
    while spent < a.minutes * 60 and not stop:
        progress = spent / (a.minutes * 60)
        scale = min(1.0, (step + 1) / 40) * min(1.0, (1.0 - progress) / 0.6 + 0.01)
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * scale
        common, ids, targets = batch(tokenizer, step, a.batch)
        loss = loss_of(mind, common, ids, targets)
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
