"""Dialogues for the mind, drawn from the one grammar, and the prompt form that llama.cpp gives them.

What the caller says passes through noise like that of a small transcriber
(words dropped, doubled, exchanged, letters wrong); words of a slot are never
lost or exchanged, so that the right reply stays defined.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import grammar
import grammar_foreign
import mind_tokenizer as tk
import mind_tools

#: Said by the agent itself (personas); they stand in the history without having been generated.
OPENINGS = {
    "mg": ("Salama tompoko! Milo eto. Inona no azoko atao ho anao?",
           "Salama tompoko! Milo eto. Inona no azoko atao ho anao?",
           "Salama tompoko, i Milo no miresaka aminao. Inona no azoko atao ho anao?",
           "Manao ahoana tompoko, ato amin'ny birao. Inona no ilainao?"),
    "fr": ("Bonjour! Ici Milo. Que puis-je faire pour vous?",
           "Bonjour! Ici Milo. Que puis-je faire pour vous?",
           "Bonjour, ici Milo. Que puis-je faire pour vous ?",
           "Bonjour et bienvenue. Je vous écoute."),
}
ASIDES = {
    "mg": ("Mbola eo ve ianao?", "Miala tsiny, tsy azoko tsara. Azonao averina ve?",
           "Miala tsiny, misy olana kely eto amiko. Andraso kely azafady."),
    "fr": ("Êtes-vous toujours là?", "Excusez-moi, je n'ai pas bien compris. Pouvez-vous répéter?",
           "Excusez-moi, j'ai un petit problème. Un instant, s'il vous plaît."),
}
NOT_UNDERSTOOD = {language: getattr(grammar.BY_NAME["out_of_domain"], language).reply for language in grammar.LANGUAGES}
#: Outside of the office's business, beyond what the grammar's own intent has.
STRANGE = {split: {language: grammar_foreign.questions(split, language) for language in grammar.LANGUAGES}
           for split in grammar.SPLITS}
_WORDS = {language: grammar.vocabulary(language) for language in grammar.LANGUAGES}
#: What made-up words are put together of.
_ONSETS = {"mg": "b d f g h k l m n p r s t v z j tr dr ts mb nd".split(), "fr": "b ch d f g l m n p r s t v br cl pr tr".split()}
_RIMES = {"mg": "a e i o a i".split(), "fr": "a an é eu i in o on ou u".split()}
_ENDS = {"mg": ["", "", "na", "ka", "tra", "ny"], "fr": ["", "", "oir", "age", "eur", "ette"]}
#: Slots whose words may be any: what is said in them is copied.
_ANY_WORD = ("name", "person")
_LETTERS = "abdefghijklmnoprstvyzéè'"


@dataclass
class Turn:
    """What is said (as heard), and the reply."""

    heard: str
    reply: str
    language: str
    intent: str
    slots: dict = field(default_factory=dict)


@dataclass
class Dialogue:
    """What the agent said first (or nothing), turns, and whether the prompt names tools."""

    opening: str | None
    turns: list[Turn]
    tools: bool = False


def misspell(rng: random.Random, word: str) -> str:
    """One letter lost, doubled, exchanged, or put in."""
    at = rng.randrange(len(word))
    kind = rng.randrange(4)
    if kind == 0 and len(word) > 3:
        return word[:at] + word[at + 1:]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2:
        return word[:at] + rng.choice(_LETTERS) + word[at + 1:]
    return word[:at] + rng.choice(_LETTERS) + word[at:]


def noisy(rng: random.Random, text: str, slots: dict, language: str) -> str:
    """`text` as a small transcriber might have written it; one to three errors outside the slots."""
    words = text.split()
    kept = [False] * len(words)
    for value in slots.values():
        parts = value.split()
        for i in range(len(words) - len(parts) + 1):
            if words[i:i + len(parts)] == parts:
                kept[i:i + len(parts)] = [True] * len(parts)
    for _ in range(rng.choice((1, 1, 2, 3)) if len(words) > 3 else 1):
        free = [i for i, keep in enumerate(kept) if not keep]
        if not free:
            # Nothing but a slot: at most one wrong letter in a long word; the reply still has the right one.
            i = rng.randrange(len(words))
            if len(words) == 1 and len(words[i]) > 5:
                words[i] = misspell(rng, words[i])
            break
        i, roll = rng.choice(free), rng.random()
        if roll < 0.5 and len(words[i]) > 2:
            words[i] = misspell(rng, words[i])
        elif roll < 0.68 and len(free) > 2:
            del words[i], kept[i]
        elif roll < 0.8:
            words.insert(i, words[i] if roll < 0.72 else rng.choice(_WORDS[language]))
            kept.insert(i, False)
        elif roll < 0.9 and len(free) > 3:
            words[i] = rng.choice(_WORDS[language])
        elif i + 1 < len(words) and not kept[i + 1]:
            words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


#: What is hardest to learn is to copy; training practises it.
COPIED = ("code", "code", "code", "my_number", "my_number", "number", "number", "pay_amount", "pay_amount", "appointment",
          "appointment_day", "appointment_hour", "my_name", "person", "price", "callback", "move_appointment", "delivery")


def invented(rng: random.Random, language: str) -> str:
    """A word that nobody knows."""
    syllables = (rng.choice(_ONSETS[language]) + rng.choice(_RIMES[language]) for _ in range(rng.randint(2, 3)))
    return "".join(syllables) + rng.choice(_ENDS[language])


def alien(rng: random.Random, split: str, language: str) -> str:
    """A question about something unknown: it sounds like the office's, or like other business, and the word that counts is made up."""
    if rng.random() < 0.4:
        words = rng.choice(STRANGE[split][language]).split()
        words[-1] = invented(rng, language)
        return " ".join(words)
    while True:
        u = grammar.sample(rng, split, language)
        copied = {word for slot, value in u.slots.items() if slot in _ANY_WORD for word in value.split()}
        words = u.text.split()
        content = [i for i, word in enumerate(words) if len(word) > 3 and word not in copied]
        if len(words) > 2 and len(content) > 1:
            break
    for i in rng.sample(content, rng.choice((1, 2)) if len(content) < 4 else 2):
        words[i] = invented(rng, language)
    return " ".join(words)


