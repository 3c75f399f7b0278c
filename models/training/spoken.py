"""What the synthetic callers of the training say: the grammar, and everything that keeps the ears from guessing.

    python spoken.py            # a page of it

A sentence is text (what the ears must write) and speech (what espeak-ng reads: the same words with pauses and hesitations).
About half is the grammar as it stands; the rest is cut from it and joined anew, broken, or strung together word by word, so that
the ears have to listen: with one part in seven they wrote trained wordings for those held out.  Nothing that a held-out template
can say is ever let through.
"""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import grammar
import grammar_foreign

_ROOT = Path(__file__).resolve().parents[2]
PERSONA = _ROOT / "dialplans/personas/demo.toml"
#: Set phrases with their sources; used where the repository has them.
PHRASES = _ROOT / "models/phrases/mg-fr.tsv"
#: Said while thinking; the ears leave them out, as a real Whisper does.
HESITATIONS = {"mg": ("e", "ehh"), "fr": ("euh", "heu")}


@dataclass(frozen=True)
class Said:
    """`text` is what the ears must write, `speech` what is read aloud."""

    text: str
    speech: str
    language: str


def plain(text: str) -> str:
    """The normal form: lower case, no marks but the apostrophe and the hyphen inside words."""
    text = text.replace("\u2019", "'").replace("[hangup]", " ").lower()
    return " ".join(re.sub(r"(?<!\w)['-]|['-](?!\w)", " ", re.sub(r"[^\w'\- ]", " ", text)).split())


def _values(slot: str, language: str) -> str:
    """A pattern of words that may stand in a slot."""
    rng, words = random.Random(slot), set()
    for _ in range(1500):
        slots: dict = {}
        grammar.SLOTS[slot](rng, language, slots)
        words.update(slots[slot].split())
    word = "(?:" + "|".join(sorted(map(re.escape, words))) + ")"
    return f"{word}(?: {word})*"


def _pattern(template: str, values: dict[str, str]) -> str:
    choices = re.escape(template).replace(r"\|", "|").replace(r"\(", "(?:").replace(r"\)", ")").replace(r"\ ", " ")
    return re.sub(r"\\\{(\w+)\\\}", lambda m: values[m.group(1)], choices)


def _held_out(language: str) -> re.Pattern:
    """Everything that a held-out template can say, framed or not."""
    ends = [f.replace("...", "").strip() for f in grammar.FRAMES[language]]
    frame = "(?:" + "|".join(map(re.escape, ends)) + ")"
    values = {slot: _values(slot, language) for slot in grammar.SLOTS}
    bare, framed = ("|".join(_pattern(wording, values) for intent in grammar.INTENTS for wording in getattr(intent, language).held_out
                             if getattr(intent, language).framed is framed) for framed in (False, True))
    return re.compile(f"(?:{bare})|(?:{frame} )?(?:{framed})(?: {frame})?")


HELD_OUT = {language: _held_out(language) for language in grammar.LANGUAGES}
_VOCABULARY = {language: grammar.vocabulary(language) for language in grammar.LANGUAGES}
_ALLOWED = re.compile(r"[a-zàâçèéêëîïôùûü'\- ]+")


def _beside_grammar() -> dict[str, list[str]]:
    """The persona's own sentences, the set phrases ("{}" is a name, "{n}" a number), and what is none of the office's business."""
    found: dict[str, list[str]] = {language: [] for language in grammar.LANGUAGES}
    persona = tomllib.loads(PERSONA.read_text())
    for language in grammar.LANGUAGES:
        found[language] += [part for text in persona[language].values() if isinstance(text, str) for part in re.split(r"[.!?]", text)]
        found[language] += grammar_foreign.questions("train", language)
        found[language] += [part for i in grammar.INTENTS for part in re.split(r"[.!?]", getattr(i, language).reply)]
    if PHRASES.exists():
        for row in PHRASES.read_text().splitlines():
            if row and not row.startswith("#"):
                _, malagasy, french, *_ = row.split("\t")
                found["mg"] += malagasy.split("|")
                found["fr"] += french.split("|")
    for language, texts in found.items():
        marked = [t.replace("{}", "{name}").replace("{n}", "{number}") for t in texts]
        kept = dict.fromkeys(" ".join(w if "{" in w else plain(w) for w in t.split()).strip() for t in marked)
        # The phrases "{thing}", "{price}" of replies need their slots together; what has other marks is left out.
        found[language] = [t for t in kept if t and _ALLOWED.fullmatch(re.sub(r"\{\w+\}", "a", t))
                           and set(re.findall(r"\{(\w+)\}", t)) <= {*grammar.SLOTS, "price"}]
    return found


