"""Milo's engines beside faster-whisper, whisper.cpp, llama.cpp's Python server and sherpa-onnx: the same weights, threads and cores.

    python peers.py --milo ../../target/release/milo                            # everything, as a table in Markdown
    python peers.py --milo MILO ears --shapes base,small --batches 1,8          # the transcriber: base and small
    python peers.py --milo MILO mind --streams 1,4,8                            # the language model
    python peers.py --milo MILO voice                                           # the voice

Models of random weights in the real ones' shapes are made in --models first (5 GB; nothing is downloaded).  Milo and each of the
others are then measured by turns, --turns times, in processes of their own, which are all held to --cores; the medians are told, and
Milo's ratio to the quickest of the others: above 1 Milo is quicker.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
WHAT = ("ears", "mind", "voice")
#: What Milo calls its own, and the others.
PRECISIONS = {"fp32": ("float32", "f16"), "int8": ("int8", "q8_0")}
#: Letters of instructions, of a question, and tokens of a reply.
SYSTEM, QUESTION, REPLY = 1_000, 128, 64
#: The language models; and as many letters, which are tokens here, as a sentence on the telephone has tokens.
MINDS = {"llama": "LLaMA 310 M", "mistral": "four layers of Mistral 7B"}
SENTENCE = 24
#: What a voice says.
TEXT = "Salama tompoko, tongasoa eto aminay. Misokatra amin'ny valo maraina ny birao. Misaotra betsaka."


@dataclass
class Figure:
    """What is measured, and what came of each turn."""

    name: str
    key: str
    unit: str
    digits: int
    #: A rate, of which more is better.
    is_rate: bool = False
    #: Who computes in another precision, and is told without being compared with.
    aside: tuple[str, ...] = ()
    measured: dict[str, list[float]] = field(default_factory=dict)

    def row(self) -> str:
        medians = {who: statistics.median(values) for who, values in self.measured.items()}
        ours = medians.pop("milo")
        said = "; ".join(f"{who} {value:.{self.digits}f}" for who, value in medians.items()) or "-"
        alike = [value for who, value in medians.items() if who not in self.aside]
        quickest = (max if self.is_rate else min)(alike, default=None)
        ratio = "-" if quickest is None else f"{(ours / quickest if self.is_rate else quickest / ours):.2f}"
        return f"| {self.name} | {ours:.{self.digits}f} {self.unit} | {said} | {ratio} |"


def run(command: list, cores: str) -> dict[str, float]:
    """The last line of a program is its figures."""
    done = subprocess.run(["taskset", "-c", cores, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr.strip()[-2_000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def by_turns(given: argparse.Namespace, figures: list[Figure], programs: dict[str, list], complete=lambda measured: None,
             measure=run) -> None:
    """Each program once, and again; a row of the table for each figure.  `complete` adds what follows from the figures of one turn."""
    for turn in range(given.turns):
        print(f"{figures[0].name}: turn {turn + 1} of {given.turns}", file=sys.stderr, flush=True)
        measured = {who: measure(command, given.cores) for who, command in programs.items()}
        complete(measured)
        for who, values in measured.items():
            for figure in figures:
                figure.measured.setdefault(who, []).append(values[figure.key])
    for figure in figures:
        print(figure.row(), flush=True)


def other(who: str, given: argparse.Namespace, **settings) -> list:
    """The command that measures one of the others; --threads holds for the libraries below it too."""
    threads = [f"{name}={given.threads}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")]
    settings = [f"--{name}={value}" for name, value in settings.items()]
    return ["env", *threads, sys.executable, HERE / "others.py", who, f"--threads={given.threads}", *settings]


def ears(given: argparse.Namespace) -> None:
    for shape in given.shapes:
        for precision in given.precisions:
            for batch in given.batches:
                same = {"tokens": given.tokens, "batch": batch, "rounds": given.rounds}
                path = given.models / f"whisper-{shape}"
                full = ["--full"] if precision == "fp32" else []
                compute, file = PRECISIONS[precision]
                milo = [given.milo, "bench", "ears", "--json", "--path", f"{path}-milo", "--threads", given.threads, *full]
                title = f"Whisper {shape}, {precision}, {batch} at once"
                # Its convolutions take no f32: there is no file of it in full.
                cpp = "whisper.cpp" if precision == "int8" else "whisper.cpp in f16"
                aside = ("whisper.cpp in f16",)
                by_turns(given, [
                    Figure(f"{title}: a window of 30 s, encoded", "window_s", "s", 3, aside=aside),
                    Figure(f"{title}: a token", "token_ms", "ms", 2, aside=aside)], {
                    "milo": [*milo, *(word for name, value in same.items() for word in (f"--{name}", value))],
                    "faster-whisper": other("faster-whisper", given, path=f"{path}-ct2", compute=compute, **same),
                    cpp: other("whisper.cpp", given, path=f"{path}-{file}.bin", **same)})


def mind(given: argparse.Namespace) -> None:
    def programs(shape: str, **settings) -> dict[str, list]:
        path = given.models / f"{shape}-q4_k_m.gguf"
        said = [word for name, value in settings.items() for word in (f"--{name}", value)]
        milo = [given.milo, "bench", "mind", "--json", "--path", path, "--threads", given.threads, "--rounds", given.rounds, *said]
        # Who asks the server may be on any core: what that costs is not the server's.
        return {"milo": milo, "llama-cpp-python": other("llama.cpp", given, path=path, cores=given.cores, rounds=given.rounds, **settings)}

    for streams in given.streams:
        title = f"{MINDS['llama']}, Q4_K_M, {streams} at once"
        by_turns(given, [
            Figure(f"{title}: a first token", "first_ms", "ms", 0),
            Figure(f"{title}: tokens a second of all", "tokens_per_s", "", 1, is_rate=True)],
            programs("llama", streams=streams, prompt=QUESTION, tokens=REPLY))

    def both(commands: tuple[list, list], cores: str) -> dict[str, float]:
        """One behind the other, so that what runs beside is the same for both."""
        without, behind = (run(command, cores)["first_ms"] for command in commands)
        return {"without": without, "behind": behind, "times": behind / without}

    for shape, name in MINDS.items():
        for prompt in (SENTENCE, QUESTION):
            title = f"{name}, Q4_K_M, {prompt} letters are asked: a first token"
            without, behind = (programs(shape, streams=1, system=system, prompt=prompt, tokens=4) for system in (0, SYSTEM))
            by_turns(given, [
                Figure(f"{title} without instructions", "without", "ms", 0),
                Figure(f"{title} behind {SYSTEM} tokens of instructions that are known", "behind", "ms", 0),
                Figure(f"{title}, the one by the other", "times", "", 2)],
                {who: (without[who], behind[who]) for who in without}, measure=both)


def voice(given: argparse.Namespace) -> None:
    milo = [given.milo, "bench", "voice", "--json", "--threads", given.threads, "--rounds", given.rounds, "--text", TEXT, "--path"]
    def complete(measured: dict[str, dict[str, float]]) -> None:
        # Milo puts pauses between sentences, which cost nothing: both are held to the sound that the graph gives.
        seconds = measured["sherpa-onnx"]["sound_s"]
        for values in measured.values():
            values["real_time"] = values["whole_s"] / seconds

    by_turns(given, [Figure("VITS of MMS-TTS's shape: the first sound of three sentences", "first_ms", "ms", 0),
                     Figure("VITS of MMS-TTS's shape: real-time factor", "real_time", "", 3)],
             {"milo": [*milo, given.models / "vits-milo"],
              "sherpa-onnx": other("sherpa-onnx", given, path=given.models / "vits-sherpa", text=TEXT, rounds=given.rounds)}, complete)


def main() -> None:
    def several(text: str) -> list[str]:
        return text.split(",")

    def counts(text: str) -> list[int]:
        return [int(one) for one in text.split(",") if one]

    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="*", help="ears, mind, voice; all of them unless told")
    arguments.add_argument("--milo", type=Path, required=True, help="the program, in a release build")
    arguments.add_argument("--models", type=Path, default=Path("/tmp/milo-benchmarks"), help="where the models are made, and kept")
    arguments.add_argument("--cores", default="0", help="for all that is measured, as taskset takes them")
    arguments.add_argument("--threads", type=int, default=1, help="of each program")
    arguments.add_argument("--turns", type=int, default=3, help="how often each is started and measured")
    arguments.add_argument("--rounds", type=int, default=3, help="how often each measures, once it is warm")
    arguments.add_argument("--shapes", type=several, default=["base", "small"], help="of Whisper")
    arguments.add_argument("--precisions", type=several, default=list(PRECISIONS), help="of Whisper")
    arguments.add_argument("--batches", type=counts, default=[1, 8], help="utterances at once")
    arguments.add_argument("--streams", type=counts, default=[1, 4, 8], help="replies at once; none: \"\"")
    arguments.add_argument("--tokens", type=int, default=64, help="of a transcript")
    given = arguments.parse_args()
    what = given.what or list(WHAT)
    if unknown := set(what) - set(WHAT):
        arguments.error(f"{', '.join(sorted(unknown))}: there are {', '.join(WHAT)}")
    if not given.milo.is_file():
        arguments.error(f"--milo {given.milo} is not there: `cargo build --release --bin milo`")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import weights
    weights.make(given.models, given.shapes, what)
    print("| what | Milo | others | times the quickest |\n|---|---|---|---|", flush=True)
    for measure in (ears, mind, voice):
        if measure.__name__ in what:
            measure(given)


if __name__ == "__main__":
    main()
