"""The tools that the mind can call, where its system prompt names them: one JSON object instead of a reply.

A prompt with tools is the persona's prompt and `TOOLS_PROMPT` behind it.  Asked for something that a tool does, the mind says one
object of `GRAMMAR` (GBNF, shipped beside the weights as tools.gbnf); the next message of the caller's side is the tool's result,
an object too, and then comes the reply in the caller's language.  Without `TOOLS_PROMPT` it replies at once, as ever.
"""

from __future__ import annotations

import json
import random

import grammar

#: name -> fields, in the order in which they are said.
TOOLS = {
    "book": ("day", "hour"),
    "move": ("day",),
    "cancel": (),
    "callback": ("day",),
    "transfer": ("to",),
    "price": ("of",),
    "order": ("code",),
    "hangup": (),
}
#: Letters; no slot of the grammar is longer.
LONGEST_VALUE = 60
TOOLS_PROMPT = " Fitaovana: " + " ".join(f"{name}({','.join(fields)})" for name, fields in TOOLS.items())
SYSTEM_PROMPT = grammar.SYSTEM_PROMPT + TOOLS_PROMPT
#: intent -> tool and where its fields come from: a slot, or "=word".
CALLS = {
    "appointment": ("book", ("day", "hour")),
    "move_appointment": ("move", ("day",)),
    "cancel": ("cancel", ()),
    "callback": ("callback", ("day",)),
    "person": ("transfer", ("name",)),
    "operator": ("transfer", ("=staff",)),
    "problem": ("transfer", ("=staff",)),
    "emergency": ("transfer", ("=staff",)),
    "price": ("price", ("thing",)),
    "in_stock": ("price", ("thing",)),
    "code": ("order", ("digits",)),
    "goodbye": ("hangup", ()),
    "wrong_number": ("hangup", ()),
}


def call(intent: str, slots: dict) -> str | None:
    """What the mind must say when tools are there; None where none fits."""
    if intent not in CALLS:
        return None
    name, sources = CALLS[intent]
    values = [source[1:] if source[0] == "=" else slots[source] for source in sources]
    return json.dumps({"tool": name, **dict(zip(TOOLS[name], values))}, ensure_ascii=False)


def result(intent: str, slots: dict) -> str:
    """What the tool answers."""
    known = {"price": slots["price"]} if CALLS[intent][0] == "price" else {"ok": True}
    return json.dumps(known, ensure_ascii=False)


def valid(text: str) -> bool:
    """Whether `text` is a call of the grammar."""
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("tool") in TOOLS and tuple(said) == ("tool", *TOOLS[said["tool"]]) and all(
        isinstance(value, str) and value for value in said.values())


def gbnf() -> str:
    """The calls for llama.cpp's sampler."""
    rules = ['root ::= " "? (' + " | ".join(TOOLS) + ")"]  # every reply of the mind has a space in front
    for name, fields in TOOLS.items():
        body = "".join(f', \\"{field}\\": \\"" value "\\"' for field in fields)
        rules.append(f'{name} ::= "{{\\"tool\\": \\"{name}\\"{body}}}"')
    # A value has an end: one that went on until the reply is at its longest would be half a call.
    return "\n".join([*rules, f"value ::= [a-zàâçèéêëîïôùûü' -]{{1,{LONGEST_VALUE}}}"]) + "\n"


if __name__ == "__main__":
    rng = random.Random(1)
    for intent in CALLS:
        for language in grammar.LANGUAGES:
            u = grammar.utterance(rng, "train", language, grammar.BY_NAME[intent])
            said = call(intent, u.slots) if intent != "cancel" else call(intent, {})
            assert valid(said), said
            print(u.text, "->", said, result(intent, u.slots))
    print(gbnf())
