"""A Hugging Face checkpoint as ONNX files that Milo runs, compared with torch before anything is believed.

    python export.py whisper-small-mg /var/lib/milo/models/whisper-small-mg            # a folder on this machine
    python export.py openai/whisper-small OUT                                            # or a name on the hub, where it is reached
    python export.py mms-tts-mlg OUT --precision fp32,fp16
    python export.py facebook/mms-1b-all OUT --language mlg                              # of MMS's many languages one
    python export.py --smoke                                                             # every kind, of random tiny checkpoints

Whisper, NLLB and Marian become encoder_model and decoder_model_merged, VITS and Wav2Vec2 model.onnx; each in the wanted precisions
(`_fp16`, `_int8` behind the name), with tokenizer.json, the configurations and a manifest.toml by which Milo knows damaged files.
At the end: the greatest difference to torch and whether the greedy tokens are the same, sizes, sha256, and the lines for milo.toml.
Graphs beyond their precision's bound are refused, and OUT stays as it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from transformers import AutoTokenizer

import export_adapter
import export_attention
import export_graphs
import export_parity
import smoke_checkpoints
from marian_tokenizer import marian_tokenizer

#: How the hub's cards call licences that SPDX writes otherwise.
LICENCES = {"mit": "MIT", "apache-2.0": "Apache-2.0", "cc-by-nc-4.0": "CC-BY-NC-4.0", "cc-by-4.0": "CC-BY-4.0"}
#: What goes along as it is, where the checkpoint has it.
ALONG = ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.json",
         "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class Kind:
    """How one kind of model is exported."""

    #: `model_type` of config.json.
    types: tuple[str, ...]
    #: What optimum calls its task; nothing for those that are traced here.
    task: str | None
    parity: Callable[[Path, Path, str], export_parity.Parity]
    #: The precisions there are, and those that are made when none is named.
    precisions: tuple[str, ...]
    #: The table of milo.toml, and the name in it.
    engine: str
    setting: str = "path"


BOTH = ("fp32", "int8")
KINDS = {
    "whisper": Kind(("whisper",), "automatic-speech-recognition-with-past", export_parity.of_whisper, export_graphs.PRECISIONS, "stt"),
    "nllb": Kind(("m2m_100",), "text2text-generation-with-past", export_parity.of_translator, export_graphs.PRECISIONS, "translate"),
    "marian": Kind(("marian",), "text2text-generation-with-past", export_parity.of_translator, export_graphs.PRECISIONS, "translate"),
    # A voice speaks one language, and this kind of ears hears one and seldom says which: of French the names end in fr.
    # Convolutions, nearly all of it: int8 would leave them as they are.
    "vits": Kind(("vits",), None, export_parity.of_vits, ("fp32", "fp16"), "tts", "voices.mg"),
    "wav2vec2": Kind(("wav2vec2",), None, export_parity.of_wav2vec2, export_graphs.PRECISIONS, "stt", "mg"),
}


def kind_of(checkpoint: Path) -> str:
    """By config.json."""
    file = checkpoint / "config.json"
    if not file.is_file():
        raise SystemExit(f"{checkpoint} holds no config.json: name the folder of a Hugging Face checkpoint")
    try:
        said = json.loads(file.read_text()).get("model_type")
    except (ValueError, AttributeError) as error:
        raise SystemExit(f"{file} is no JSON object ({error})") from error
    for name, kind in KINDS.items():
        if said in kind.types:
            return name
    raise SystemExit(f"{file}: model_type {said!r} is none of {', '.join(t for k in KINDS.values() for t in k.types)}; say --kind")


def local(checkpoint: str, language: str | None) -> Path:
    """The folder of a checkpoint; a name that is no folder is fetched from the hub, of its adapters only the one of a language."""
    if Path(checkpoint).is_dir():
        return Path(checkpoint)
    if checkpoint.count("/") != 1 or checkpoint.startswith((".", "/")):
        raise SystemExit(f"{checkpoint} is no folder, and no OWNER/NAME of the hub")
    try:
        if language is not None:
            snapshot_download(checkpoint, allow_patterns=[f"adapter.{language}.safetensors"])
        return Path(snapshot_download(checkpoint, ignore_patterns=["*.msgpack", "*.h5", "*.ot", "onnx/*", "*.onnx", "adapter.*"]))
    except Exception as error:  # the hub's client has a dozen kinds
        raise SystemExit(f"{checkpoint} is no folder here, and the hub does not give it: {error}") from error


def told_language(folder: Path) -> str | None:
    """What a folder of one language says of it."""
    told = folder / "tokenizer_config.json"
    return json.loads(told.read_text()).get("target_lang") if told.is_file() else None


def licence_of(checkpoint: Path) -> str:
    """As the checkpoint's card has it in its first lines."""
    card = checkpoint / "README.md"
    said = re.search(r"^license:\s*['\"]?([\w.-]+)", card.read_text()[:4_000], re.M) if card.is_file() else None
    return LICENCES.get(said[1], said[1]) if said else "LicenseRef-of-the-checkpoint"


