"""How often the mind answers rightly, on wordings it was never trained on.

    python evaluate_mind.py ../demo/mind/mind.gguf --seed 7

The weights are read back out of the GGUF file, so what is measured is what
ships, rounding included.  A reply is right when it is the grammar's reply,
word for word, letter case and punctuation aside: so the intent, the language,
and every slot (day, hour, name, number, price) must be right.

The language is counted twice: of the replies as they are, and of what callers
hear, for a reply whose first tokens are less likely than the demonstration
persona's `min_logprob` is not said: Milo says in the caller's language that it
did not understand (src/agent).
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tomllib
from collections import Counter
from pathlib import Path

import gguf
import torch

import grammar
import grammar_foreign
import mind_dialogues
import mind_tokenizer as tk
import mind_tools
from mind_model import Mind, Shape

MOST_TOKENS = 80
#: Tokens that say how likely a reply is, and how likely they must be on the mean (models/src/language_model.rs, the persona's file).
WEIGHED = 4
PERSONA = Path(__file__).resolve().parents[2] / "dialplans/personas/demo.toml"
LEAST = tomllib.loads(PERSONA.read_text())["min_logprob"]


def load(path: Path) -> tuple[tk.Tokenizer, Mind]:
    """The tokenizer and the (dequantised) network in a GGUF file."""
    reader = gguf.GGUFReader(path)

    def value(key: str):
        return reader.fields[key].contents()

    shape = Shape(vocabulary=value("llama.vocab_size"), width=value("llama.embedding_length"),
                  layers=value("llama.block_count"), heads=value("llama.attention.head_count"),
                  inner=value("llama.feed_forward_length"), context=value("llama.context_length"),
                  base=value("llama.rope.freq_base"), epsilon=value("llama.attention.layer_norm_rms_epsilon"))
    mind = Mind(shape)
    weights = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in reader.tensors}
    mind.load_state_dict(weights)
    return tk.Tokenizer(value("tokenizer.ggml.tokens"), value("tokenizer.ggml.scores")), mind.eval()


@torch.inference_mode()
def answer(tokenizer: tk.Tokenizer, mind: Mind, messages: list[tuple[str, str]]) -> tuple[str, list[float]]:
    """The likeliest reply, and the log-probability of each of its tokens (the end included)."""
    ids, _ = mind_dialogues.encode(tokenizer, messages)
    logits, past = mind(torch.tensor([ids]))
    said, logprobs = [], []
    while len(said) < MOST_TOKENS:
        row = logits[0, -1].log_softmax(-1)
        token = int(row.argmax())
        logprobs.append(float(row[token]))
        if token == tk.EOS:
            break
        said.append(token)
        logits, past = mind(torch.tensor([[token]]), past)
    return tokenizer.decode(said).strip(), logprobs


def plain(text: str) -> str:
    """Letters, digits and the hang-up mark, in lower case, single spaces."""
    return " ".join(re.findall(r"\[hangup\]|[\w'-]+", text.casefold()))


def tongue(reply: str) -> str | None:
    """The language of a reply, by the words that only one of the two has."""
    words = set(plain(reply).split())
    mine = {language: len(words & _REPLY_WORDS[language]) for language in grammar.LANGUAGES}
    return None if mine["mg"] == mine["fr"] else max(mine, key=mine.get)


_SAID = {language: set(plain(" ".join(getattr(i, language).reply for i in grammar.INTENTS
                                      if not getattr(i, language).reply_language)).split()) for language in grammar.LANGUAGES}
_REPLY_WORDS = {language: _SAID[language] - _SAID["fr" if language == "mg" else "mg"] for language in grammar.LANGUAGES}


def case(rng: random.Random, turns: int, noise: float, wanted) -> tuple[list[tuple[str, str]], mind_dialogues.Turn]:
    """A chat that ends in a question, of held-out wordings, and that last turn."""
    while True:
        d = mind_dialogues.dialogue(rng, "held_out", turns, noise)
        if wanted(d.turns[-1].intent):
            messages = [("assistant" if r == "reply" else r, t) for r, t in mind_dialogues.history(rng, d)]
            return messages[:-1], d.turns[-1]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("gguf", type=Path)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--cases", type=int, default=500, help="in each of the groups")
    arguments.add_argument("--wrong", type=int, default=0, help="show so many wrong replies")
    a = arguments.parse_args()
    torch.set_num_threads(1)
    tokenizer, mind = load(a.gguf)
    rng = random.Random(f"evaluate-{a.seed}")
    known = set(grammar.BY_NAME)

    def ask(turns: int, noise: float, count: int, wanted):
        for _ in range(count):
            messages, turn = case(rng, turns, noise, wanted)
            reply, logprobs = answer(tokenizer, mind, messages)
            right = plain(reply) == plain(turn.reply)
            yield turn, reply, right, logprobs
            if not right and shown and shown.pop():
                print(f"  [{turn.intent}] {turn.heard!r}\n     wanted {turn.reply!r}\n     said   {reply!r}"
                      f" ({statistics.mean(logprobs[:WEIGHED]):.2f})")

    shown = [True] * a.wrong
    groups = [("first turn, clean", 1, 0.0), ("later turn, clean", 3, 0.0), ("first turn, every question with errors", 1, 1.0),
              ("later turn, every question with errors", 3, 1.0)]
    by_intent: dict[str, Counter] = {}
    by_language: dict[str, Counter] = {}
    spoken: Counter = Counter()
    foreign_tongue: dict[bool, Counter] = {True: Counter(), False: Counter()}
    slots: Counter = Counter()
    confidence: dict[str, list[float]] = {"right": [], "wrong": []}
    for name, turns, noise in groups:
        rights = []
        for turn, reply, right, logprobs in ask(turns, noise, a.cases, known.__contains__):
            rights.append(right)
            wanted = tongue(turn.reply)
            sure = statistics.mean(logprobs[:WEIGHED])
            spoken[tongue(reply) == wanted] += wanted is not None
            if wanted is not None and tongue(reply) != wanted:
                foreign_tongue[sure >= LEAST][turn.intent] += 1
            told = [v for k, v in turn.slots.items() if plain(v) in plain(turn.reply)]
            slots[all(plain(v) in plain(reply) for v in told)] += bool(told)
            by_intent.setdefault(turn.intent, Counter())[right] += 1
            if noise == 0:
                by_language.setdefault(turn.language, Counter())[right] += 1
            confidence["right" if right else "wrong"].append(sure)
        print(f"{name}: {100 * statistics.mean(rights):.1f} % of {len(rights)}")
    for intent in ("salad", "letters", "strange"):
        rights, first = [], []
        for _, _, right, logprobs in ask(1, 0.0, max(1, a.cases // 5), intent.__eq__):
            rights.append(right)
            first.append(statistics.mean(logprobs[:WEIGHED]))
            if not right:
                confidence.setdefault(f"{intent}, answered as if understood", []).append(first[-1])
        print(f"{intent}: says that it did not understand {100 * statistics.mean(rights):.1f} % of {len(rights)}")
    asked = [(answer(tokenizer, mind, [("system", grammar.SYSTEM_PROMPT), ("user", question)])[0], language)
             for question, language in grammar_foreign.two_hundred()]
    foreign = [reply == mind_dialogues.NOT_UNDERSTOOD[language] for reply, language in asked]
    print(f"outside its knowledge: says so {100 * statistics.mean(foreign):.1f} % of {len(foreign)}")
    print(f"answers in the language they should have: {100 * spoken[True] / spoken.total():.1f} % of {spoken.total()}")
    said, unsaid = foreign_tongue[True], foreign_tongue[False]
    told, untold = (", ".join(f"{intent} {n}" for intent, n in table.most_common()) or "none" for table in (said, unsaid))
    print(f"  as callers hear it, what is less likely than {LEAST} not being said: {100 * (1 - said.total() / spoken.total()):.2f} %")
    print(f"  the other language, or no clear one: said {told}; not said {untold}")
    print(f"slots copied right: {100 * slots[True] / slots.total():.1f} % of {slots.total()}")
    calls: Counter = Counter()
    while calls.total() < a.cases:
        u = grammar.sample(rng, "held_out")
        if (wanted := mind_tools.call(u.intent, u.slots)) is not None:
            said = answer(tokenizer, mind, [("system", mind_tools.SYSTEM_PROMPT), ("user", u.text)])[0]
            calls["right" if said == wanted else "valid" if mind_tools.valid(said) else "invalid"] += 1
    print(f"tool calls, nothing forced: valid {100 * (1 - calls['invalid'] / calls.total()):.1f} %, "
          f"right {100 * calls['right'] / calls.total():.1f} % of {calls.total()} (tools.gbnf makes all of them valid)")
    for title, table in (("language, clean", by_language), ("intent, all groups", by_intent)):
        print(f"by {title}:")
        for name, counts in sorted(table.items(), key=lambda item: item[1][True] / item[1].total()):
            print(f"  {name:20} {100 * counts[True] / counts.total():5.1f} % of {counts.total()}")
    print("mean log-probability of the first four tokens (5th, 25th, 50th percentile), and share below a threshold:")
    for name, values in confidence.items():
        values.sort()
        low = [values[int(q * (len(values) - 1))] for q in (0.05, 0.25, 0.5)] if values else []
        below = {t: f"{100 * sum(v < t for v in values) / max(1, len(values)):.1f} %" for t in (-0.1, -0.15, -0.2, -0.3, -0.5)}
        print(f"  {name} ({len(values)}): {[round(v, 3) for v in low]} {below}")


if __name__ == "__main__":
    main()