def turn(rng: random.Random, split: str, language: str, noise: float, practice: float = 0.0) -> Turn:
    """One question and its answer.

    `noise` is the share of questions that carry errors, `practice` that of additional ones with something to copy.
    """
    roll = rng.random()
    if roll < 0.04:
        count = rng.randint(2, 7)
        return Turn(" ".join(rng.choice(_WORDS[language]) for _ in range(count)), NOT_UNDERSTOOD[language], language,
                    "salad")
    if roll < 0.06:
        letters = " ".join("".join(rng.choice(_LETTERS) for _ in range(rng.randint(2, 9))) for _ in range(rng.randint(1, 4)))
        return Turn(letters, NOT_UNDERSTOOD[language], language, "letters")
    if roll < 0.16:
        heard = rng.choice(STRANGE[split][language])
        if rng.random() < noise:
            heard = noisy(rng, heard, {}, language)
        return Turn(heard, NOT_UNDERSTOOD[language], language, "strange")
    if roll < 0.22:
        return Turn(alien(rng, split, language), NOT_UNDERSTOOD[language], language, "alien")
    if rng.random() < practice:
        u = grammar.utterance(rng, split, language, grammar.BY_NAME[rng.choice(COPIED)])
    else:
        u = grammar.sample(rng, split, language)
    heard = noisy(rng, u.text, u.slots, language) if rng.random() < noise else u.text
    if rng.random() < 0.08:
        heard = heard[:1].upper() + heard[1:] + rng.choice((".", "?", " ?", "", "!"))
    return Turn(heard, u.reply, language, u.intent, u.slots)


def cut_short(rng: random.Random, reply: str) -> str:
    """A reply as far as the caller heard it before interrupting."""
    words = reply.split()
    return " ".join(words[:rng.randint(1, max(1, len(words) - 1))]).rstrip(".,?!") + "\u2014"


def dialogue(rng: random.Random, split: str, turns: int, noise: float = 0.5, practice: float = 0.0, tools: bool = False) -> Dialogue:
    """A call of so many turns. The caller may change language."""
    language = "mg" if rng.random() < 0.55 else "fr"
    # The agent greets before it knows the caller's language.
    opening = rng.choice(OPENINGS["mg" if rng.random() < 0.7 else language]) if rng.random() < 0.7 else None
    said = []
    for _ in range(turns):
        if rng.random() < 0.06:
            language = "fr" if language == "mg" else "mg"
        said.append(turn(rng, split, language, noise, practice))
    return Dialogue(opening, said, tools)


def history(rng: random.Random, d: Dialogue) -> list[tuple[str, str]]:
    """The dialogue as chat messages; earlier replies may have been interrupted, or followed by the agent's own words."""
    messages = [("system", mind_tools.SYSTEM_PROMPT if d.tools else grammar.SYSTEM_PROMPT)]
    if d.opening:
        messages.append(("assistant", d.opening))
    for i, t in enumerate(d.turns):
        messages.append(("user", t.heard))
        last = i == len(d.turns) - 1
        call = mind_tools.call(t.intent, t.slots) if d.tools else None
        if call:
            messages += [("reply", call), ("user", mind_tools.result(t.intent, t.slots))]
        if not last and rng.random() < 0.12:
            messages.append(("assistant", cut_short(rng, t.reply)))
        else:
            messages.append(("reply", t.reply))
        if not last and rng.random() < 0.06:
            messages.append(("assistant", rng.choice(ASIDES[t.language])))
    return messages


def encode(tokenizer: tk.Tokenizer, messages: list[tuple[str, str]]) -> tuple[list[int], list[bool]]:
    """Ids of a chat in the form of llama.cpp's "mistral-v7", and which of them the mind must learn to say.

    Role "reply" is what the assistant says and learns, "assistant" what it said and need not learn.
    """
    ids, learned = [tk.BOS], [False]

    def put(tokens: list[int], learn: bool) -> None:
        ids.extend(tokens)
        learned.extend([learn] * len(tokens))

    for role, content in messages:
        text = tokenizer.encode(" " + content)
        if role == "system":
            put([tk.SYSTEM, *text, tk.SYSTEM_END], False)
        elif role == "user":
            put([tk.USER, *text, tk.USER_END], False)
        else:
            put([*text, tk.EOS], role == "reply")
    return ids, learned


def texts(rng: random.Random, count: int):
    """Texts for learning the tokenizer: what is said on both sides."""
    for language in grammar.LANGUAGES:
        yield from (" " + t for t in OPENINGS[language] + ASIDES[language])
        yield from (" " + word for word in _WORDS[language] for _ in range(3))
    for _ in range(count):
        t = turn(rng, "train", "mg" if rng.random() < 0.6 else "fr", 0.25)
        yield " " + t.heard
        yield " " + t.reply
        if call := mind_tools.call(t.intent, t.slots):
            yield " " + call
            yield " " + mind_tools.result(t.intent, t.slots)
    yield from [" " + mind_tools.SYSTEM_PROMPT] * 50
