"""A copy of espeak-ng's data with the repository's Malagasy voice compiled in.

    python voice.py /tmp/voice          # then: espeak-ng --path=/tmp/voice -v mg "Salama tompoko"

Whatever stands in models/espeak is used; `digest` says whether two folders hold the same voice.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "espeak"
FILES = ("mg", "mg_rules", "mg_list")
INSTALLED = ("/usr/lib/x86_64-linux-gnu/espeak-ng-data", "/usr/lib/aarch64-linux-gnu/espeak-ng-data", "/usr/share/espeak-ng-data",
             "/usr/lib/espeak-ng-data", "/usr/lib64/espeak-ng-data")


def library() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")


def digest() -> str:
    """Of the voice's source."""
    return hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES)).hexdigest()[:16]


def _compile(folder: Path) -> None:
    """In a process of its own: the library has one global state, and short relative paths are all it can keep."""
    os.chdir(folder)
    lib = library()
    lib.espeak_ng_InitializePath(b".")
    if lib.espeak_ng_Initialize(None):
        raise SystemExit(f"espeak-ng finds no data in {folder}")
    lib.espeak_ng_SetVoiceByName(b"mg")
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    log = ctypes.c_void_p(libc.fopen(b"mg_dict.log", b"w"))
    status = lib.espeak_ng_CompileDictionary(b"./", b"mg", log, 0, None)
    libc.fclose(log)
    if status or (folder / "espeak-ng-data/mg_dict").stat().st_size < 1000:
        raise SystemExit(f"models/espeak does not compile: {(folder / 'mg_dict.log').read_text()}")


def prepare(folder: Path) -> Path:
    """Makes (or finds) the data in `folder`, and gives it back."""
    stamp = folder / "voice"
    if stamp.exists() and stamp.read_text() == digest():
        return folder
    installed = next((Path(p) for p in INSTALLED if Path(p, "phontab").exists()), None)
    if installed is None:
        raise SystemExit("espeak-ng's data are not installed: apt-get install libespeak-ng1 espeak-ng-data")
    shutil.rmtree(folder / "espeak-ng-data", ignore_errors=True)
    shutil.copytree(installed, folder / "espeak-ng-data")
    shutil.copy(SOURCE / "mg", folder / "espeak-ng-data/lang/mg")
    for name in FILES[1:]:
        shutil.copy(SOURCE / name, folder / name)
    subprocess.run([sys.executable, __file__, "--compile", str(folder.resolve())], check=True)
    stamp.write_text(digest())
    return folder


if __name__ == "__main__":
    if sys.argv[1] == "--compile":
        _compile(Path(sys.argv[2]))
    else:
        print(prepare(Path(sys.argv[1])), digest())
