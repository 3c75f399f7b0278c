"""What training, export and evaluation of the translator share: shape and tokens of a tiny M2M100.

NLLB's form: the source is its language's token, the text, `</s>`; the decoder begins with `</s>` and the target's language token.
Ids are read from tokenizer.json by their names, as of a large one.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import M2M100Config, M2M100ForConditionalGeneration

#: FLORES names, as NLLB has them.
LANGUAGE_TOKENS = {"mg": "plt_Latn", "fr": "fra_Latn"}
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", *LANGUAGE_TOKENS.values()]
BPE_SIZE = 1600
MAX_TOKENS = 96
SHAPE = {"d_model": 160, "heads": 5, "layers": 3, "inner": 640}


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE behind the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=BPE_SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Ids:
    """Token ids that translating needs, read from the tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        self.end, self.pad = tokenizer.token_to_id("</s>"), tokenizer.token_to_id("<pad>")
        self.language = {language: tokenizer.token_to_id(token) for language, token in LANGUAGE_TOKENS.items()}


def configuration(tokenizer: Tokenizer, shape: dict | None = None, dropout: float = 0.0) -> M2M100Config:
    """2.6 million parameters."""
    ids, shape = Ids(tokenizer), shape or SHAPE
    return M2M100Config(
        vocab_size=tokenizer.get_vocab_size(), d_model=shape["d_model"], encoder_layers=shape["layers"],
        decoder_layers=shape["layers"], encoder_attention_heads=shape["heads"], decoder_attention_heads=shape["heads"],
        encoder_ffn_dim=shape["inner"], decoder_ffn_dim=shape["inner"], max_position_embeddings=128, dropout=dropout,
        attention_dropout=0.0, activation_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0, scale_embedding=True,
        pad_token_id=ids.pad, bos_token_id=tokenizer.token_to_id("<s>"), eos_token_id=ids.end, decoder_start_token_id=ids.end,
        attn_implementation="eager")


def source_ids(tokenizer: Tokenizer, ids: Ids, text: str, language: str) -> list[int]:
    return [ids.language[language], *tokenizer.encode(text).ids, ids.end]


def model_of(tokenizer: Tokenizer, shape: dict | None = None, dropout: float = 0.0) -> M2M100ForConditionalGeneration:
    """With fresh weights; `dropout` is training's alone."""
    model = M2M100ForConditionalGeneration(configuration(tokenizer, shape, dropout))
    # Scaled by the square root of the width when looked up: this gives unit vectors' size in the end.
    torch.nn.init.normal_(model.model.shared.weight, std=shape["d_model"] ** -0.5 if shape else SHAPE["d_model"] ** -0.5)
    return model
