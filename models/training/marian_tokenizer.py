"""Writes the tokenizer.json that a Marian (Opus-MT) comes without, from its own vocab.json and source.spm.

    python models/training/marian_tokenizer.py FOLDER

Marian's numbers are those of vocab.json, for both languages; how a source is cut into pieces says source.spm, a sentencepiece
Unigram model.  Pieces that this does not have are the target's: they are written, and but for single letters never read.
"""

from __future__ import annotations

import argparse
import json
import struct
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

END, UNKNOWN, PAD = "</s>", "<unk>", "<pad>"
NEVER = -1e6  # far below any pieces that a source may be cut into
PENALTY = 10.0  # so much less likely than any piece is a letter that sentencepiece does not know
NORMAL = 1  # the kind of piece that is text


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a protocol buffer, in order: numbers, and whatever has a length as bytes."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        match key & 7:
            case 0:
                yield key >> 3, number()
            case 1 | 5 as kind:
                length = 8 if kind == 1 else 4
                yield key >> 3, message[at:at + length]
                at += length
            case 2:
                length = number()
                yield key >> 3, message[at:at + length]
                at += length
            case kind:
                raise ValueError(f"there is no wire type {kind}: this is no sentencepiece model")


def sentencepiece(file: Path) -> tuple[dict[str, float], bytes]:
    """The pieces of a sentencepiece model with their scores, and its map of characters (sentencepiece_model.proto)."""
    scores, charsmap = {}, b""
    for field, value in fields(file.read_bytes()):
        if field == 1:
            piece = dict(fields(value))
            if piece.get(3, NORMAL) == NORMAL:
                scores[piece[1].decode()] = struct.unpack("<f", piece[2])[0]
        elif field == 3:
            charsmap = dict(fields(value)).get(2, b"")
    if not scores:
        raise SystemExit(f"{file} has no pieces: it is no sentencepiece model")
    return scores, charsmap


def tokenizer_of(known: dict[str, int], scores: dict[str, float], charsmap: bytes) -> Tokenizer:
    """A tokenizer with the numbers of vocab.json."""
    if sorted(known.values()) != list(range(len(known))):
        raise SystemExit("vocab.json leaves numbers out: it is no Marian's")
    ordered = sorted(known, key=known.get)
    strange = min(scores.values()) - PENALTY
    pieces = [(token, scores.get(token, strange if len(token) == 1 else NEVER)) for token in ordered]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=known[UNKNOWN], byte_fallback=False))
    steps = [normalizers.Precompiled(charsmap)] if charsmap else []
    tokenizer.normalizer = normalizers.Sequence(steps + [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (END, UNKNOWN, PAD)])
    return tokenizer


def marian_tokenizer(folder: Path) -> tuple[Tokenizer, str]:
    """The tokenizer of the model in a folder, and a line about it."""
    for name in ("vocab.json", "source.spm"):
        if not (folder / name).is_file():
            raise SystemExit(f"{folder / name} is not there: put the model's own beside its graphs")
    known = json.loads((folder / "vocab.json").read_text())
    scores, charsmap = sentencepiece(folder / "source.spm")
    said = f"{len(known)} tokens, {sum(token in known for token in scores)} of them of the source"
    return tokenizer_of(known, scores, charsmap), said


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=Path, help="an Opus-MT model as optimum exports it")
    folder = arguments.parse_args().folder
    tokenizer, said = marian_tokenizer(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    print(folder / "tokenizer.json", said)


if __name__ == "__main__":
    main()
