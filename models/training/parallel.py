"""The grammar's sentences in both languages: what the translator learns, and what it is measured on.

    python parallel.py          # checks that every wording is one of the grammar's

A line of CONCEPTS is one meaning: Malagasy wordings, `=`, French wordings; the first of a side is what is said, all are understood.
Which of them are held out is the grammar's own choice (held-out wordings of the intents).  Wordings and pairings that are the
project's own want a native reader, as MODELS.md and models/phrases say; the set phrases themselves (models/phrases) are a memory
that is asked before the translator, and are learned too where the repository has them.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import grammar
import spoken

CONCEPTS = """
salama tompoko | salama = bonjour | salut
manao ahoana ianao | manao ahoana ny fahasalamanao | tsara ve ianao | manao ahoana ianao milo = comment allez-vous | comment ça va | ça va | comment vous allez
salama tsara aho | salama aho = je vais bien | ça va bien merci
iza ianao | iza moa ianao = qui êtes-vous | vous êtes qui | qui êtes-vous donc
iza no miteny | iza moa no miteny = qui parle | qui est à l'appareil
inona ny anaranao | iza no anaranao | iza no anaranao moa = quel est votre nom | comment vous appelez-vous | comment vous vous appelez | vous vous appelez comment | c'est quoi votre nom
milina ve ianao = êtes-vous une machine | vous êtes une machine | est-ce que vous êtes une machine
olona ve ianao sa milina | milina ve ianao sa olona = êtes-vous une personne ou une machine
inona no azonao atao | inona avy no azonao atao = que pouvez-vous faire | qu'est-ce que vous pouvez faire | vous pouvez faire quoi
mila fanampiana aho = j'ai besoin d'aide
ampio aho = aidez-moi
afaka manampy ahy ve ianao = pouvez-vous m'aider | vous pouvez m'aider
amin'ny firy no misokatra ny birao | ora firy no misokatra ny birao | amin'ny ora firy no misokatra ny birao = à quelle heure ouvre le bureau | le bureau ouvre à quelle heure
amin'ny firy no misokatra ianareo | ora firy no misokatra ianareo | amin'ny ora firy no misokatra ianareo | ora firy ianareo no misokatra = à quelle heure ouvrez-vous | vous ouvrez à quelle heure | à quelle heure est-ce que vous ouvrez
amin'ny firy no mihidy ny birao = à quelle heure ferme le bureau | le bureau ferme à quelle heure
amin'ny firy no mihidy ianareo = à quelle heure fermez-vous | vous fermez à quelle heure
rahoviana no misokatra ny birao = quand ouvre le bureau | quand est-ce que le bureau ouvre
inona ny ora fisokafana | lazao ahy ny ora fisokafana | omeo ahy ny ora fisokafana = quels sont les horaires d'ouverture | quels sont les horaires | quels sont vos horaires | donnez-moi vos horaires
inona ny andro fisokafana | inona avy ny andro fisokafana = quels sont les jours d'ouverture | quels sont vos jours d'ouverture
andro inona no misokatra ianareo | andro inona ianareo no misokatra = quels jours ouvrez-vous | vous ouvrez quels jours
misokatra ve ianareo ny {weekday} | ny {weekday} ve ianareo misokatra | misokatra ve ianareo amin'ny {weekday} = êtes-vous ouverts le {weekday} | est-ce que vous ouvrez le {weekday} | vous ouvrez le {weekday}
misokatra ve ny birao ny {weekday} | ny {weekday} ve ny birao misokatra = est-ce que le bureau est ouvert {weekday} | le bureau est ouvert le {weekday}
ohatrinona ny {thing} | firy ariary ny {thing} = combien coûte {thing} | {thing} c'est combien | {thing} coûte combien
inona ny vidin'ny {thing} | ohatrinona ny vidin'ny {thing} | firy ny vidin'ny {thing} = quel est le prix {of_thing} | c'est quoi le prix {of_thing}
omeo ahy ny vidin'ny {thing} | lazao ahy ny vidin'ny {thing} = donnez-moi le prix {of_thing} | dites-moi le prix {of_thing}
te hahafantatra ny vidin'ny {thing} aho = je voudrais connaître le prix {of_thing}
aiza ny birao | aiza moa ny birao = où est le bureau | où se trouve le bureau
aiza ianareo | aiza moa ianareo = où êtes-vous | vous êtes où
inona ny adiresy = quelle est votre adresse
omeo ahy ny adiresy | lazao ahy ny adiresy = donnez-moi l'adresse | donnez-moi votre adresse
ahoana no fandehanana any amin'ny birao = comment aller au bureau
inona ny laharan'ny birao | firy ny laharan'ny birao = quel est le numéro du bureau | quel est le numéro de téléphone du bureau
omeo ahy ny laharan'ny birao | lazao ahy ny laharan'ny birao = donnez-moi le numéro du bureau
te hahafantatra ny laharan'ny birao aho = je voudrais le numéro du bureau
ahoana no fandoavana | ahoana no fandoavana vola = comment payer | comment puis-je payer
azoko aloa amin'ny karatra ve | amin'ny karatra ve azoko aloa = puis-je payer par carte | est-ce que je peux payer par carte | je peux payer par carte
azoko aloa amin'ny finday ve | amin'ny finday ve azoko aloa = puis-je payer par téléphone | est-ce que je peux payer par téléphone | je peux payer par téléphone
mandray karatra ve ianareo = vous prenez la carte | est-ce que vous prenez la carte
te haka fotoana aho {day} amin'ny {hour} | mila fotoana aho {day} amin'ny {hour} | mila maka fotoana aho {day} amin'ny {hour} | {day} amin'ny {hour} aho te haka fotoana = je voudrais un rendez-vous {day} à {hour} | je veux prendre rendez-vous {day} à {hour} | je voudrais prendre rendez-vous {day} à {hour}
azoko atao ve ny maka fotoana {day} amin'ny {hour} | azoko atao ve ny manao fotoana {day} amin'ny {hour} = puis-je avoir un rendez-vous {day} à {hour}
omeo fotoana aho {day} amin'ny {hour} = donnez-moi un rendez-vous {day} à {hour}
te haka fotoana aho {day} | mila fotoana aho {day} | {day} aho te haka fotoana | mila maka fotoana aho {day} = je voudrais un rendez-vous {day} | je veux prendre rendez-vous {day} | je voudrais prendre rendez-vous {day} | je veux un rendez-vous {day}
te haka fotoana aho | mila fotoana aho | mila maka fotoana aho | haka fotoana aho = je voudrais un rendez-vous | je veux prendre rendez-vous | je voudrais prendre rendez-vous | je veux un rendez-vous
{day} = {day}
amin'ny {hour} = à {hour}
te ho avy amin'ny {hour} aho | amin'ny {hour} aho te ho avy = je peux venir à {hour}
te hanafoana ny fotoanako aho | te hanafoana fotoana aho = je voudrais annuler mon rendez-vous | je veux annuler mon rendez-vous | je veux annuler
foano ny fotoanako = annulez mon rendez-vous
te hanafoana ny fotoana {day} aho | foano ny fotoana {day} = je voudrais annuler le rendez-vous {day} | annulez le rendez-vous {day}
tsy afaka ho avy aho {day} = je ne peux pas venir {day}
tsy afaka ho avy aho = je ne peux pas venir
te hiresaka amin'i {name} aho | te hiteny amin'i {name} aho | mila miresaka amin'i {name} aho = je voudrais parler à {name} | je veux parler à {name} | je voudrais parler avec {name}
azoko atao ve ny miresaka amin'i {name} = puis-je parler à {name}
ampitao amin'i {name} aho | ampitao aho amin'i {name} = passez-moi {name}
ao ve i {name} | ao ve {name} = est-ce que {name} est là | {name} est là
te hiresaka amin'olona aho = je voudrais parler à quelqu'un | je veux parler à quelqu'un | je veux parler à une personne
te hiresaka amin'ny mpiasa aho | mila miresaka amin'ny mpiasa aho = je voudrais parler à un employé | puis-je parler à un employé
tsy te hiresaka amin'ny milina aho = je ne veux pas parler à une machine
{name} no anarako | ny anarako dia {name} | i {name} no anarako = je m'appelle {name} | mon nom est {name} | mon nom c'est {name}
i {name} aho | izaho i {name} = je suis {name} | moi je suis {name}
i {name} no miantso | {name} no miantso = {name} à l'appareil | ici {name} | c'est {name} à l'appareil
ny laharako dia {phone} | ny laharako {phone} = mon numéro est le {phone} | mon numéro c'est le {phone}
soraty ny laharako {phone} = notez mon numéro {phone}
antsoy aho amin'ny {phone} | antsoy amin'ny {phone} aho = rappelez-moi au {phone} | appelez-moi au {phone}
ny kaodiko dia {digits} | ny kaodiko {digits} = mon code est {digits} | mon code c'est {digits}
ny kaody dia {digits} = le code est {digits}
inty ny kaodiko {digits} | inty ny kaody {digits} = voici mon code {digits} | voici le code {digits}
aiza ny entako | aiza moa ny entako = où est ma commande | où se trouve ma commande
tonga ve ny entako = ma commande est arrivée | est-ce que ma commande est arrivée
rahoviana no tonga ny entako = quand arrive ma commande
tsy tonga ny entako | tsy mbola tonga ny entako = je n'ai pas reçu ma commande | ma commande n'est pas arrivée
miandry ny entako aho | mbola miandry ny entako aho = j'attends ma commande
te handoa {amount} ariary aho | handoa {amount} ariary aho = je voudrais payer {amount} ariary | je veux payer {amount} ariary
te handefa {amount} ariary aho | handefa {amount} ariary aho = je veux envoyer {amount} ariary | je voudrais envoyer {amount} ariary
nandoa {amount} ariary aho = j'ai payé {amount} ariary
nandefa vola {amount} ariary aho | nandefa {amount} ariary aho = j'ai envoyé {amount} ariary
misy {amount} ariary ny volako = j'ai {amount} ariary
{number} = {number}
ny isa {number} | isa {number} = le nombre {number} | nombre {number}
avereno ny isa {number} | avereno {number} = répétez le nombre {number} | répétez {number}
avereno = répétez
avereno indray | mbola avereno = répétez encore | encore une fois
tsy henoko tsara = je n'ai pas entendu | je n'ai pas bien entendu
tsy azoko tsara = je ne comprends pas | je n'ai pas compris
eny = oui | oui oui
eny tompoko = oui monsieur | oui madame
marina izany = c'est vrai | c'est exact | c'est ça
tsia = non
tsia misaotra = non merci
diso izany = non c'est faux | c'est faux
misaotra = merci
misaotra betsaka | misaotra betsaka tompoko = merci beaucoup | merci infiniment
misaotra anao | misaotra anao betsaka = je vous remercie
miadana kokoa | mitenena miadana kokoa = parlez plus lentement | plus lentement
haingana loatra ianao = vous parlez trop vite | trop vite
mitenena mafy kokoa = parlez plus fort | plus fort
tsy mandre anao aho = je ne vous entends pas
andraso kely | andraso kely aho = attendez un instant | un instant | un petit instant
iray minitra | andraso iray minitra = une minute | attendez une minute
misy olana aho = j'ai un problème
tsy mandeha ny findaiko = mon téléphone ne marche pas
tsy mandeha ny {thing} = {thing} ne marche pas
very ny karatra = j'ai perdu la carte
veloma | veloma tompoko = au revoir | au revoir monsieur
misaotra veloma | misaotra tompoko veloma = merci au revoir | au revoir merci
mandra-pihaona = à bientôt
amin'ny firy izao | firy ora izao | amin'ny firy ora moa izao = quelle heure est-il | il est quelle heure | il est quelle heure donc
antsoy ny polisy = appelez la police
mila dokotera aho = j'ai besoin d'un médecin
marary aho = je suis malade
antsoy indray aho {day} | {day} antsoy indray aho = rappelez-moi {day} | {day} rappelez-moi
te hanova ny fotoanako aho {day} = je voudrais déplacer mon rendez-vous {day} | je veux déplacer mon rendez-vous {day}
miteny anglisy ve ianao | mahay miteny anglisy ve ianao | mahay anglisy ve ianao = parlez-vous anglais | vous parlez anglais
lafo loatra = c'est trop cher
lafo be izany | lafo be = c'est très cher
diso laharana | diso ny laharana = c'est un faux numéro
misy {thing} ve | {thing} ve misy = avez-vous {thing} | vous avez {thing}
mandefa any {town} ve ianareo = livrez-vous à {town} | vous livrez à {town}
maika aho = je suis pressé
"""
#: Around a sentence, in both languages alike.
FRAMES = (("azafady ...", "s'il vous plaît ..."), ("... azafady", "... s'il vous plaît"), ("allo ...", "allô ..."),
          ("miala tsiny ...", "excusez-moi ..."), ("salama tompoko ...", "bonjour ..."))


@dataclass(frozen=True)
class Concept:
    """Wordings by language; `held_out` are those that no training may see."""

    wordings: dict[str, tuple[str, ...]]
    held_out: dict[str, tuple[str, ...]]

    @property
    def slots(self) -> list[str]:
        return sorted({s for side in self.wordings.values() for w in side for s in re.findall(r"\{(\w+)\}", w)})


def _expanded(template: str) -> set[str]:
    found = {template}
    while any("(" in t for t in found):
        found = {" ".join((t[:m.start()] + b + t[m.end():]).split()) for t in found if (m := re.search(r"\(([^()]*)\)", t))
                 for b in m.group(1).split("|")} | {t for t in found if "(" not in t}
    return found


KNOWN = {split: {language: {e for i in grammar.INTENTS for w in getattr(getattr(i, language), split) for e in _expanded(w)}
                 for language in grammar.LANGUAGES} for split in grammar.SPLITS}


def _concept(line: str) -> Concept:
    sides = dict(zip(grammar.LANGUAGES, (tuple(w.strip() for w in side.split("|")) for side in line.split(" = "))))
    held = {language: tuple(w for w in side if w in KNOWN["held_out"][language]) for language, side in sides.items()}
    return Concept(sides, held)


_HOURS = [7, 8, 9, 10, 11, 14, 15, 16, 17, 18]


def values(rng: random.Random, names: list[str]) -> dict[str, dict[str, list[str]]]:
    """Slots by language; several forms where one value is said in several ways, the first is the one to say."""
    drawn: dict[str, dict[str, list[str]]] = {language: {} for language in grammar.LANGUAGES}
    seed = rng.random()
    for name in names:
        if name == "hour":
            hour, half = rng.choice(_HOURS), rng.random() < 0.3
            part = 0 if hour < 12 else 1 if hour < 17 else 2
            twelve = hour if hour <= 12 else hour - 12
            drawn["mg"][name] = [f"{grammar.number(twelve, 'mg')} ora{' sy sasany' if half else ''} {('maraina', 'tolakandro', 'hariva')[part]}"]
            said = f"{grammar.number(twelve, 'fr')} heures{' et demie' if half else ''} {('du matin', 'de l' + chr(39) + 'après-midi', 'du soir')[part]}"
            drawn["fr"][name] = [said, f"{grammar.number(hour, 'fr')} heures{' trente' if half else ''}"]
            continue
        for language in grammar.LANGUAGES:
            slots: dict = {}
            # The same draw in both languages: the lists have one order.
            grammar.SLOTS[name](random.Random(f"{seed}-{'thing' if name == 'of_thing' else name}"), language, slots)
            drawn[language][name] = [slots[name]]
            if name == "phone" and language == "fr":
                figures = drawn["mg"]["phone"][0].split()
                spelled = " ".join(grammar.FR_UNITS[grammar.MG_UNITS.index(w)] for w in figures)
                drawn["fr"]["phone"] = list(dict.fromkeys([spelled, slots[name]]))
    return drawn


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


ALL = [_concept(line) for line in CONCEPTS.strip().splitlines()]
TRAINED = ALL * 3 + _replies() + _phrases()
MEASURED = [c for c in ALL if any(c.held_out.values())]


def _styled(text: str, language: str, capital: bool, mark: str) -> str:
    space = " " if language == "fr" and mark in "?!" and mark else ""
    return (text[:1].upper() + text[1:] if capital else text) + space + mark


def pair(rng: random.Random, split: str, source: str) -> tuple[str, str, set[str]]:
    """(text in `source`, its translation, all that would be right)."""
    target = "fr" if source == "mg" else "mg"
    while True:
        concept = rng.choice(TRAINED if split == "train" else MEASURED)
        side = concept.wordings[source]
        choices = [w for w in side if (w in concept.held_out[source]) == (split == "held_out")]
        if choices:
            break
    # What is said first may itself be held out: then the first that is not.
    said = [w for w in concept.wordings[target] if w not in concept.held_out[target]] or list(concept.wordings[target])
    slots = values(rng, concept.slots)
    text, answer = filled(rng.choice(choices), slots[source], rng), filled(said[0], slots[target], None)
    right = {filled(w, {k: [v] for k, v in zip(slots[target], combination)}, None) for w in concept.wordings[target]
             for combination in _combinations(slots[target])}
    framed = rng.random() < 0.25 and text[:1].islower()
    front = back = ""
    if framed:
        frame = dict(zip(grammar.LANGUAGES, rng.choice(FRAMES)))
        text = frame[source].replace("...", text)
        front, back = frame[target].split("...")
    capital, mark = (rng.random() < 0.5, rng.choice(("", ".", "?", "!"))) if text[:1].islower() else (True, "")
    finish = lambda s: _styled(front + s + back, target, capital, mark)  # noqa: E731
    return _styled(text, source, capital, mark), finish(answer), {finish(r) for r in right}


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
