"""Tiny checkpoints with random weights, in the files of the large ones: what the smoke modes export and fine-tune.

    python smoke_checkpoints.py whisper /tmp/whisper       # or nllb, marian, vits, wav2vec2, mms

They answer nonsense.  Only their shape and their files are those of the real ones, and no download is needed to make them.
"""

from __future__ import annotations

import argparse
import json
import string
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (GenerationConfig, M2M100Config, M2M100ForConditionalGeneration, MarianConfig, MarianMTModel,
                          PreTrainedTokenizerFast, VitsConfig, VitsModel, VitsTokenizer, Wav2Vec2Config, Wav2Vec2CTCTokenizer,
                          Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, WhisperConfig, WhisperFeatureExtractor,
                          WhisperForConditionalGeneration, WhisperTokenizerFast)

import ears_model
import translator_model

SENTENCES = ["salama tompoko", "misaotra betsaka", "aiza ny birao", "bonjour monsieur", "je voudrais un rendez-vous",
             "ny ora fisokafana", "amin'ny firy ianareo no misokatra"]
#: Whisper's window in seconds; the real one's is 30.
WINDOW_S = 4
LETTERS = string.ascii_lowercase + "'àâéèêîôû-"


def whisper(folder: Path) -> None:
    """A multilingual Whisper with Whisper's special tokens."""
    tokens = ears_model.train_tokenizer(SENTENCES)
    ids = ears_model.Ids(tokens)
    config = WhisperConfig(
        vocab_size=tokens.get_vocab_size(), num_mel_bins=80, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=WINDOW_S * 50, max_target_positions=64,
        dropout=0.0, pad_token_id=ids.end, bos_token_id=ids.end, eos_token_id=ids.end, decoder_start_token_id=ids.start,
        suppress_tokens=[], begin_suppress_tokens=[])
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=ids.start, eos_token_id=ids.end, pad_token_id=ids.end, bos_token_id=ids.end, max_length=64,
        no_timestamps_token_id=ids.no_timestamps, is_multilingual=True, suppress_tokens=[], begin_suppress_tokens=[],
        lang_to_id={f"<|{name}|>": id_ for name, id_ in ids.language.items()},
        task_to_id={name: tokens.token_to_id(f"<|{name}|>") for name in ("transcribe", "translate")})
    end = "<|endoftext|>"
    WhisperTokenizerFast(tokenizer_object=tokens, unk_token=end, bos_token=end, eos_token=end, pad_token=end).save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=WINDOW_S).save_pretrained(folder)
    model.save_pretrained(folder)


def nllb(folder: Path) -> None:
    """NLLB's M2M100 with its languages' tokens."""
    tokens = translator_model.train_tokenizer(SENTENCES)
    ids = translator_model.Ids(tokens)
    config = M2M100Config(
        vocab_size=tokens.get_vocab_size(), d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64, scale_embedding=True,
        pad_token_id=ids.pad, bos_token_id=tokens.token_to_id("<s>"), eos_token_id=ids.end, decoder_start_token_id=ids.end)
    PreTrainedTokenizerFast(tokenizer_object=tokens, unk_token="<unk>", pad_token="<pad>", eos_token="</s>",
                            bos_token="<s>").save_pretrained(folder)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)


def marian(folder: Path) -> None:
    """Opus-MT's Marian: two SentencePiece files and one vocab.json."""
    from transformers.utils import sentencepiece_model_pb2_new as proto
    folder.mkdir(parents=True, exist_ok=True)
    pieces = ["</s>", "<unk>", *("▁" + word for text in SENTENCES for word in text.split()), "▁", *LETTERS]
    pieces = list(dict.fromkeys(pieces))
    for name in ("source.spm", "target.spm"):
        model = proto.ModelProto()
        for place, piece in enumerate(pieces):
            kind = proto.ModelProto.SentencePiece.Type
            model.pieces.add(piece=piece, score=-float(place), type=kind.UNKNOWN if piece == "<unk>" else
                             kind.CONTROL if piece == "</s>" else kind.NORMAL)
        model.trainer_spec.model_type = proto.TrainerSpec.ModelType.UNIGRAM
        (folder / name).write_bytes(model.SerializeToString())
    (folder / "vocab.json").write_text(json.dumps({piece: place for place, piece in enumerate([*pieces, "<pad>"])}, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps({"source_lang": "mg", "target_lang": "fr",
                                                              "tokenizer_class": "MarianTokenizer"}))
    config = MarianConfig(
        vocab_size=len(pieces) + 1, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64, pad_token_id=len(pieces), eos_token_id=0,
        decoder_start_token_id=len(pieces), forced_eos_token_id=0)
    model = MarianMTModel(config)
    model.generation_config.bad_words_ids = [[len(pieces)]]
    model.save_pretrained(folder)


def vits(folder: Path) -> None:
    """MMS-TTS's VITS over characters."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {letter: place for place, letter in enumerate(["|", *LETTERS, " ", "<unk>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    VitsTokenizer(folder / "vocab.json", pad_token="|", unk_token="<unk>", language="mlg", phonemize=False, is_uroman=False,
                  add_blank=True, normalize=True).save_pretrained(folder)
    config = VitsConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=64, flow_size=32,
        spectrogram_bins=513, upsample_initial_channel=64, upsample_rates=[8, 8, 2, 2], upsample_kernel_sizes=[16, 16, 4, 4],
        resblock_kernel_sizes=[3, 5], resblock_dilation_sizes=[[1, 3], [1, 3]], prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2, posterior_encoder_num_wavenet_layers=3, duration_predictor_num_flows=2,
        sampling_rate=16_000)
    VitsModel(config).save_pretrained(folder)


def wav2vec2(folder: Path) -> None:
    """Wav2Vec2 with a CTC head over letters."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {letter: place for place, letter in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    Wav2Vec2CTCTokenizer(folder / "vocab.json").save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True).save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, do_stable_layer_norm=True,
        feat_extract_norm="layer", pad_token_id=0)
    Wav2Vec2ForCTC(config).save_pretrained(folder)


def mms(folder: Path) -> None:
    """MMS's Wav2Vec2, with an adapter, a head and letters for each of two languages."""
    folder.mkdir(parents=True, exist_ok=True)
    special = ["<pad>", "<s>", "</s>", "<unk>", "|"]
    letters = {"fra": string.ascii_lowercase + "'àâéèêîôû-", "mlg": "abdefghijklmnoprstvyzàô'-"}
    vocabulary = {language: {letter: place for place, letter in enumerate([*special, *own])} for language, own in letters.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Wav2Vec2CTCTokenizer", "target_lang": "fra"}))
    Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True).save_pretrained(folder)
    for language, own in vocabulary.items():
        config = Wav2Vec2Config(
            vocab_size=len(own), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=(32,) * 7,
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, do_stable_layer_norm=True, feat_extract_norm="layer",
            adapter_attn_dim=8, pad_token_id=0)
        model = Wav2Vec2ForCTC(config)
        save_file({name: value.contiguous() for name, value in model._get_adapters().items()}, folder / f"adapter.{language}.safetensors",
                  metadata={"format": "pt"})
    model.save_pretrained(folder)


KINDS = {"whisper": whisper, "nllb": nllb, "marian": marian, "vits": vits, "wav2vec2": wav2vec2, "mms": mms}


def make(kind: str, folder: Path, seed: int = 7) -> Path:
    """Writes one and returns its folder."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    KINDS[kind](folder)
    return folder


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("kind", choices=KINDS)
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    print(f"{make(given.kind, given.folder)}: a {given.kind} with random weights")


if __name__ == "__main__":
    main()
