"""Trains the translator: a tiny M2M100 on the grammar's sentences in both languages (parallel.py, composed.py).

    nice -n 5 python train_translator.py --work /tmp/translator            # again: goes on where it stopped
    python train_translator.py --work /tmp/translator-smoke --smoke

--begin-with ../demo/translator goes on from the files that ship (their weights rounded to eight bits, their tokenizer) in an empty
--work, at a lower rate.

Every batch is a function of the seed and the step's number.  --minutes are CPU minutes of the process, all runs together; the
learning rate falls to nothing at their end.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer

import composed
import grammar_foreign
import parallel
from run import Run, arguments_of
from translator_model import SHAPE, Ids, model_of, train_tokenizer
from translator_shipped import weights_of

SEED = 20261129
LANGUAGES = ("mg", "fr")
#: Of the rate with which a training begins, the share with which one goes on from weights that ship.
GENTLER = 0.5
#: How much of what is learned is put together anew (composed.py), and how much is none of the grammar's.
COMPOSED, FOREIGN = 0.5, 0.04
#: Share of what the layers pass on that is left out in training; without it whole sentences are learned by heart.
DROPOUT = 0.1
#: Share of a source's tokens that come as two of their pieces: a name is then read by its letters.
CUT = 0.05
FOREIGN_QUESTIONS = {language: grammar_foreign.questions("train", language) for language in LANGUAGES}


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


def lesson(rng: random.Random, source: str) -> tuple[str, str]:
    """A sentence and its translation, neither of which a held-out wording can say."""
    target = "fr" if source == "mg" else "mg"
    while True:
        if rng.random() >= COMPOSED:
            text, answer, _ = parallel.pair(rng, "train", source)
        else:
            text, answer, slots = composed.drawn(rng, source)
            # Before a name is made up that no wording knows.
            if parallel.is_held_out(text, source) or parallel.is_held_out(answer, target):
                continue
            text, answer, _ = parallel.dressed(rng, source, *parallel.renamed(rng, slots, text, answer), set())
        # And with a polite word, which may make another wording of it.
        if not parallel.is_held_out(text, source) and not parallel.is_held_out(answer, target):
            return text, answer


def foreign(rng: random.Random, source: str) -> tuple[str, str]:
    """What is none of the grammar's, with the translation of something else.  There is nothing in it to be learned but to be unsure."""
    if rng.random() < 0.5:
        text = rng.choice(FOREIGN_QUESTIONS[source])
    else:
        words = lesson(rng, source)[0].split()
        for at in rng.sample(range(len(words)), min(len(words), rng.randint(1, 3))):
            words[at] = parallel.made_up(rng)
        text = " ".join(words)
    return (text[:1].upper() + text[1:] if rng.random() < 0.5 else text), lesson(rng, source)[1]


def halves(tokenizer: Tokenizer) -> dict[int, list[tuple[int, int]]]:
    """Of a token the pairs of tokens that it can be put together of."""
    known = {token: i for token, i in tokenizer.get_vocab().items() if not token.startswith("<")}
    pairs = {i: [(known.get(token[:at]), known.get(token[at:])) for at in range(1, len(token))] for token, i in known.items()}
    return {i: whole for i, found in pairs.items() if (whole := [pair for pair in found if None not in pair])}


def cut(rng: random.Random, ids: list[int], pairs: dict[int, list[tuple[int, int]]]) -> list[int]:
    return [piece for i in ids for piece in (rng.choice(pairs[i]) if rng.random() < CUT and i in pairs else (i,))]


class Batches:
    """Rows of a step.  Those of TOGETHER steps are drawn at once and dealt by their length: most are short, and padding costs as much as
    words do."""

    TOGETHER = 8

    def __init__(self, tokenizer: Tokenizer, ids: Ids, size: int) -> None:
        self._tokenizer, self._ids, self._size, self._pairs = tokenizer, ids, size, halves(tokenizer)
        self._drawn: tuple[int, list[list[tuple[list[int], list[int]]]]] = (-1, [])

    def _row(self, rng: random.Random) -> tuple[list[int], list[int]]:
        ids, encoded = self._ids, self._tokenizer.encode
        language = rng.choice(LANGUAGES)
        text, answer = (foreign if rng.random() < FOREIGN else lesson)(rng, language)
        target = "fr" if language == "mg" else "mg"
        if rng.random() < 0.15:
            text = misheard(rng, text)
        return ([ids.language[language], *cut(rng, encoded(text).ids, self._pairs), ids.end],
                [ids.end, ids.language[target], *encoded(answer).ids, ids.end])

    def _rows(self, step: int) -> list[tuple[list[int], list[int]]]:
        group, at = divmod(step, self.TOGETHER)
        if self._drawn[0] != group:
            rng = random.Random(f"{SEED}-{group}")
            rows = sorted((self._row(rng) for _ in range(self.TOGETHER * self._size)), key=lambda row: (max(map(len, row)), row))
            dealt = [rows[first:first + self._size] for first in range(0, len(rows), self._size)]
            rng.shuffle(dealt)
            self._drawn = group, dealt
        return self._drawn[1][at]

    def of(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(source, decoder input, labels; -100: none), a function of the seed and the step."""
        sources, targets = zip(*self._rows(step))
        # Few different lengths: the kernels are compiled for each.
        wide, long = (-(-max(map(len, rows)) // 4) * 4 for rows in (sources, targets))
        source = torch.tensor([row + [self._ids.pad] * (wide - len(row)) for row in sources])
        given = torch.tensor([row[:-1] + [self._ids.pad] * (long - len(row)) for row in targets])
        labels = torch.tensor([[-100, *row[2:]] + [-100] * (long - len(row)) for row in targets])
        return source, given, labels


def main() -> None:
    arguments = arguments_of(__doc__, minutes=60.0, batch=128)
    arguments.add_argument("--begin-with", type=Path, help="a folder of the translator whose training goes on")
    a = arguments.parse_args()
    if a.smoke:
        a.minutes, a.batch = 0.4, 16
    torch.set_num_threads(a.threads)
    torch.manual_seed(SEED)
    a.work.mkdir(parents=True, exist_ok=True)
    kept = a.work / "checkpoint.pt"
    saved = torch.load(kept, weights_only=True) if kept.exists() else None
    if saved:
        tokenizer = Tokenizer.from_str(saved["tokenizer"])
    elif a.begin_with:
        tokenizer = Tokenizer.from_file(str(a.begin_with / "tokenizer.json"))
    else:
        rng = random.Random(SEED)
        tokenizer = train_tokenizer([side for _ in range(20_000) for side in lesson(rng, rng.choice(LANGUAGES))])
    ids, model = Ids(tokenizer), model_of(tokenizer, dropout=DROPOUT).train()
    batches = Batches(tokenizer, ids, a.batch)
    if a.begin_with and not saved:
        model.load_state_dict(weights_of(a.begin_with, model))
    # A run that goes on is what it was begun as, told so again or not.
    began = saved.get("began_with") if saved else "translator" if a.begin_with else None
    share = GENTLER if began else 1.0
    run = Run(a.work, model, lambda name, p: p.ndim == 2 and "shared" not in name and "embed" not in name, (0.02 * share, 0.002 * share),
              0.01, shape=SHAPE, tokenizer=tokenizer.to_str(), **({"began_with": began} if began else {}))

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        source, given, labels = batches.of(step)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=source, attention_mask=(source != ids.pad).long(), decoder_input_ids=given, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100), {}

    run.go(a.minutes, loss_of, said_every=5 if a.smoke else 25, kept_every=100)


if __name__ == "__main__":
    main()
