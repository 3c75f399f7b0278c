"""What training, export and evaluation of the ears share: shape, tokens, features, decoding.

The shape is OpenAI's Whisper (Hugging Face's implementation), only smaller, and
the token list has Whisper's order and names, so that whoever reads ids from
`tokenizer.json` cannot tell it from a large one.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.audio_utils import mel_filter_bank

RATE = 16_000
HOP = 160
FFT = 400
MELS = 80
#: Encoder positions of 20 ms: the window is 10 s.
POSITIONS = 500
WINDOW = POSITIONS * 2 * HOP
LANGUAGES = ("mg", "fr")
BPE_SIZE = 512
MAX_TOKENS = 96
#: Width, heads, encoder and decoder layers, inner width.
SHAPE = {"d_model": 160, "heads": 5, "encoder_layers": 4, "decoder_layers": 2, "inner": 640}
#: What the CTC head that training needs tells apart (0 is the blank); fixed, so that new sentences change no checkpoint.
CHARACTERS = {c: i + 1 for i, c in enumerate("abcdefghijklmnopqrstuvwxyzàâçèéêëîïôùûü'- ")}


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE over `texts`, then Whisper's special tokens in Whisper's order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=BPE_SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator((f" {text}" for text in texts), trainer)
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in LANGUAGES), "<|translate|>",
               "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>", normalized=False, special=False) for i in range(POSITIONS + 1)])
    return tokenizer


class Ids:
    """Token ids that decoding needs, read from the tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        def of(token: str) -> int:
            found = tokenizer.token_to_id(token)
            if found is None:
                raise ValueError(f"the tokenizer lacks {token}")
            return found

        self.end, self.start = of("<|endoftext|>"), of("<|startoftranscript|>")
        self.language = {language: of(f"<|{language}|>") for language in LANGUAGES}
        self.transcribe, self.no_speech, self.no_timestamps = of("<|transcribe|>"), of("<|nospeech|>"), of("<|notimestamps|>")
        self.first_time = of("<|0.00|>")


def configuration(tokenizer: Tokenizer, shape: dict | None = None) -> WhisperConfig:
    """2.3 million parameters."""
    ids, shape = Ids(tokenizer), shape or SHAPE
    return WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), num_mel_bins=MELS, d_model=shape["d_model"],
        encoder_layers=shape["encoder_layers"], decoder_layers=shape["decoder_layers"], encoder_attention_heads=shape["heads"],
        decoder_attention_heads=shape["heads"], encoder_ffn_dim=shape["inner"], decoder_ffn_dim=shape["inner"],
        max_source_positions=POSITIONS, max_target_positions=MAX_TOKENS, dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, pad_token_id=ids.end, bos_token_id=ids.end, eos_token_id=ids.end,
        decoder_start_token_id=ids.start, suppress_tokens=[], begin_suppress_tokens=[],
        attn_implementation="eager")  # on a CPU 1.5 times faster than "sdpa"


def encode(model: WhisperForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
    """The encoder on any even number of mel frames (Hugging Face's own insists on the whole window)."""
    encoder = model.model.encoder
    hidden = torch.nn.functional.gelu(encoder.conv1(features))
    hidden = torch.nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        hidden = layer(hidden, None, layer_head_mask=None)[0]
    return encoder.layer_norm(hidden)


def decode(model: WhisperForConditionalGeneration, tokens: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
    """Logits of every position."""
    return model.proj_out(model.model.decoder(input_ids=tokens, encoder_hidden_states=encoded, use_cache=False)[0])


class LogMel(torch.nn.Module):
    """Whisper's features of a batch of waves in -1..1 whose length is a multiple of 320."""

    def __init__(self):
        super().__init__()
        filters = mel_filter_bank(num_frequency_bins=1 + FFT // 2, num_mel_filters=MELS, min_frequency=0.0,
                                  max_frequency=8000.0, sampling_rate=RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("filters", torch.from_numpy(filters).float().T.contiguous())
        self.register_buffer("window", torch.hann_window(FFT))

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        spectrum = torch.view_as_real(torch.stft(waves, FFT, HOP, window=self.window, return_complex=True)[..., :-1])
        power = spectrum.square().sum(-1)
        log = torch.clamp(self.filters @ power, min=1e-10).log10()
        log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0)
        return (log + 4.0) / 4.0


@torch.inference_mode()
def transcribe(model: WhisperForConditionalGeneration, features: torch.Tensor, tokenizer: Tokenizer,
               ids: Ids) -> list[tuple[str, str]]:
    """Greedy (text, language) of whole windows; the language is detected first, as Whisper does."""
    encoded = encode(model, features)
    row = decode(model, torch.full((len(features), 1), ids.start), encoded)[:, 0]
    choices = torch.tensor([ids.language[language] for language in LANGUAGES])
    language = choices[row[:, choices].argmax(-1)]
    tokens = torch.stack([torch.full_like(language, ids.start), language, torch.full_like(language, ids.transcribe),
                          torch.full_like(language, ids.no_timestamps)], 1)
    done = torch.zeros(len(features), dtype=torch.bool)
    for _ in range(MAX_TOKENS - 8):
        following = decode(model, tokens, encoded)[:, -1].argmax(-1)
        following[done] = ids.end
        done |= following == ids.end
        if done.all():
            break
        tokens = torch.cat([tokens, following[:, None]], 1)
    names = {ids.language[language]: language for language in LANGUAGES}
    texts = [tokenizer.decode([t for t in line[4:].tolist() if t < ids.end]).strip() for line in tokens]
    return list(zip(texts, (names[int(i)] for i in language)))


def load_checkpoint(path: Path) -> dict:
    """What train_ears.py saved."""
    return torch.load(path, map_location="cpu", weights_only=False)
