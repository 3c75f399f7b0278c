"""The grammar's sentences in both languages: what the translator learns, and what it is measured on.

    python parallel.py          # checks that every wording is one of the grammar's

A line of meanings.txt is one meaning: Malagasy wordings, `=`, French wordings; the first of a side is what is said, all are understood.
Behind `~` stands what would be right too, and is neither said nor learned.
Which of them are held out is the grammar's own choice (held-out wordings of the intents).  Wordings and pairings that are the
project's own want a native reader, as MODELS.md and models/phrases say; the set phrases themselves (models/phrases) are a memory
that is asked before the translator, and are learned too where the repository has them.  What the translator learns beside all that is
composed.py's.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

import grammar
import spoken

MEANINGS = Path(__file__).with_name("meanings.txt")
#: Around a sentence, in both languages alike.
FRAMES = (("azafady ...", "s'il vous plaît ..."), ("... azafady", "... s'il vous plaît"), ("allo ...", "allô ..."),
          ("miala tsiny ...", "excusez-moi ..."), ("salama tompoko ...", "bonjour ..."))


@dataclass(frozen=True)
class Concept:
    """Wordings by language; `held_out` are those that no training may see."""

    wordings: dict[str, tuple[str, ...]]
    held_out: dict[str, tuple[str, ...]]
    right_too: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def slots(self) -> list[str]:
        return sorted({s for sides in (self.wordings, self.right_too) for side in sides.values() for w in side
                       for s in re.findall(r"\{(\w+)\}", w)})


def _expanded(template: str) -> set[str]:
    found = {template}
    while any("(" in t for t in found):
        found = {" ".join((t[:m.start()] + b + t[m.end():]).split()) for t in found if (m := re.search(r"\(([^()]*)\)", t))
                 for b in m.group(1).split("|")} | {t for t in found if "(" not in t}
    return found


KNOWN = {split: {language: {e for i in grammar.INTENTS for w in getattr(getattr(i, language), split) for e in _expanded(w)}
                 for language in grammar.LANGUAGES} for split in grammar.SPLITS}


def _concept(line: str) -> Concept:
    listed = [[tuple(w.strip() for w in part.split("|")) for part in side.split(" ~ ")] for side in line.split(" = ")]
    sides = dict(zip(grammar.LANGUAGES, (parts[0] for parts in listed)))
    too = {language: parts[1] for language, parts in zip(grammar.LANGUAGES, listed) if len(parts) > 1}
    held = {language: tuple(w for w in side if w in KNOWN["held_out"][language]) for language, side in sides.items()}
    return Concept(sides, held, too)


_PARTS = (("maraina", "du matin"), ("tolakandro", "de l'après-midi"), ("hariva", "du soir"))
_HOURS = [7, 8, 9, 10, 11, 14, 15, 16, 17, 18]


def values(rng: random.Random, names: list[str], training: bool = False) -> dict[str, dict[str, list[str]]]:
    """Slots by language; several forms where one value is said in several ways, the first is the one to say.

    In training codes are shorter and longer, and figures that are alike stand beside each other more often: one of two is what a
    translation loses first.
    """
    if training and {"digits", "phone"} & set(names) and rng.random() < 0.5:
        while not _doubled(drawn := values(rng, names)):
            pass
        return drawn
    drawn: dict[str, dict[str, list[str]]] = {language: {} for language in grammar.LANGUAGES}
    seed = rng.random()
    for name in names:
        if name == "hour":
            hour, half = rng.choice(_HOURS), rng.random() < 0.3
            twelve = hour if hour <= 12 else hour - 12
            words = {language: grammar.number(twelve, language) for language in grammar.LANGUAGES}
            malagasy_part, french_part = _PARTS[0 if hour < 12 else 1 if hour < 17 else 2]
            drawn["mg"][name] = [f"{words['mg']} ora{' sy sasany' if half else ''} {malagasy_part}"]
            drawn["fr"][name] = [f"{words['fr']} heures{' et demie' if half else ''} {french_part}",
                                 f"{grammar.number(hour, 'fr')} heures{' trente' if half else ''}"]
            continue
        for language in grammar.LANGUAGES:
            slots: dict = {}
            # The same draw in both languages: the lists have one order.
            grammar.SLOTS[name](random.Random(f"{seed}-{'thing' if name == 'of_thing' else name}"), language, slots)
            drawn[language][name] = [slots[name]]
            if name == "digits" and training:
                drawn[language][name] = [" ".join(_figures(random.Random(f"{seed}-more"), language))]
            if name == "phone" and language == "fr":
                figures = drawn["mg"]["phone"][0].split()
                spelled = " ".join(grammar.FR_UNITS[grammar.MG_UNITS.index(w)] for w in figures)
                drawn["fr"]["phone"] = list(dict.fromkeys([spelled, slots[name]]))
    return drawn


def _figures(rng: random.Random, language: str) -> list[str]:
    units = grammar.MG_UNITS if language == "mg" else grammar.FR_UNITS
    return [units[rng.randint(0, 9)] for _ in range(rng.randint(2, 9))]


def _doubled(slots: dict[str, dict[str, list[str]]]) -> bool:
    rows = [slots["mg"][name][0].split() for name in ("digits", "phone") if name in slots["mg"]]
    return any(a == b for row in rows for a, b in zip(row, row[1:]))


def filled(template: str, slots: dict[str, list[str]], rng: random.Random | None) -> str:
    """The first form of each slot, or any one."""
    return re.sub(r"\{(\w+)\}", lambda m: rng.choice(slots[m.group(1)]) if rng else slots[m.group(1)][0], template)


def _replies() -> list[Concept]:
    """What Milo answers, in both languages."""
    pairs = [(i.mg.reply, i.fr.reply) for i in grammar.INTENTS if not i.mg.reply_language]
    ready = [(mg.replace(" [hangup]", ""), fr.replace(" [hangup]", "")) for mg, fr in pairs]
    return [Concept({"mg": (mg,), "fr": (fr,)}, {"mg": (), "fr": ()}) for mg, fr in dict.fromkeys(ready)
            if set(re.findall(r"\{\w+\}", mg)) == set(re.findall(r"\{\w+\}", fr)) and "{price}" not in mg]


def _phrases() -> list[Concept]:
    """The set phrases, where the repository has them."""
    if not spoken.PHRASES.exists():
        return []
    rows = [row.split("\t") for row in spoken.PHRASES.read_text().splitlines() if row and not row.startswith("#")]
    named = [tuple(side.replace("{}", "{name}").replace("{n}", "{number}").split("|") for side in row[1:3]) for row in rows]
    unheard = {language: [w for w in KNOWN["held_out"][language]] for language in grammar.LANGUAGES}
    kept = [[[w for w in (spoken.plain(x) if "{" not in x else x.lower() for x in side) if w not in unheard[language]]
             for language, side in zip(grammar.LANGUAGES, pair)] for pair in named]
    return [Concept({"mg": tuple(mg), "fr": tuple(fr)}, {"mg": (), "fr": ()}) for mg, fr in kept if mg and fr]


ALL = [_concept(line) for line in MEANINGS.read_text().splitlines() if not line.startswith("#")]
#: Copying figures takes the longest to learn.
_FIGURES = [c for c in ALL if set(c.slots) & {"phone", "digits"}] * 8 + [c for c in ALL if set(c.slots) & {"day", "number", "amount"}] * 2
TRAINED = ALL * 3 + _FIGURES + _replies() + _phrases()
MEASURED = [c for c in ALL if any(c.held_out.values())]


def _styled(text: str, language: str, capital: bool, mark: str) -> str:
    space = " " if language == "fr" and mark in "?!" and mark else ""
    return (text[:1].upper() + text[1:] if capital else text) + space + mark


def pair(rng: random.Random, split: str, source: str) -> tuple[str, str, set[str]]:
    """(text in `source`, its translation, all that would be right)."""
    target = "fr" if source == "mg" else "mg"
    training = split == "train"
    while True:
        concept = rng.choice(TRAINED if training else MEASURED)
        side = concept.wordings[source]
        choices = [w for w in side if (w in concept.held_out[source]) == (not training)]
        if not choices:
            continue
        # What is said first may itself be held out: then the first that is not.
        said = [w for w in concept.wordings[target] if w not in concept.held_out[target]] or list(concept.wordings[target])
        slots = values(rng, concept.slots, training)
        text, answer = filled(rng.choice(choices), slots[source], rng), filled(said[0], slots[target], None)
        if not training:
            break
        if not is_held_out(text, source) and not is_held_out(answer, target):
            text, answer = renamed(rng, slots, text, answer)
            break
    right = {filled(w, {k: [v] for k, v in zip(slots[target], combination)}, None) for w in concept.wordings[target] + concept.right_too.get(target, ())
             for combination in _combinations(slots[target])}
    return dressed(rng, source, text, answer, right)


def is_held_out(text: str, language: str) -> bool:
    """Whether a wording that no training may see can say it."""
    return bool(spoken.HELD_OUT[language].fullmatch(spoken.plain(text)))


def dressed(rng: random.Random, source: str, text: str, answer: str, right: set[str]) -> tuple[str, str, set[str]]:
    """With a polite word now and then, capitals and marks, the same ones in all."""
    target = "fr" if source == "mg" else "mg"
    framed = rng.random() < 0.25 and text[:1].islower()
    front = back = ""
    if framed:
        frame = dict(zip(grammar.LANGUAGES, rng.choice(FRAMES)))
        text = frame[source].replace("...", text)
        front, back = frame[target].split("...")
    capital, mark = (rng.random() < 0.5, rng.choice(("", ".", "?", "!"))) if text[:1].islower() else (True, "")
    finish = lambda s: _styled(front + s + back, target, capital, mark)  # noqa: E731
    return _styled(text, source, capital, mark), finish(answer), {finish(r) for r in right}


def made_up(rng: random.Random) -> str:
    """A word that can be said and that nobody knows."""
    syllables = [rng.choice(("b", "d", "dr", "f", "g", "h", "j", "k", "l", "m", "n", "nd", "p", "r", "s", "t", "tr", "ts", "v", "z", "ch"))
                 + rng.choice(("a", "a", "e", "i", "o", "y", "ia", "ao", "an", "in")) for _ in range(rng.randint(2, 4))]
    return rng.choice(("", "", "", "a", "e")) + "".join(syllables)


def renamed(rng: random.Random, slots: dict[str, dict[str, list[str]]], *texts: str) -> tuple[str, ...]:
    """The texts with other names of people and towns, half of the time: names are written over, and more than a list of them."""
    for slot in ("name", "town"):
        if slot in slots["mg"] and rng.random() < 0.5:
            known, new = slots["mg"][slot][0], made_up(rng)
            texts = tuple(re.sub(rf"\b{known}\b", new, text) for text in texts)
    return texts


def _combinations(slots: dict[str, list[str]]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for forms in slots.values():
        found = [(*c, form) for c in found for form in forms]
    return found


def _check() -> None:
    for concept in ALL:
        for language, side in concept.wordings.items():
            for wording in side:
                known = wording in KNOWN["train"][language] or wording in KNOWN["held_out"][language]
                assert known, f"{language}: no wording of the grammar: {wording}"
            assert [w for w in side if w not in concept.held_out[language]], f"nothing to train on: {side}"
    print(len(ALL), "meanings,", len(MEASURED), "with held-out wordings,", len(TRAINED), "in training")


if __name__ == "__main__":
    _check()
    example = random.Random(2)
    for _ in range(12):
        for split in grammar.SPLITS:
            for language in grammar.LANGUAGES:
                print(split, *pair(example, split, language)[:2], sep="  ->  ")