def graphs(kind: str, checkpoint: Path, to: Path, precisions: tuple[str, ...], word_times: bool) -> None:
    heads = export_attention.heads_of(checkpoint) if word_times else None
    if task := KINDS[kind].task:
        with tempfile.TemporaryDirectory(dir=to.parent) as work:
            export_graphs.encoder_decoder(checkpoint, task, to, precisions, Path(work), heads)
    elif kind == "vits":
        export_graphs.vits(checkpoint, to, precisions)
    else:
        export_graphs.wav2vec2(checkpoint, to, precisions)
    if heads:
        export_attention.write_heads(to, heads)
        print(f"  times of words by {len(heads)} heads of attention")


def companions(kind: str, checkpoint: Path, to: Path) -> None:
    """The files beside the graphs."""
    for name in ALONG:
        if (checkpoint / name).is_file():
            shutil.copy(checkpoint / name, to / name)
    if (checkpoint / "tokenizer.json").is_file():
        shutil.copy(checkpoint / "tokenizer.json", to / "tokenizer.json")
    elif kind == "marian":
        marian_tokenizer(checkpoint)[0].save(str(to / "tokenizer.json"), pretty=False)
    elif KINDS[kind].task:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        if not tokenizer.is_fast:
            raise SystemExit(f"{checkpoint} has no tokenizer.json and none can be made of its files")
        tokenizer.backend_tokenizer.save(str(to / "tokenizer.json"), pretty=False)


def manifest(name: str, kind: str, licence: str, to: Path) -> None:
    """What Milo compares the files with before it loads them."""
    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)
    lines = ["[[model]]", f"name = {quoted(name)}", f'engine = "{KINDS[kind].engine}"', f"licence = {quoted(licence)}",
             "demonstration = false"]
    for file in sorted(to.iterdir()):
        if file.name != "manifest.toml":
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            lines += ["", "[[model.file]]", f"path = {quoted(file.name)}", f'sha256 = "{digest}"']
            print(f"  {file.stat().st_size:13,}  {digest}  {file.name}")
    (to / "manifest.toml").write_text("\n".join(lines) + "\n")


