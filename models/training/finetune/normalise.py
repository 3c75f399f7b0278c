"""What counts as the same word when a transcript is judged: the rules of `milo eval` (models/src/evaluation/wer.rs), in Python.

Letters in lower case, accents joined with their letters, œ as oe and æ as ae, one kind of apostrophe and none at a word's ends,
hyphens and all other punctuation as blanks.  One rule of Milo's is missing here: it reads figures aloud, so that "15" and "quinze"
are one word; here "15" is a word of its own.  `python normalise.py` checks these rules; `milo eval stt --recordings` judges by all
of them.
"""

from __future__ import annotations

import unicodedata

APOSTROPHES = "'’ʼ‘´`ʹ"


def words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    lower = unicodedata.normalize("NFC", text).lower().replace("œ", "oe").replace("æ", "ae")
    plain = "".join("'" if letter in APOSTROPHES else letter if letter.isalnum() else " " for letter in lower)
    return [word.strip("'") for word in plain.split() if word.strip("'")]


def edits(said: list[str] | str, heard: list[str] | str) -> int:
    """How many words (of strings: letters) must be changed, left out or put in to make one row of the other."""
    before = list(range(len(heard) + 1))
    for at, word in enumerate(said):
        corner, before[0] = before[0], at + 1
        for place, other in enumerate(heard):
            changed = corner + (word != other)
            corner = before[place + 1]
            before[place + 1] = min(changed, corner + 1, before[place] + 1)
    return before[-1]


def main() -> None:
    for one, other in (("Est-ce vrai ?", "est ce vrai"), ("cœur", "coeur"), ("e\u0301te\u0301, c\u0327a", "été ça"),
                       ("« Salama, tompoko! »", "salama tompoko"), ("Amin’ny zoma.", "amin'ny zoma"), (" … - ' !", "")):
        if words(one) != words(other):
            raise SystemExit(f"{one!r} and {other!r} are not the same: {words(one)}, {words(other)}")
    for said, heard, wanted in (("aiza ny birao", "aiza birao", 1), ("aiza ny birao", "iza ny biraonareo", 2), ("a b c d", "b c d a", 2)):
        if edits(words(said), words(heard)) != wanted:
            raise SystemExit(f"{said!r} to {heard!r} is not {wanted} edits")
    print("the rules hold")


if __name__ == "__main__":
    main()
