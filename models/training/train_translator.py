"""Trains the translator: a tiny M2M100 on the grammar's sentences in both languages (parallel.py).

    nice -n 5 python train_translator.py --work /tmp/translator            # again: goes on where it stopped
    python train_translator.py --work /tmp/translator-smoke --smoke

Every batch is a function of the seed and the step's number.  --minutes are CPU minutes of the process, all runs together; the
learning rate falls to nothing at their end.
"""

from __future__ import annotations

import random

import torch
from tokenizers import Tokenizer

import parallel
import spoken
from run import Run, arguments_of
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
    a = arguments_of(__doc__, minutes=60.0, batch=64).parse_args()
    if a.smoke:
        a.minutes, a.batch = 0.4, 16
    torch.set_num_threads(a.threads)
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
    run = Run(a.work, model, lambda name, p: p.ndim == 2 and "shared" not in name and "embed" not in name, (0.02, 0.002), 0.01,
              shape=SHAPE, tokenizer=tokenizer.to_str())

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        source, given, labels = batch(tokenizer, ids, step, a.batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=source, attention_mask=(source != ids.pad).long(), decoder_input_ids=given, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100), {}

    run.go(a.minutes, loss_of, said_every=5 if a.smoke else 25, kept_every=100)


if __name__ == "__main__":
    main()
