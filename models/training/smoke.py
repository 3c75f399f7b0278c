"""Runs the smoke mode of every script that works on other people's models, and prints one line each: a minute or two of one core.

    python smoke.py                       # all of them
    python smoke.py export evaluate       # some, by their names

Nothing is downloaded: checkpoints are tiny and random, recordings are made up.  What is wrong is shown, and the exit status is 1.
(The demonstration models' own: build.py MODEL --smoke.)
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = {
    "export": "export.py",
    "prepare_common_voice": "finetune/prepare_common_voice.py",
    "prepare_recordings": "finetune/prepare_recordings.py",
    "finetune_whisper": "finetune/finetune_whisper.py",
    "evaluate": "finetune/evaluate.py",
    "prepare_voice": "finetune/prepare_voice.py",
    "finetune_vits": "finetune/finetune_vits.py",
    "test_llm": "finetune/test_llm.py",
}
#: A script that takes longer than this hangs.
LONGEST_S = 1800


def spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def smoke(name: str) -> bool:
    """Whether it went well."""
    began, before = time.monotonic(), spent()
    command = [sys.executable, str(HERE / SCRIPTS[name]), "--smoke"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, env=os.environ | {"OMP_NUM_THREADS": "1"})
        right, said = done.returncode == 0 and done.stdout.rstrip().endswith("smoke: right"), done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        right, said = False, f"took more than {LONGEST_S} s"
    print(f"{name:22} {'right' if right else 'WRONG'}  {spent() - before:5.1f} CPU-seconds, {time.monotonic() - began:5.1f} s", flush=True)
    if not right:
        print("\n".join(f"    {line}" for line in said.splitlines()[-20:]), flush=True)
    return right


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("scripts", nargs="*", help=f"of {', '.join(SCRIPTS)}; all unless told")
    given = arguments.parse_args()
    if unknown := [name for name in given.scripts if name not in SCRIPTS]:
        arguments.error(f"{unknown[0]} is none of {', '.join(SCRIPTS)}")
    if not all([smoke(name) for name in given.scripts or SCRIPTS]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
