"""One command a model: from an empty folder to the files that ship, with their card.

    python build.py ears --work /tmp/milo                 # or mind, translator, turn
    python build.py ears --work /tmp/milo --smoke         # two minutes: does all of it run?  Nothing under models/demo is touched.

Killed at any moment, the same command goes on where it stopped.  --minutes are CPU minutes of the training itself.  At the end the
figures are measured on --seed, and the card and, where the model ships already, the checksums of models/manifest.toml are written.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / "demo"


@dataclass(frozen=True)
class Recipe:
    """Commands of one model; {w} its working folder, {to} where its files go, {smoke} `--smoke` or nothing."""

    make: tuple[str, ...]
    evaluate: str
    minutes: float
    checkpoint: str
    #: Options of the evaluation in smoke mode.
    brief: str


RECIPES = {
    "ears": Recipe(("speech.py --out {w} {smoke}", "train_ears.py --data {w} --out {w}/run --cpu-minutes {minutes} {smoke}",
                    "export_ears.py --checkpoint {w}/run/checkpoint.pt --out {to}"),
                   "evaluate_ears.py --model {to} --work {w} --seed {seed}", 130, "run/checkpoint.pt", "--count 8 --sounds 8"),
    "mind": Recipe(("train_mind.py --work {w} --minutes {minutes} {smoke}", "export_mind.py --work {w} --to {to}"),
                   "evaluate_mind.py {to}/mind.gguf --seed {seed}", 60, "checkpoint.pt", "--cases 5"),
    "translator": Recipe(("train_translator.py --work {w} --minutes {minutes} {smoke}", "export_translator.py --work {w} --to {to}"),
                         "evaluate_translator.py --model {to} --seed {seed}", 60, "checkpoint.pt", "--count 20"),
    "turn": Recipe(("turns.py --out {w} {smoke}", "train_turn.py --data {w} --work {w}/run --minutes {minutes} {smoke}",
                    "export_turn.py --work {w}/run --to {to}"),
                   "evaluate_turn.py --model {to} --work {w} --seed {seed}", 20, "run/checkpoint.pt", "--count 10"),
}


def run(command: str, keep: Path | None = None) -> None:
    """Runs one of the scripts beside this one; `keep` gets what it prints."""
    print(f"== {command}", flush=True)
    with subprocess.Popen([sys.executable, *command.split()], cwd=HERE, text=True, stdout=subprocess.PIPE if keep else None) as process:
        said = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            said.append(line)
    if process.returncode:
        raise SystemExit(f"{command.split()[0]} ended with {process.returncode}")
    if keep:
        keep.write_text("".join(said))


def card(name: str, to: Path, work: Path, seed: int) -> None:
    """Writes CARD.md from cards/NAME.md, and the checksums of what stands in the manifest."""
    state = torch.load(work / RECIPES[name].checkpoint, map_location="cpu", weights_only=False)
    training = f"`models/training/build.py {name}`, {state['spent'] / 60:.0f} CPU-minutes, {state.get('steps', state.get('step')):,} steps"
    if "began_with" in state:
        training += f", from the weights of the `{state['began_with']}` that shipped before"
    files = sorted(p for p in to.iterdir() if p.name != "CARD.md")
    sums = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    table = "| file | bytes | sha256 |\n|---|---|---|\n" + "\n".join(
        f"| `{p.name}` | {p.stat().st_size:,} | `{sums[p.name]}` |" for p in files)
    text = (HERE / "cards" / f"{name}.md").read_text()
    for mark, value in (("training", training), ("seed", str(seed)), ("measured", (work / "measured.txt").read_text().rstrip()),
                        ("files", table)):
        text = text.replace("{" + mark + "}", value)
    (to / "CARD.md").write_text(text)
    if to == DEMO / name:
        manifest = HERE.parent / "manifest.toml"
        said = manifest.read_text()
        for file, digest in sums.items():
            said = re.sub(rf'(path = "{name}/{re.escape(file)}"\nsha256 = ")[0-9a-f]+', rf"\g<1>{digest}", said)
        manifest.write_text(said)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("model", choices=RECIPES)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--to", type=Path, help="where the files go; models/demo/MODEL unless told")
    arguments.add_argument("--minutes", type=float, help="CPU minutes of training")
    arguments.add_argument("--seed", type=int, default=2026, help="of the published figures: one that nobody has looked at")
    arguments.add_argument("--smoke", action="store_true")
    given = arguments.parse_args()
    recipe = RECIPES[given.model]
    work = given.work.resolve() / ("smoke" if given.smoke else "") / given.model
    to = (work / "demo") if given.smoke else (given.to or DEMO / given.model).resolve()
    work.mkdir(parents=True, exist_ok=True)
    words = {"w": str(work), "to": str(to), "smoke": "--smoke" if given.smoke else "", "seed": str(given.seed),
             "minutes": str(given.minutes or recipe.minutes)}
    for command in recipe.make:
        run(command.format(**words))
    run(recipe.evaluate.format(**words) + (f" {recipe.brief}" if given.smoke else ""), work / "measured.txt")
    card(given.model, to, work, given.seed)
    print(f"{to}: {sum(p.stat().st_size for p in to.iterdir()):,} bytes, card written")


if __name__ == "__main__":
    main()
