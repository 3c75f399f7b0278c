"""The one grammar of the demonstration models.

Ears (tiny Whisper), mind (tiny LLaMA) and the recordings of the scenario tests
all draw from here, so that whatever the mind can answer is something the ears
have learned to write.  Standard library only; everything is a function of the
`random.Random` that the caller gives.

    >>> import random
    >>> sample(random.Random(1), "train").text

Normal form of a caller's words (what the ears write, what the mind reads):
lower case, numbers as words, no punctuation but the apostrophe and the hyphen
inside words.  Replies are proper sentences with punctuation, numbers as words.

Wordings are templates.  ``(a|b|)`` chooses one branch, ``{slot}`` is filled
from SLOTS.  Each intent has wordings for training and wordings HELD OUT, which
no model may be trained on: they measure understanding of the unheard.  Every
word of a held-out wording occurs in some training wording (checked by
``python grammar.py``).

Malagasy numbers follow the small-part-first rules; sources: tantely.org
lesson 3, "A Concise Grammar of the Malagasy Language" (Numerals), CLDR for the
names of days and months.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, replace

from grammar_more import ADDED, NEW_INTENTS
from grammar_wordings import FRAMES, INTENTS as OFFICE, Intent, Wordings

LANGUAGES = ("mg", "fr")
#: Share of Malagasy when `sample` is not told the language.
MALAGASY_SHARE = 0.6

#: Goes into training of the mind and, byte for byte, into the demo persona.
SYSTEM_PROMPT = (
    "Ianao dia i Milo, mpandray antso ao amin'ny birao eto Antananarivo. "
    "Valio fohy sy mazava, amin'ny fiteny ampiasain'ny mpiantso."
)
#: Ends a reply after which the agent hangs up.
HANGUP = "[hangup]"


# ---------------------------------------------------------------- numbers

MG_UNITS = ["aotra", "iray", "roa", "telo", "efatra", "dimy", "enina", "fito", "valo", "sivy"]
MG_TENS = ["", "folo", "roapolo", "telopolo", "efapolo", "dimampolo", "enimpolo", "fitopolo", "valopolo", "sivifolo"]
MG_HUNDREDS = ["", "zato", "roanjato", "telonjato", "efajato", "dimanjato", "eninjato", "fitonjato", "valonjato",
               "sivinjato"]


def malagasy_number(n: int) -> str:
    """0 <= n < 1,000,000 in words, the small part first.

    >>> malagasy_number(2765)
    'dimy amby enimpolo sy fitonjato sy roa arivo'
    """
    if not 0 <= n < 1_000_000:
        raise ValueError(f"{n} is outside 0..999,999")
    if n == 0:
        return MG_UNITS[0]
    parts = []
    below_hundred, hundreds = n % 100, n // 100 % 10
    tens, unit = divmod(below_hundred, 10)
    small = ""
    if tens == 0:
        # 1 joins to "zato" as iraika (101), to every other step as iray (301).
        small = "iraika" if unit == 1 and hundreds == 1 else (MG_UNITS[unit] if unit else "")
    elif unit == 0:
        small = MG_TENS[tens]
    else:
        one = "iraika" if unit == 1 else MG_UNITS[unit]
        small = f"{one} ambin'ny folo" if tens == 1 else f"{one} amby {MG_TENS[tens]}"
    if hundreds == 1 and small:
        parts.append(f"{small} amby zato")
    else:
        parts += [p for p in (small, MG_HUNDREDS[hundreds]) if p]
    thousands, ten_thousands, hundred_thousands = n // 1000 % 10, n // 10_000 % 10, n // 100_000
    if thousands:
        parts.append("arivo" if thousands == 1 else f"{MG_UNITS[thousands]} arivo")
    if ten_thousands:
        parts.append(f"{MG_UNITS[ten_thousands]} alina")
    if hundred_thousands:
        parts.append(f"{MG_UNITS[hundred_thousands]} hetsy")
    return " sy ".join(parts)


FR_UNITS = ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
            "treize", "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf"]
FR_TENS = ["", "", "vingt", "trente", "quarante", "cinquante", "soixante"]


def _french_below_hundred(n: int, final: bool) -> str:
    if n < 20:
        return FR_UNITS[n]
    if n < 70:
        tens, unit = divmod(n, 10)
        if unit == 0:
            return FR_TENS[tens]
        return f"{FR_TENS[tens]} et un" if unit == 1 else f"{FR_TENS[tens]}-{FR_UNITS[unit]}"
    if n < 80:
        return "soixante et onze" if n == 71 else f"soixante-{FR_UNITS[n - 60]}"
    if n == 80:
        return "quatre-vingts" if final else "quatre-vingt"
    return f"quatre-vingt-{FR_UNITS[n - 80]}"


def _french_below_thousand(n: int, final: bool) -> str:
    hundreds, rest = divmod(n, 100)
    words = []
    if hundreds:
        words.append("cent" if hundreds == 1 else f"{FR_UNITS[hundreds]} cent" + ("s" if rest == 0 and final else ""))
    if rest or not hundreds:
        words.append(_french_below_hundred(rest, final))
    return " ".join(words)


def french_number(n: int) -> str:
    """0 <= n < 1,000,000 in words.

    >>> french_number(81_280)
    'quatre-vingt-un mille deux cent quatre-vingts'
    """
    if not 0 <= n < 1_000_000:
        raise ValueError(f"{n} is outside 0..999,999")
    thousands, rest = divmod(n, 1000)
    words = []
    if thousands:
        words.append("mille" if thousands == 1 else f"{_french_below_thousand(thousands, False)} mille")
    if rest or not thousands:
        words.append(_french_below_thousand(rest, True))
    return " ".join(words)


def number(n: int, language: str) -> str:
    """The words of `n` in "mg" or "fr"."""
    return malagasy_number(n) if language == "mg" else french_number(n)


# ------------------------------------------------------------------ slots

DAYS = {
    "mg": ["alatsinainy", "talata", "alarobia", "alakamisy", "zoma", "asabotsy", "alahady"],
    "fr": ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
}
MONTHS = {
    "mg": ["janoary", "febroary", "martsa", "aprily", "mey", "jona", "jolay", "aogositra", "septambra", "oktobra",
           "novambra", "desambra"],
    "fr": ["janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre"],
}
TOWNS = ["antsirabe", "toamasina", "mahajanga", "fianarantsoa", "toliara", "antsiranana", "morondava", "ambositra",
         "moramanga", "antananarivo"]
NAMES = ["rakoto", "rabe", "rasoa", "randria", "ravao", "hery", "lala", "fara", "tiana", "mamy", "solo", "naivo",
         "bakoly", "haja", "ando", "nirina", "tahina", "miora", "voahangy", "jean", "marie", "paul",
         "rivo", "noro", "hanta", "fanja", "toky", "sitraka", "lova", "mialy", "aina", "tojo", "njaka", "tsiory", "rina",
         "rajaona", "razafy", "ranaivo"]
#: Things that are sold, and what they cost in ariary.
PRICES = [
    ("boky", "le livre", 5_000),
    ("karatra", "la carte", 2_000),
    ("tapakila", "le billet", 10_000),
    ("finday", "le téléphone", 250_000),
    ("kafe", "le café", 1_500),
    ("solosaina", "l'ordinateur", 900_000),
    ("vary", "le riz", 3_000),
    ("mofo", "le pain", 600),
]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _day(rng: random.Random, language: str, slots: dict) -> None:
    """`day` as it is said and copied, with its little word in front ("ny talata", "rahampitso")."""
    roll = rng.random()
    if roll < 0.62:
        day = rng.choice(DAYS[language])
        slots["day"] = f"ny {day}" if language == "mg" else day
    elif roll < 0.76:
        slots["day"] = "rahampitso" if language == "mg" else "demain"
    else:
        month = rng.choice(MONTHS[language])
        n = rng.randint(1, 28)
        if language == "mg":
            slots["day"] = f"ny {'voalohany' if n == 1 else malagasy_number(n)} {month}"
        else:
            slots["day"] = f"le {'premier' if n == 1 else french_number(n)} {month}"


def _weekday(rng: random.Random, language: str, slots: dict) -> None:
    slots["weekday"] = rng.choice(DAYS[language])


def _hour(rng: random.Random, language: str, slots: dict) -> None:
    hour = rng.choice([7, 8, 9, 10, 11, 14, 15, 16, 17, 18])
    part = "maraina" if hour < 12 else ("tolakandro" if hour < 17 else "hariva")
    if language == "mg":
        half = rng.choice(["", "", " sy sasany"])
        slots["hour"] = f"{MG_UNITS[hour % 12] if hour % 12 < 10 else number(hour, 'mg')} ora{half} {part}"
    else:
        fr_part = {"maraina": "du matin", "tolakandro": "de l'après-midi", "hariva": "du soir"}[part]
        if rng.random() < 0.5:
            slots["hour"] = f"{french_number(hour)} heures{rng.choice(['', '', ' trente', ' quinze'])}"
        else:
            slots["hour"] = f"{french_number(hour if hour < 12 else hour - 12)} heures{rng.choice(['', ' et demie'])} {fr_part}"


def _name(rng: random.Random, language: str, slots: dict) -> None:
    slots["name"] = rng.choice(NAMES)


def _thing(rng: random.Random, language: str, slots: dict) -> None:
    malagasy, french, price = rng.choice(PRICES)
    slots["thing"] = malagasy if language == "mg" else french
    slots["of_thing"] = malagasy if language == "mg" else french.replace("le ", "du ", 1) if french.startswith(
        "le ") else f"de {french}"
    slots["price"] = number(price, language)


def _any_number(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.2:
        return rng.randint(0, 20)
    if kind < 0.45:
        return rng.randint(21, 99)
    if kind < 0.65:
        return rng.randint(100, 999)
    if kind < 0.8:
        return rng.randint(1, 9) * rng.choice([1_000, 10_000, 100_000])
    if kind < 0.92:
        return rng.randint(10, 99) * rng.choice([100, 1_000, 10_000])
    return rng.randint(1_000, 999_999)


def _number(rng: random.Random, language: str, slots: dict) -> None:
    slots["number"] = number(_any_number(rng), language)


def _amount(rng: random.Random, language: str, slots: dict) -> None:
    n = rng.choice([rng.randint(1, 99) * 100, rng.randint(1, 99) * 1_000, rng.randint(1, 99) * 10_000,
                    rng.randint(1, 9) * 100_000, rng.randint(101, 999_999)])
    slots["amount"] = number(n, language)


def _digits(rng: random.Random, language: str, slots: dict) -> None:
    units = MG_UNITS if language == "mg" else FR_UNITS
    slots["digits"] = " ".join(units[rng.randint(0, 9)] for _ in range(rng.randint(3, 6)))


def _phone(rng: random.Random, language: str, slots: dict) -> None:
    """Ten figures one by one; in French often in the groups people dictate (034 12 345 67)."""
    units = MG_UNITS if language == "mg" else FR_UNITS
    numbers = [0, 3, rng.choice([2, 3, 4, 8])] + [rng.randint(0, 9) for _ in range(7)]
    slots["phone"] = " ".join(units[d] for d in numbers)
    if language == "fr" and rng.random() < 0.4:
        said = "".join(map(str, numbers))
        groups = []
        for figures in (said[:3], said[3:5], said[5:8], said[8:]):
            zeros = len(figures) - len(figures.lstrip("0"))
            groups += ["zéro"] * zeros + ([french_number(int(figures))] if figures.lstrip("0") else [])
        slots["phone"] = " ".join(groups)


def _town(rng: random.Random, language: str, slots: dict) -> None:
    slots["town"] = rng.choice(TOWNS)


SLOTS = {"day": _day, "weekday": _weekday, "hour": _hour, "name": _name, "thing": _thing, "of_thing": _thing,
         "number": _number, "amount": _amount, "digits": _digits, "phone": _phone, "town": _town}


# ---------------------------------------------------------------- intents

@dataclass(frozen=True)
class Utterance:
    """One thing said by a caller, and the right reply."""

    text: str
    language: str
    intent: str
    slots: dict = field(hash=False)
    reply: str
    reply_language: str


def _with_added(intent: Intent) -> Intent:
    added = ADDED.get(intent.name, {})
    return replace(intent, **{language: replace(getattr(intent, language), train=getattr(intent, language).train + wordings)
                              for language, wordings in added.items()})


INTENTS = tuple(map(_with_added, OFFICE)) + NEW_INTENTS
BY_NAME = {intent.name: intent for intent in INTENTS}
SPLITS = ("train", "held_out")

_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")


def _fill(template: str, rng: random.Random, language: str, slots: dict) -> str:
    """Chooses branches, draws the slots the template names, and joins the words."""
    while "(" in template:
        template = _CHOICE.sub(lambda m: rng.choice(m.group(1).split("|")), template, count=1)
    for slot in _SLOT.findall(template):
        if slot not in slots:
            SLOTS[slot](rng, language, slots)
    return " ".join(_SLOT.sub(lambda m: slots[m.group(1)], template).split())


def _reply(intent: str, wordings: Wordings, language: str, slots: dict) -> str:
    values = dict(slots)
    for proper in ("name", "town"):
        if proper in values:
            values[proper] = values[proper].capitalize()
    template = wordings.reply
    if intent == "open_on_day":
        day = values["weekday"]
        if day in ("alahady", "dimanche"):
            template = "Tsia, mihidy ny birao ny {weekday}." if language == "mg" else "Non, le bureau est fermé le {weekday}."
    return _capital(_SLOT.sub(lambda m: values[m.group(1)], template))


def utterance(rng: random.Random, split: str, language: str, intent: Intent) -> Utterance:
    """Draws a wording of `intent` from `split` ("train" or "held_out")."""
    wordings = getattr(intent, language)
    slots: dict = {}
    text = _fill(rng.choice(getattr(wordings, split)), rng, language, slots)
    if wordings.framed and rng.random() < 0.25:
        text = rng.choice(FRAMES[language]).replace("...", text)
    return Utterance(text, language, intent.name, slots, _reply(intent.name, wordings, language, slots),
                     wordings.reply_language or language)


def sample(rng: random.Random, split: str, language: str | None = None) -> Utterance:
    """Draws a language (unless told), an intent by weight, a wording and its slots."""
    if split not in SPLITS:
        raise ValueError(f"split is one of {SPLITS}, not {split!r}")
    if language is None:
        language = "mg" if rng.random() < MALAGASY_SHARE else "fr"
    intent = rng.choices(INTENTS, weights=[i.weight for i in INTENTS])[0]
    return utterance(rng, split, language, intent)


def vocabulary(language: str, split: str = "train") -> list[str]:
    """Every word that `split` can say in `language`, sorted."""
    words: set[str] = set()
    for intent in INTENTS:
        for template in getattr(getattr(intent, language), split):
            # A slot may stand inside a word ("vidin'ny {thing}" does not, "l'{thing}" would): drop the slot alone.
            words.update(re.sub(r"[()|]", " ", _SLOT.sub(" ", template)).split())
    for frame in FRAMES[language]:
        words.update(frame.replace("...", " ").split())
    words.update(w for n in range(1000) for w in number(n, language).split())
    words.update(w for n in range(1000, 1_000_000, 997) for w in number(n, language).split())
    words.update(DAYS[language], MONTHS[language], NAMES, TOWNS)
    rng = random.Random(0)
    for slot in ("day", "hour", "thing", "of_thing"):
        for _ in range(400):
            slots: dict = {}
            SLOTS[slot](rng, language, slots)
            words.update(slots[slot].split())
    return sorted(words)


def _check() -> None:
    examples = {15: "dimy ambin'ny folo", 78: "valo amby fitopolo", 101: "iraika amby zato",
                132: "roa amby telopolo amby zato", 203: "telo sy roanjato", 301: "iray sy telonjato",
                1001: "iray sy arivo", 1998: "valo amby sivifolo sy sivinjato sy arivo",
                25_000: "dimy arivo sy roa alina",
                123_456: "enina amby dimampolo sy efajato sy telo arivo sy roa alina sy iray hetsy",
                150_301: "iray sy telonjato sy dimy alina sy iray hetsy"}
    for n, words in examples.items():
        assert malagasy_number(n) == words, (n, malagasy_number(n))
    for n, words in {71: "soixante et onze", 80: "quatre-vingts", 99: "quatre-vingt-dix-neuf", 200: "deux cents",
                     1234: "mille deux cent trente-quatre"}.items():
        assert french_number(n) == words, (n, french_number(n))
    for language in LANGUAGES:
        train = set(vocabulary(language))
        unheard = set(vocabulary(language, "held_out")) - train
        assert not unheard, f"{language}: held-out words that no training wording has: {sorted(unheard)}"
        for intent in INTENTS:
            wordings = getattr(intent, language)
            assert not set(wordings.train) & set(wordings.held_out), intent.name
        print(language, len(train), "words")
    seen: dict = {}
    rng = random.Random(1)
    for _ in range(30_000):
        for split in SPLITS:
            u = sample(rng, split)
            assert re.fullmatch(r"[a-zàâçèéêëîïôùûü'\- ]+", u.text), u
            assert "{" not in u.reply, u
            before = seen.setdefault((split, u.language, u.text), u)
            assert before.intent == u.intent, (before, u)
    trained = {(l, t) for s, l, t in seen if s == "train"}
    leaked = {t for s, l, t in seen if s == "held_out" and (l, t) in trained}
    assert not leaked, f"held-out sentences that training can say: {sorted(leaked)[:20]}"
    print(len(INTENTS), "intents,", len(seen), "different sentences drawn")


if __name__ == "__main__":
    _check()