def export(checkpoint: Path, to: Path, kind: str, precisions: tuple[str, ...], licence: str, word_times: bool = False) -> None:
    """Everything; `to` comes into being when all of it is right."""
    began, recipe = time.monotonic(), KINDS[kind]
    if to.is_dir() and any(to.iterdir()) and not (to / "manifest.toml").is_file():
        raise SystemExit(f"{to} holds other files: name an empty folder, or one that was exported into before")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        companions(kind, checkpoint, made)
        graphs(kind, checkpoint, made, precisions, word_times)
        for precision in ("fp32", *(p for p in precisions if p != "fp32")):
            parity = recipe.parity(checkpoint, made, precision)
            print(f"  {precision}: {parity}")
            if fault := parity.fault(precision):
                raise SystemExit(f"refused: {precision} {fault}")
        if "fp32" not in precisions:
            for graph in made.glob("*.onnx*"):
                if not graph.name.split(".onnx")[0].endswith(tuple(export_graphs.SUFFIX[p] for p in precisions)):
                    graph.unlink()
        manifest(to.name, kind, licence, made)
        to.mkdir(exist_ok=True)
        # A graph of an earlier export in another precision would be taken for one of this model.
        for old in to.glob("*.onnx*"):
            old.unlink()
        for file in made.iterdir():
            os.replace(file, to / file.name)
    setting = recipe.setting
    if kind == "wav2vec2" and (told := told_language(to)):
        setting = export_adapter.SETTINGS.get(told, "path")
        if told not in export_adapter.SETTINGS:
            print(f"  It hears {told!r}, which is none of Milo's languages.")
    if kind == "marian":
        told = to / "tokenizer_config.json"
        source = json.loads(told.read_text()).get("source_lang") if told.is_file() else None
        setting = "fr_mg" if source in ("fr", "fra") else "mg_fr"
        print("  A Marian translates one way: mg_fr and fr_mg are both named.")
    print(f"  {to}: {sum(f.stat().st_size for f in to.iterdir()):,} bytes after {time.monotonic() - began:.0f} s.  In milo.toml:\n\n"
          f'  [engines.{recipe.engine}]\n  {setting} = "{to.resolve()}"\n')


def smoke() -> None:
    """Each kind in each precision, and a graph of other weights, which must be refused."""
    with tempfile.TemporaryDirectory() as folder:
        for kind, recipe in KINDS.items():
            print(kind)
            checkpoint = smoke_checkpoints.make(kind, Path(folder) / kind)
            if kind_of(checkpoint) != kind:
                raise SystemExit(f"{checkpoint} was taken for another kind")
            to = Path(folder) / f"{kind}-onnx"
            export(checkpoint, to, kind, recipe.precisions, "AGPL-3.0-only")
            other = smoke_checkpoints.make(kind, Path(folder) / f"{kind}-other", seed=8)
            try:
                fault = recipe.parity(other, to, "fp32").fault("fp32")
            except SystemExit as refused:
                fault = str(refused)
            if fault is None:
                raise SystemExit("another model's graphs were taken for this one's")
            print(f"  another model's graphs are refused: {fault}")
        smoke_word_times(Path(folder))
        smoke_language(Path(folder))
    print("smoke: right")


def smoke_word_times(folder: Path) -> None:
    """A Whisper whose graphs tell the attention of the heads that it names, and one that names a head which it lacks."""
    print("whisper, with times of words")
    checkpoint, to = smoke_checkpoints.make("whisper", folder / "timed"), folder / "timed-onnx"
    named = checkpoint / "generation_config.json"
    export_attention.write_heads(checkpoint, [[1, 0], [0, 1], [1, 1]])
    export(checkpoint, to, "whisper", KINDS["whisper"].precisions, "AGPL-3.0-only", word_times=True)
    if not all(export_parity.Graphs(to, precision).tells_attention for precision in KINDS["whisper"].precisions):
        raise SystemExit("a graph does not tell what its heads attend to")
    export_attention.write_heads(checkpoint, [[0, 0], [0, 1], [1, 1]])
    if not (fault := export_parity.of_whisper(checkpoint, to, "fp32").fault("fp32")):
        raise SystemExit("the attention of other heads was taken for that of those which the checkpoint names")
    print(f"  other heads' are refused: {fault}")
    export_attention.write_heads(checkpoint, [[2, 0]])
    try:
        export_attention.heads_of(checkpoint)
    except SystemExit as refused:
        print(f"  a head that is not there is refused: {refused}")
    else:
        raise SystemExit(f"{named} names a head that is not there, and nobody saw it")


