"""How often the translator is right, on wordings it was never trained on, on the graphs that ship.

    python evaluate_translator.py --model ../demo/translator --seed 2026

Right means one of the meaning's wordings in the other language, word for word, with its politeness, letter case and commas aside; exact
means the one that is said first.  What is none of the grammar's must get a low confidence: the area under the curve says how well right
translations are told from such texts.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import numpy as np

import grammar_foreign
import parallel
from export_translator import Translator


def area(good: np.ndarray, bad: np.ndarray) -> float:
    """Share of pairs in which the good one is surer."""
    return float(np.mean((good[:, None] > bad) + 0.5 * (good[:, None] == bad))) if len(good) and len(bad) else float("nan")


def words(text: str) -> str:
    """What is compared: neither letter case nor a comma is one."""
    return text.lower().replace(",", "")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--count", type=int, default=500, help="sentences a direction")
    arguments.add_argument("--wrong", type=int, default=0, help="show so many wrong ones")
    a = arguments.parse_args()
    translator, rng = Translator(a.model), random.Random(f"evaluate-{a.seed}")
    sure: dict[str, list[float]] = {"right": [], "wrong": [], "foreign": []}
    for source, target in (("mg", "fr"), ("fr", "mg")):
        exact = equivalent = shown = 0
        began = time.process_time()
        for _ in range(a.count):
            text, answer, right = parallel.pair(rng, "held_out", source)
            said, confidence = translator.translate(text, source, target)
            exact += words(said) == words(answer)
            fine = words(said) in set(map(words, right))
            equivalent += fine
            sure["right" if fine else "wrong"].append(confidence)
            if not fine and shown < a.wrong:
                shown += 1
                print(f"    {text}\n      wanted {answer}\n      said   {said}   ({confidence:.2f})")
        spent = (time.process_time() - began) / a.count * 1000
        print(f"{source} to {target}: exact {100 * exact / a.count:.1f} %, exact or equivalent {100 * equivalent / a.count:.1f} % "
              f"of {a.count} ({spent:.0f} ms a sentence)")
        for question in grammar_foreign.questions("held_out", source):
            sure["foreign"].append(translator.translate(question, source, target)[1])
    good, bad, foreign = (np.array(sure[k]) for k in ("right", "wrong", "foreign"))
    threshold = np.quantile(good, 0.05) if len(good) else -1.0
    print(f"mean log-probability: right {good.mean() if len(good) else np.nan:.2f}, wrong {bad.mean() if len(bad) else np.nan:.2f}, "
          f"of other business {foreign.mean():.2f}")
    print(f"area under the curve of the confidence: right against wrong {area(good, bad):.3f}, "
          f"right against other business {area(good, foreign):.3f}; "
          f"at {threshold:.2f}, which 95 % of the right ones reach, {100 * (foreign < threshold).mean():.0f} % of other business is told")
    print(f"(sentences of seed {a.seed})")


if __name__ == "__main__":
    main()
