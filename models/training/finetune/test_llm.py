"""How a language model on any server that speaks OpenAI's protocol does Milo's work: its Malagasy, its refusals, its tool calls.

    python test_llm.py --url http://127.0.0.1:8080/v1 --model mistral-7b            # llama-server, vLLM, Ollama, and Milo's own /v1
    OPENAI_API_KEY=… python test_llm.py --url https://api.example.com/v1 --model NAME --count 50 --wrong 5

The questions are those of `milo eval llm`: models/evaluation/dialogue.  Four figures:
- answers to Malagasy questions that are in Malagasy, and French ones in French, by the words that tell the languages apart in Milo too
  (models/src/text/tongue.rs);
- questions of other business that are refused: the answer says that it does not understand or does not know, or names the office;
- tool calls that are valid: one call, of a tool that there is, with its fields and no others, each of its type;
- tool calls that are the right ones.
It says nothing of whether answers are right: `milo eval llm --model FILE.gguf` compares them word for word.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

from normalise import words

MODELS = Path(__file__).resolve().parents[2]
SETS = MODELS / "evaluation" / "dialogue"
TONGUE = MODELS / "src" / "text" / "tongue.rs"
#: Words of whoever refuses, in both languages.
REFUSALS = ("tsy azoko", "tsy fantatro", "tsy haiko", "miala tsiny", "tsy afaka", "tsy anjarako", "je ne sais pas", "je n'ai pas compris",
            "pas compris", "je ne peux pas", "désolé", "je ne suis pas en mesure")
TOOLS_LINE = "# Fitaovana: "


def lists() -> dict[str, set[str]]:
    """The words that tell the languages apart, out of Milo's own source."""
    text = TONGUE.read_text()
    found = {}
    for name, language in (("MALAGASY", "mg"), ("FRENCH", "fr")):
        block = re.search(rf"const {name}[^=]*=\s*\[(.*?)\];", text, re.S)
        if block is None:
            raise SystemExit(f"{TONGUE} has no list {name}: this script reads the words from there")
        found[language] = set(re.findall(r'"([^"]+)"', block[1]))
    return found


def tongue(text: str, known: dict[str, set[str]]) -> str | None:
    """The likelier language, as Milo tells it; none where nothing speaks for either."""
    points = {"mg": 0, "fr": 0}
    for word in re.findall(r"[^\W\d_]+", text.lower()):
        long = len(word.encode()) > 3
        if word in known["mg"]:
            points["mg"] += 4
        elif word in known["fr"]:
            points["fr"] += 4
        elif any(letter in "cquwxéèêëçîïûùœâ" for letter in word):
            points["fr"] += 2
        elif long and word.endswith(("a", "y", "o")):
            points["mg"] += 1
        elif long and not word.endswith(("a", "y", "o", "i")):
            points["fr"] += 1
    return None if points["mg"] == points["fr"] else max(points, key=points.get)


def rows(file: Path, columns: int) -> list[list[str]]:
    lines = [line.split("\t") for line in file.read_text().splitlines() if line.strip() and not line.startswith("# ")]
    if bad := next((line for line in lines if len(line) != columns), None):
        raise SystemExit(f"{file}: a line has {len(bad)} columns, not {columns}: {bad}")
    return lines


def tools() -> dict[str, list[str]]:
    """Tools and their fields, out of the set."""
    line = next(line for line in (SETS / "tools.tsv").read_text().splitlines() if line.startswith(TOOLS_LINE))
    found = re.findall(r"(\w+)\((.*?)\)", line[len(TOOLS_LINE):])
    return {name: [field for field in fields.split(",") if field] for name, fields in found}