def smoke_language(folder: Path) -> None:
    """An MMS with two languages, each exported by itself, and a third, which must be refused with the names of the two."""
    checkpoint, letters = smoke_checkpoints.make("mms", folder / "mms"), {}
    for language in ("fra", "mlg"):
        print(f"wav2vec2, {language} of an MMS")
        one, to = export_adapter.of_language(checkpoint, language, folder / f"mms-{language}"), folder / f"mms-{language}-onnx"
        export(one, to, "wav2vec2", KINDS["wav2vec2"].precisions, "AGPL-3.0-only")
        letters[language] = json.loads((to / "vocab.json").read_text())[language]
        own, whole = load_file(checkpoint / f"adapter.{language}.safetensors"), load_file(one / "model.safetensors")
        if not own or not all(torch.equal(value, whole[name]) for name, value in own.items()):
            raise SystemExit(f"{one} holds another language's adapter")
        if told_language(to) != language:
            raise SystemExit(f"{to} does not say that it hears {language}")
    if letters["fra"] == letters["mlg"]:
        raise SystemExit("both languages have the same letters")
    fault = None
    try:
        fault = export_parity.of_wav2vec2(folder / "mms-fra", folder / "mms-mlg-onnx", "fp32").fault("fp32")
    except ValueError as differs:  # other letters are another number of them
        fault = str(differs)
    if fault is None:
        raise SystemExit("one language's graph was taken for the other's")
    for holds, language, says in ((checkpoint, "eng", "those that it has: fra, mlg"), (folder / "mms-fra", "mlg", "leave --language out")):
        try:
            export_adapter.of_language(holds, language, folder / "mms-none")
        except SystemExit as refused:
            if says not in str(refused):
                raise
            print(f"  refused: {refused}")
        else:
            raise SystemExit(f"{holds} was said to hear {language}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("checkpoint", nargs="?", help="a folder, or OWNER/NAME on the hub")
    arguments.add_argument("out", nargs="?", type=Path, help="the folder for Milo")
    arguments.add_argument("--kind", choices=KINDS, help="by config.json, unless told")
    arguments.add_argument("--precision", help="fp32, fp16, int8, with commas; fp32,int8 unless told, of a voice fp32. Milo takes "
                           "int8 where it is there")
    arguments.add_argument("--licence", help="SPDX expression, for the manifest; that of the checkpoint's README.md unless told")
    arguments.add_argument("--word-times", action="store_true", help="of a Whisper: its decoder tells what its alignment heads attend to, "
                           "from which Milo takes the times of words")
    arguments.add_argument("--language", help="of an MMS wav2vec2 with an adapter a language, the one that is to be heard: mlg, fra")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--smoke", action="store_true", help="export random tiny checkpoints of every kind: a minute")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    # Tracing warns of every check that a graph cannot hold; parity is what tells whether it matters.
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if given.smoke:
        return smoke()
    if given.checkpoint is None or given.out is None:
        arguments.error("name the checkpoint and the folder for Milo, or --smoke")
    checkpoint = local(given.checkpoint, given.language)
    kind = given.kind or kind_of(checkpoint)
    if given.language is not None and kind != "wav2vec2":
        arguments.error(f"--language is for a wav2vec2 with adapters, and this is {kind}")
    if given.word_times and kind != "whisper":
        arguments.error(f"--word-times is for a whisper, and this is {kind}")
    there = KINDS[kind].precisions
    precisions = tuple(given.precision.split(",")) if given.precision else tuple(p for p in BOTH if p in there)
    for precision in precisions:
        if precision not in there:
            arguments.error(f"--precision {precision}: of {kind} there are {', '.join(there)}")
    licence = given.licence or licence_of(checkpoint)
    print(f"{given.checkpoint} as {kind}, {', '.join(precisions)}, licence {licence}")
    with tempfile.TemporaryDirectory() as work:
        if given.language is not None:
            checkpoint = export_adapter.of_language(checkpoint, given.language, Path(work))
        elif kind == "wav2vec2" and (there := export_adapter.languages(checkpoint)):
            print(f"  the head that it has; --language has another of its languages: {', '.join(there)}")
        export(checkpoint, given.out, kind, precisions, licence, given.word_times)


if __name__ == "__main__":
    sys.exit(main())
