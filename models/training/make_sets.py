"""Writes the sets that `milo eval` measures the models by: plain files, from held-out wordings that no model was trained on.

    python make_sets.py --seed 30112026 --to ../evaluation

Standard library only.  The same seed and the same grammar give the same files.  A set that shipped stays as it is: a grammar that
has grown since takes nothing from it, and figures of different days can be compared.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import grammar
import grammar_foreign
import mind_dialogues
import mind_tools
import parallel

#: speech.py's HELD_OUT_VOICES; that file needs numpy.
VOICES = ("f4", "m6", "Alicia", "Marco", "steph2", "pablo", "Gene2", "anika")
SPOKEN = {"mg": 200, "fr": 130}
#: Questions of each intent and language.
ASKED, CALLED = 3, 4
LATER = 40
TRANSLATED = 150
LONGEST = 90
#: Said into somebody's words: to show that one listens, and to have the floor.
LISTENS = {"mg": ("eny", "ie", "eka", "eny tompoko", "eny eny", "marina"),
           "fr": ("oui", "d'accord", "oui oui", "très bien", "exactement", "ah oui")}
INTERRUPTS = {"mg": ("tsia", "andraso kely", "azafady", "tsy izany", "andraso", "mba avereno"),
              "fr": ("non", "attendez", "un instant", "pardon", "non pas ça", "arrêtez")}
#: Each of them so often, and so many longer sentences a language.
TIMES, LONGER = 2, 12
#: Turns of each kind and language; milliseconds of the pauses within dictated numbers, and within other sentences.
TURNS = {"number": 8, "hesitation": 16, "whole": 12}
DICTATED, HESITATING = (600, 1200), (400, 1200)
ANSWERS = {"mg": ("eny", "tsia", "eny tompoko", "tsia misaotra", "eka", "misaotra betsaka"),
           "fr": ("oui", "non", "oui merci", "non merci", "d'accord", "merci beaucoup")}


def distinct(count: int, draw, tries: int = 60) -> list:
    """So many different ones, or as many as there are; `draw` gives a row whose key comes first."""
    found: dict = {}
    for _ in range(count * tries):
        key, row = draw()
        found.setdefault(key, row)
        if len(found) == count:
            break
    return list(found.values())


def spoken(rng: random.Random, language: str) -> list[tuple]:
    """Voice, speed, pitch, range, gap, what is spoken, what the transcript should be."""
    def draw():
        while len(text := grammar.sample(rng, "held_out", language).text) > LONGEST:
            pass
        return text, (rng.choice(VOICES), rng.randint(120, 205), rng.randint(25, 75), rng.randint(25, 75),
                      rng.choice([0, 0, 0, 1, 2]), text, text)

    return distinct(SPOKEN[language], draw)


def dialogues(rng: random.Random) -> list[tuple]:
    """Language, intent, what was said before, question, reply."""
    rows = []
    for language in grammar.LANGUAGES:
        for intent in grammar.INTENTS:
            def draw():
                u = grammar.utterance(rng, "held_out", language, intent)
                return u.text, (language, u.intent, "-", u.text, u.reply)
            rows += distinct(ASKED, draw)
    while len([row for row in rows if row[2] != "-"]) < LATER:
        turns = mind_dialogues.dialogue(rng, "held_out", 3, 0.0).turns
        if all(t.intent in grammar.BY_NAME for t in turns):
            before = " | ".join(text for t in turns[:-1] for text in (t.heard, t.reply))
            last = turns[-1]
            rows.append((last.language, last.intent, before, last.heard, last.reply))
    rows += [(language, "foreign", "-", question, mind_dialogues.NOT_UNDERSTOOD[language])
             for question, language in grammar_foreign.two_hundred()]
    return rows


def calls(rng: random.Random) -> list[tuple]:
    """Language, question, call."""
    rows = []
    for language in grammar.LANGUAGES:
        for name in mind_tools.CALLS:
            def draw():
                u = grammar.utterance(rng, "held_out", language, grammar.BY_NAME[name])
                return u.text, (language, u.text, mind_tools.call(name, u.slots))
            rows += distinct(CALLED, draw)
    return rows


def translations(rng: random.Random, source: str) -> list[tuple]:
    """From, text, what is right: the exact one first."""
    def draw():
        text, answer, right = parallel.pair(rng, "held_out", source)
        return text, (source, text, " | ".join([answer, *sorted(right - {answer})]))
    return distinct(TRANSLATED, draw)


def interruptions(rng: random.Random) -> list[tuple]:
    """Half, kind, language, voice, speed, pitch, range, gap, text: every second row of a kind was tuned on."""
    rows = []
    for language in grammar.LANGUAGES:
        longer = [grammar.sample(rng, "held_out", language).text for _ in range(200)]
        longer = [text for text in dict.fromkeys(longer) if 20 < len(text) <= 50][:LONGER]
        for kind, texts in (("listens", LISTENS[language] * TIMES), ("interrupts", INTERRUPTS[language] * TIMES), ("interrupts", longer)):
            rows += [("tuned" if i % 2 else "measured", kind, language, rng.choice(VOICES), rng.randint(120, 190), rng.randint(30, 70),
                      rng.randint(30, 70), 0, text) for i, text in enumerate(texts)]
    return rows


def turns(rng: random.Random) -> list[tuple]:
    """Half, kind, language, voice, speed, pitch, range, gap, pauses in ms, text: every second row of a kind was tuned on."""
    rows = []

    def add(kind: str, language: str, drawn: list[list[str]], pauses: tuple[int, int]) -> None:
        for i, parts in enumerate(drawn):
            between = ",".join(str(rng.randrange(*pauses, 50)) for _ in parts[1:]) or "-"
            rows.append(("tuned" if i % 2 else "measured", kind, language, rng.choice(VOICES), rng.randint(130, 190), rng.randint(30, 70),
                         rng.randint(30, 70), 0, between, " … ".join(parts)))

    for language in grammar.LANGUAGES:
        dictated, others = [], []
        while len(dictated) < TURNS["number"]:
            u = grammar.utterance(rng, "held_out", language, grammar.BY_NAME["my_number"])
            before, figures, after = (part.strip() for part in u.text.partition(u.slots["phone"]))
            said = figures.split()
            if after or len(said) != 10:
                continue
            groups = [said[:3], said[3:5], said[5:8], said[8:]]
            dictated.append([f"{before} {' '.join(groups[0])}".strip(), *(" ".join(g) for g in groups[1:])])
        while len(others) < TURNS["hesitation"] + TURNS["whole"]:
            words = grammar.sample(rng, "held_out", language).text.split()
            if 4 <= len(words) <= 9 and words not in others:
                others.append(words)
        hesitating = [[" ".join(words[:at]), " ".join(words[at:])] for words in others[:TURNS["hesitation"]]
                      for at in [rng.randint(2, len(words) - 1)]]
        add("number", language, dictated, DICTATED)
        add("hesitation", language, hesitating, HESITATING)
        add("whole", language, [[" ".join(words)] for words in others[TURNS["hesitation"]:]], HESITATING)
        add("answer", language, [[text] for text in ANSWERS[language]], HESITATING)
    return rows


def write(path: Path, seed: int, remarks: str, rows: list[tuple]) -> None:
    """Remarks, then a line a row."""
    for row in rows:
        assert all(str(cell) and "\t" not in str(cell) and "\n" not in str(cell) for cell in row), row
    made = f"Made by models/training/make_sets.py --seed {seed}, from held-out wordings of models/training/grammar.py: no model was trained on them."
    head = [made, "Licence: AGPL-3.0-only.", *remarks.strip().split("\n")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"# {line}\n" for line in head) + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    print(f"{path}: {len(rows)} lines")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--to", type=Path, required=True)
    a = arguments.parse_args()

    def drawn(name: str) -> random.Random:
        return random.Random(f"sets-{a.seed}-{name}")

    for language in grammar.LANGUAGES:
        write(a.to / f"speech/{language}.tsv", a.seed,
              "Columns: voice variant of espeak-ng (none of training's), speed, pitch, pitch range, word gap, what is spoken, what "
              "the transcript should be.", spoken(drawn(language), language))
    write(a.to / "dialogue/mg-fr.tsv", a.seed,
          'Columns: language, intent, what was said before (the caller, Milo, the caller ..., between " | "; -: nothing), question, reply.\n'
          "The system prompt is that of the demonstration persona. The intent `foreign` is none of the office's business: the reply is "
          "that it was not understood.", dialogues(drawn("dialogue")))
    write(a.to / "dialogue/tools.tsv", a.seed,
          "Columns: language, question, call.\nThe system prompt is that of the demonstration persona with this behind it:\n"
          f"{mind_tools.TOOLS_PROMPT.strip()}", calls(drawn("tools")))
    write(a.to / "translation/grammar.tsv", a.seed,
          'Columns: from, text, what is right (between " | "; the first is what the translator was taught to say).',
          [row for source in grammar.LANGUAGES for row in translations(drawn(f"from-{source}"), source)])
    write(a.to / "interruptions/mg-fr.tsv", a.seed,
          "Columns: half (thresholds are tuned on the one, figures are of the other), kind (the caller only listens, or interrupts), language, "
          "voice variant of espeak-ng, speed, pitch, pitch range, word gap, what is said into Milo's words.", interruptions(drawn("interruptions")))
    write(a.to / "turns/mg-fr.tsv", a.seed,
          "Columns: half (thresholds are tuned on the one, figures are of the other), kind (a telephone number in groups, a sentence with a pause "
          "in it, a whole one, a short answer), language, voice variant of espeak-ng, speed, pitch, pitch range, word gap, the pauses in ms (-: none), "
          "what is said (… : a pause).", turns(drawn("turns")))


if __name__ == "__main__":
    main()