BESIDE = _beside_grammar()


def _filled(rng: random.Random, template: str, language: str) -> str:
    slots: dict = {}
    if "{price}" in template:
        grammar.SLOTS["thing"](rng, language, slots)
    for slot in re.findall(r"\{(\w+)\}", template):
        if slot not in slots:
            grammar.SLOTS[slot](rng, language, slots)
    return re.sub(r"\{(\w+)\}", lambda m: slots[m.group(1)], template)


def broken(rng: random.Random, text: str, language: str) -> str:
    """A sentence that the grammar cannot say, out of one that it can."""
    words, vocabulary = text.split(), _VOCABULARY[language]
    for _ in range(rng.randint(1, 3)):
        at, way = rng.randrange(len(words)), rng.random()
        if way < 0.35:
            words[at] = rng.choice(vocabulary)
        elif way < 0.55:
            words.insert(at, rng.choice(vocabulary))
        elif way < 0.75 and len(words) > 1:
            del words[at]
        else:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
    return " ".join(words)


def spliced(rng: random.Random, language: str) -> str:
    """Pieces of several sentences.  Inside a piece grammar holds, so that words that sound alike (parlez, parler) can be told."""
    pieces = []
    for _ in range(rng.randint(2, 4)):
        words = grammar.sample(rng, "train", language).text.split()
        size = rng.randint(1, 4)
        at = rng.randrange(max(1, len(words) - size + 1))
        pieces += words[at:at + size]
    return " ".join(pieces)


def _text(rng: random.Random, language: str) -> str:
    roll = rng.random()
    if roll < 0.44:
        return grammar.sample(rng, "train", language).text
    if roll < 0.50:
        return f"{grammar.sample(rng, 'train', language).text} {grammar.sample(rng, 'train', language).text}"
    if roll < 0.70:
        return spliced(rng, language)
    if roll < 0.81:
        return broken(rng, grammar.sample(rng, "train", language).text, language)
    if roll < 0.90:
        return " ".join(rng.choice(_VOCABULARY[language]) for _ in range(rng.randint(1, 6)))
    return _filled(rng, rng.choice(BESIDE[language]), language)


def aloud(rng: random.Random, text: str, language: str) -> str:
    """The words as somebody says them: a pause here and there, now and then a hesitation."""
    words = text.split()
    if len(words) > 1 and rng.random() < 0.3:
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(1, len(words))
            filler = f" {rng.choice(HESITATIONS[language])}," if rng.random() < 0.4 else ""
            words[at - 1] = words[at - 1].rstrip(",") + "," + filler
    return " ".join(words) + rng.choice(("", "", ".", "?"))


def training(rng: random.Random) -> Said:
    """One sentence for training, at most 90 characters."""
    language = "mg" if rng.random() < grammar.MALAGASY_SHARE else "fr"
    while True:
        text = _text(rng, language)
        if len(text) <= 90 and not HELD_OUT[language].fullmatch(text):
            return Said(text, aloud(rng, text, language), language)


def evaluation(rng: random.Random) -> Said:
    """One sentence of held-out wording, read as it stands."""
    u = grammar.sample(rng, "held_out")
    return Said(u.text, u.text, u.language)


def _check() -> None:
    """Every held-out sentence is known as one; no sentence of training is."""
    rng = random.Random(8)
    for _ in range(4000):
        unheard, heard = grammar.sample(rng, "held_out"), grammar.sample(rng, "train")
        assert HELD_OUT[unheard.language].fullmatch(unheard.text), unheard
        assert not HELD_OUT[heard.language].fullmatch(heard.text), heard


if __name__ == "__main__":
    _check()
    example = random.Random(4)
    for _ in range(40):
        print(training(example))
