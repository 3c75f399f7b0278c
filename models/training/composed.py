"""Sentences for the translator's training beside the grammar's: more_meanings.txt, put together anew for each.

    python composed.py          # checks in how many wordings each word of the grammar stands, and shows a page of sentences

Whole sentences alone are learned by heart, and of a wording that was never heard the nearest one comes out.  Here every word stands in
many sentences, and what is had, said or done changes from one to the next, so that a new wording is taken word by word.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import grammar
import parallel
import spoken

LINES = Path(__file__).with_name("more_meanings.txt")
#: In so many wordings that are trained on stands every word of the grammar.
OFTEN = 4
_MARK = re.compile(r"\{(\w+)\}")
#: Names under which a line calls for a word of a class, and what of it.
_CALLED = {"one": "object", "doing": "will", "deed": "will", "of_thing": "thing"}


@dataclass(frozen=True)
class Line:
    """Wordings by language, the first of which is said; `both`: learned from Malagasy too."""

    wordings: dict[str, tuple[str, ...]]
    both: bool


def _sides(text: str, mark: str) -> dict[str, tuple[str, ...]]:
    return {language: tuple(w.strip() for w in side.split("|")) for language, side in zip(grammar.LANGUAGES, text.split(mark))}


def _read() -> tuple[list[Line], dict[str, list[dict[str, tuple[str, ...]]]]]:
    lines, classes = [], {}
    for text in LINES.read_text().splitlines():
        if text.startswith("#"):
            continue
        if named := re.match(r"(\w+): (.*)", text):
            classes.setdefault(named[1], []).append(_sides(named[2], " = "))
        else:
            both = " < " not in text
            lines.append(Line(_sides(text, " = " if both else " < "), both))
    return lines, classes


ALL, CLASSES = _read()
#: A line that calls for one of many words says more than one that stands alone, and is drawn more often.
_MANY = {"object", "will"}
_DRAWN = [line for line in ALL for _ in range(4 if _MANY & {_CALLED.get(m, m) for m in _MARK.findall(line.wordings["mg"][0])} else 1)]


def _word(called: str, language: str, entry: dict[str, tuple[str, ...]], rng: random.Random | None) -> str:
    side = entry[language]
    word = rng.choice(side) if rng else side[0]
    # The present of a Malagasy verb begins with m where its future begins with h.
    return f"m{word[1:]}" if called == "doing" else word


def _entry(called: str, rng: random.Random) -> dict[str, tuple[str, ...]]:
    listed = CLASSES[_CALLED.get(called, called)]
    return rng.choice([e for e in listed if not e["fr"][0].startswith("les ")] if called == "one" else listed)


def contracted(french: str) -> str:
    """With its small words drawn together."""
    for apart, together in (("de les ", "des "), ("de le ", "du "), ("à les ", "aux "), ("à le ", "au ")):
        french = re.sub(rf"\b{apart}", together, french)
    return re.sub(r"\bde (?!(?:un|une|onze)\b)(?=[aeiouyéèêàâîô])", "d'", french)


def drawn(rng: random.Random, source: str) -> tuple[str, str, dict[str, dict[str, list[str]]]]:
    """(text in `source`, its translation, the grammar's slots in it).  May be what a held-out wording says: the caller looks."""
    target = "fr" if source == "mg" else "mg"
    line = rng.choice(_DRAWN)
    while not line.both and source == "mg":
        line = rng.choice(_DRAWN)
    said = {source: rng.choice(line.wordings[source]), target: line.wordings[target][0]}
    chosen: dict[str, dict[str, tuple[str, ...]]] = {}
    for called in dict.fromkeys(_MARK.findall(said["mg"] + said["fr"])):
        kind = _CALLED.get(called, called)
        if kind in CLASSES and kind not in chosen:
            chosen[kind] = _entry("one" if f"{{one}}" in said["mg"] and kind == "object" else called, rng)
    for language, any_of_them in ((source, rng), (target, None)):
        said[language] = _MARK.sub(lambda m: _word(m[1], language, chosen[_CALLED.get(m[1], m[1])], any_of_them)
                                   if _CALLED.get(m[1], m[1]) in chosen else m[0], said[language])
    # A word of a class may name another class (a deed its means), and no more than that.
    for called in dict.fromkeys(_MARK.findall(said["mg"] + said["fr"])):
        if called in CLASSES:
            entry = _entry(called, rng)
            said = {language: text.replace(f"{{{called}}}", entry[language][0]) for language, text in said.items()}
    slots = parallel.values(rng, sorted(set(_MARK.findall(said["mg"] + said["fr"]))), training=True)
    filled = {source: parallel.filled(said[source], slots[source], rng), target: parallel.filled(said[target], slots[target], None)}
    filled["fr"] = contracted(filled["fr"])
    return filled[source], filled[target], slots


def _words(text: str) -> set[str]:
    return set(_MARK.sub(" ", text).split())


def often() -> dict[str, Counter]:
    """In how many wordings that are trained on each word stands, by language; a word of a class in all that call for it."""
    found: dict[str, Counter] = {language: Counter() for language in grammar.LANGUAGES}
    for language, count in found.items():
        learned = {w for concept in parallel.TRAINED for w in concept.wordings[language] if w not in concept.held_out[language]}
        for wording in dict.fromkeys([*sorted(learned), *(w for line in ALL for w in line.wordings[language])]):
            words = set(_words(spoken.plain(_MARK.sub(" ", wording))))
            for called in set(_MARK.findall(wording)):
                for entry in CLASSES.get(_CALLED.get(called, called), ()):
                    words |= set().union(*(_words(_word(called, language, {language: (w,)}, None)) for w in entry[language]))
            count.update(words)
    return found


def _check() -> None:
    counted = often()
    for line in ALL:
        calls = {frozenset(_CALLED.get(m, m) for m in _MARK.findall(w)) for side in line.wordings.values() for w in side}
        assert len(calls) == 1, f"wordings that call for different words: {line}"
    for language in grammar.LANGUAGES:
        known = {w for split in grammar.SPLITS for t in parallel.KNOWN[split][language] for w in _words(t)}
        seldom = {w: counted[language][w] for w in sorted(known) if counted[language][w] < OFTEN}
        assert not seldom, f"{language}: in fewer than {OFTEN} lines: {seldom}"
        for line in ALL:
            held = set(line.wordings[language]) & parallel.KNOWN["held_out"][language]
            assert not held, f"{language}: held out, and in {LINES.name}: {held}"
    print(len(ALL), "lines,", {name: len(listed) for name, listed in CLASSES.items()})


if __name__ == "__main__":
    example = random.Random(4)
    for _ in range(60):
        for language in grammar.LANGUAGES:
            print(language, *drawn(example, language)[:2], sep="  ->  ")
    _check()