class Server:
    """Whoever is asked."""

    def __init__(self, url: str, model: str, key: str | None, timeout_s: float):
        self.url, self.model, self.key, self.timeout_s = url.rstrip("/"), model, key, timeout_s
        self.times: list[float] = []

    def ask(self, system: str, question: str, offered: dict[str, list[str]] | None = None) -> dict:
        """The message of the first choice."""
        body: dict = {"model": self.model, "temperature": 0, "max_tokens": 160,
                      "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}]}
        if offered is not None:
            body["tools"] = [{"type": "function", "function": {"name": name, "parameters": {
                "type": "object", "properties": {field: {"type": "string"} for field in fields}, "required": fields}}}
                for name, fields in offered.items()]
        head = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        began = time.monotonic()
        try:
            request = urllib.request.Request(f"{self.url}/chat/completions", json.dumps(body).encode(), head)
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                said = json.load(answer)["choices"][0]["message"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{self.url} answers {error.code}: {error.read(400).decode(errors='replace')}") from error
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise SystemExit(f"{self.url} gives no answer of OpenAI's protocol: {error!r}") from error
        self.times.append(time.monotonic() - began)
        return said


def call_of(message: dict, known: dict[str, list[str]]) -> dict | None:
    """The one valid call of an answer: as OpenAI's protocol has it, or as one JSON object in the text."""
    try:
        if calls := message.get("tool_calls"):
            if len(calls) != 1:
                return None
            function = calls[0]["function"]
            call = {"tool": function["name"]} | json.loads(function["arguments"] or "{}")
        else:
            call = json.loads(message.get("content") or "")
        fields = known[call["tool"]]
    except (ValueError, KeyError, TypeError):
        return None
    return call if sorted(call) == sorted(["tool", *fields]) and all(isinstance(call[field], str) for field in fields) else None


def same(one: dict, other: dict) -> bool:
    return sorted(one) == sorted(other) and all(words(one[name]) == words(other[name]) for name in one)


class Score:
    """One line of the table."""

    def __init__(self, name: str):
        self.name, self.cases, self.wrong = name, 0, []

    def add(self, right: bool, said: str) -> None:
        self.cases += 1
        if not right:
            self.wrong.append(said)

    def line(self) -> str:
        right = self.cases - len(self.wrong)
        return f"| {self.name} | {self.cases} | {right} | {100 * right / max(self.cases, 1):.1f} % |"


def measure(server: Server, system: str, count: int | None, seed: int, shown: int) -> list[Score]:
    """Asks and prints the table."""
    known, offered, random = lists(), tools(), Random(seed)
    dialogues = [row for row in rows(SETS / "mg-fr.tsv", 5) if row[2] == "-"]

    def some(rows_: list) -> list:
        return rows_ if count is None or count >= len(rows_) else random.sample(rows_, count)

    scores = [Score("answers in Malagasy"), Score("answers in French"), Score("other business, refused"), Score("tool calls, valid"),
              Score("tool calls, right")]
    for score, language in zip(scores, ("mg", "fr")):
        for _, _, _, question, _ in some([row for row in dialogues if row[0] == language and row[1] != "foreign"]):
            text = server.ask(system, question).get("content") or ""
            score.add(tongue(text, known) == language, f"{question!r}: {text!r}")
    for _, _, _, question, _ in some([row for row in dialogues if row[1] == "foreign"]):
        text = server.ask(system, question).get("content") or ""
        scores[2].add(any(refusal in text.lower().replace("’", "'") for refusal in REFUSALS), f"{question!r}: {text!r}")
    for _, question, wanted in some(rows(SETS / "tools.tsv", 3)):
        message = server.ask(system, question, offered)
        call = call_of(message, offered)
        scores[3].add(call is not None, f"{question!r}: {message.get('tool_calls') or message.get('content')!r}")
        scores[4].add(call is not None and same(call, json.loads(wanted)), f"{question!r}: {call}, not {wanted}")
    print("| what | asked | right | share |\n|---|---:|---:|---:|")
    print("\n".join(score.line() for score in scores))
    times = sorted(server.times)
    print(f"\n{server.model} at {server.url}: {times[len(times) // 2] * 1000:.0f} ms an answer in the middle, "
          f"{times[len(times) * 95 // 100] * 1000:.0f} ms in 95 of 100")
    for score in scores:
        for wrong in score.wrong[:shown]:
            print(f"  {score.name}: {wrong}")
    return scores


class Parrot(BaseHTTPRequestHandler):
    """A server for the smoke mode: it answers Malagasy whatever it is asked, refuses nothing, and always cancels."""

    def do_POST(self) -> None:  # noqa: N802
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message: dict = {"role": "assistant", "content": "Salama tompoko, inona no azoko atao ho anao?"}
        if "tools" in asked:
            message = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "cancel", "arguments": "{}"}}]}
        body = json.dumps({"choices": [{"message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def smoke() -> None:
    """All questions put to the parrot, whose figures are known."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scores = measure(Server(f"http://127.0.0.1:{server.server_address[1]}/v1", "parrot", None, 5.0), "Milo", None, 1, 0)
        server.shutdown()
    shares = [(score.cases - len(score.wrong)) / score.cases for score in scores]
    if shares[:4] != [1.0, 0.0, 0.0, 1.0] or not 0 < shares[4] < 0.5:
        raise SystemExit(f"smoke: {shares}")
    offered = tools()
    for content in ("", "tsy azoko", '{"tool": "move"}', '{"tool": "fly", "day": "x"}', '["move"]', '{"tool": "move", "day": 3}'):
        if call_of({"content": content}, offered) is not None:
            raise SystemExit(f"smoke: {content} was taken for a call")
    print("smoke: right")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--url", help="such as http://127.0.0.1:8080/v1; its key is read from OPENAI_API_KEY")
    arguments.add_argument("--model", help="its name there")
    arguments.add_argument("--system", type=Path, help="a file with the system prompt; that of the demonstration persona unless told")
    arguments.add_argument("--count", type=int, help="so many questions of each kind, drawn")
    arguments.add_argument("--seed", type=int, default=1, help="of --count")
    arguments.add_argument("--timeout", type=float, default=60.0, help="seconds for an answer")
    arguments.add_argument("--wrong", type=int, default=0, help="show so many wrong ones of each kind")
    arguments.add_argument("--smoke", action="store_true", help="ask a parrot on this machine")
    given = arguments.parse_args()
    if given.smoke:
        return smoke()
    if given.url is None or given.model is None:
        arguments.error("name --url and --model, or --smoke")
    sys.path.append(str(MODELS / "training"))
    import grammar
    system = given.system.read_text() if given.system else grammar.SYSTEM_PROMPT
    measure(Server(given.url, given.model, os.environ.get("OPENAI_API_KEY"), given.timeout), system, given.count, given.seed, given.wrong)


if __name__ == "__main__":
    main()
