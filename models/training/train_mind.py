"""Trains the mind: a tiny LLaMA that answers the grammar's callers.

    nice -n 5 python train_mind.py --work /tmp/mind --minutes 60
    python train_mind.py --work /tmp/mind-smoke --smoke

Every batch is a function of the seed and the step's number; a checkpoint lies
in --work and the same command resumes it.  --minutes are CPU minutes of the
process, all runs together; the learning rate falls to nothing at their end.

--begin-with ../demo/mind/mind.gguf goes on from the file that ships (its weights rounded to eight bits, its tokenizer) in an empty
--work, at a lower rate.
"""

from __future__ import annotations

import random
from pathlib import Path

import gguf
import torch
import torch.nn.functional as F

import grammar
import mind_dialogues
import mind_tools
from mind_model import Mind, Shape
from mind_tokenizer import Tokenizer
from run import Run, arguments_of

VOCABULARY = 1536
SEED = 20261122
#: Of the rate with which a training begins, the share with which one goes on from weights that ship.
GENTLER = 0.3


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


def shipped(path: Path) -> tuple[Tokenizer, dict[str, torch.Tensor]]:
    """The tokenizer and the weights of a file that export_mind.py wrote."""
    reader = gguf.GGUFReader(path)
    fields = {name: reader.fields[f"tokenizer.ggml.{name}"] for name in ("tokens", "scores")}
    pieces = [bytes(fields["tokens"].parts[i]).decode() for i in fields["tokens"].data]
    scores = [float(fields["scores"].parts[i][0]) for i in fields["scores"].data]
    weights = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
    return Tokenizer(pieces, scores), weights


def main() -> None:
    arguments = arguments_of(__doc__, minutes=60.0, batch=32)
    arguments.add_argument("--begin-with", type=Path, help="a mind.gguf whose training goes on")
    a = arguments.parse_args()
    if a.smoke:
        a.minutes, a.batch = 0.4, 8
    torch.set_num_threads(a.threads)
    torch.manual_seed(SEED)
    a.work.mkdir(parents=True, exist_ok=True)

    vocabulary = a.work / "tokenizer.json"
    if a.begin_with and not vocabulary.exists():
        shipped(a.begin_with)[0].save(vocabulary)
    if not vocabulary.exists():
        Tokenizer.learn(mind_dialogues.texts(random.Random(SEED), 20_000), VOCABULARY).save(vocabulary)
    tokenizer = Tokenizer.load(vocabulary)

    mind = Mind(Shape(len(tokenizer.pieces), layers=6))
    rates = (0.02, 0.004)
    if a.begin_with:
        mind.load_state_dict(shipped(a.begin_with)[1])
        rates = tuple(rate * GENTLER for rate in rates)
    run = Run(a.work, mind, lambda name, p: p.ndim == 2 and "embd" not in name, rates, 0.01,
              shape=mind.shape.as_dict(), **({"began_with": a.begin_with.name} if a.begin_with else {}))
    run.go(a.minutes, lambda step: (loss_of(mind, *batch(tokenizer, step, a.batch)), {}),
           said_every=5 if a.smoke else 25, kept_every=100)


if __name__ == "__main__":
    main()
