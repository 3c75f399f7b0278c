"""The tokenizer.json of an Opus-MT checkpoint, which has none: of its source.spm, target.spm and vocab.json.

Marian cuts the source by source.spm and names the pieces by vocab.json, whose order no SentencePiece file has.  Here they are one:
vocab.json's pieces in its order with the scores of source.spm.  What only the target has is never cut out of a source: its score is
below all others.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers.convert_slow_tokenizer import import_protobuf

#: Far below the score of any piece that was learned.
NEVER = -1e4
SPECIAL = ("</s>", "<unk>", "<pad>")


def marian_tokenizer(checkpoint: Path) -> Tokenizer:
    """Reads the three files."""
    for name in ("vocab.json", "source.spm"):
        if not (checkpoint / name).is_file():
            raise SystemExit(f"{checkpoint} holds no {name}: an Opus-MT checkpoint has vocab.json, source.spm and target.spm")
    vocabulary = json.loads((checkpoint / "vocab.json").read_text())
    if sorted(vocabulary.values()) != list(range(len(vocabulary))) or "<unk>" not in vocabulary:
        raise SystemExit(f"{checkpoint / 'vocab.json'} does not number its pieces from 0 on, or lacks <unk>")
    source = import_protobuf().ModelProto()
    source.ParseFromString((checkpoint / "source.spm").read_bytes())
    if source.trainer_spec.model_type != 1:
        raise SystemExit(f"{checkpoint / 'source.spm'} is no unigram model, and no other is known of Opus-MT")
    scores = {piece.piece: piece.score for piece in source.pieces if piece.type == 1}
    ordered = sorted(vocabulary, key=vocabulary.get)
    tokenizer = Tokenizer(models.Unigram([(piece, scores.get(piece, NEVER)) for piece in ordered], unk_id=vocabulary["<unk>"],
                                         byte_fallback=False))
    charsmap = source.normalizer_spec.precompiled_charsmap
    tokenizer.normalizer = normalizers.Sequence([*([normalizers.Precompiled(charsmap)] if charsmap else []),
                                                 normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    # >>fra<< and its like name a target language; they are never cut.
    names = [piece for piece in ordered if piece in SPECIAL or piece.startswith(">>") and piece.endswith("<<")]
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in names])
    return tokenizer
