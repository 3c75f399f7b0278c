"""A Whisper of transformers, listening as Milo's does: greedy, behind the language's tokens, no time stamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from transformers import AutoFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast

from clips import RATE


class Whisper:
    """Model, features and tokens of one checkpoint."""

    def __init__(self, checkpoint: Path | str, device: str):
        self.model = WhisperForConditionalGeneration.from_pretrained(checkpoint, attn_implementation="sdpa").float().to(device)
        self.extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
        self.tokenizer = WhisperTokenizerFast.from_pretrained(checkpoint)
        self.device, self.window = device, self.model.config.max_source_positions * 320
        names = ("<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>", "<|mg|>", "<|fr|>")
        ids = dict(zip(names, self.tokenizer.convert_tokens_to_ids(list(names))))
        unknown = [name for name, id_ in ids.items() if id_ is None or self.tokenizer.convert_ids_to_tokens(id_) != name]
        if unknown:
            raise SystemExit(f"the tokenizer of {checkpoint} lacks {', '.join(unknown)}: this is no multilingual Whisper")
        self.end, self.ids = ids["<|endoftext|>"], ids

    def prompt(self, language: str) -> list[int]:
        return [self.ids[name] for name in ("<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>")]

    def labels(self, text: str, language: str) -> list[int]:
        """The whole line that the decoder learns: prompt, text, end."""
        room = self.model.config.max_target_positions
        words = self.tokenizer(" " + text, add_special_tokens=False).input_ids
        return [*self.prompt(language), *words, self.end][:room]

    def features(self, waves: list[np.ndarray]) -> torch.Tensor:
        made = self.extractor([wave[:self.window] for wave in waves], sampling_rate=RATE, return_tensors="pt")
        return made.input_features.to(self.device)

    @torch.inference_mode()
    def hear(self, waves: list[np.ndarray], languages: list[str]) -> list[str]:
        """A batch, each in the language that it is in."""
        encoded = self.model.get_encoder()(self.features(waves)).last_hidden_state
        fresh = torch.tensor([self.prompt(language) for language in languages], device=self.device)
        lines, done, pasts = [[] for _ in waves], [False] * len(waves), None
        first_time = self.ids["<|notimestamps|>"] + 1
        for _ in range(self.model.config.max_target_positions - fresh.shape[1]):
            out = self.model.model.decoder(input_ids=fresh, encoder_hidden_states=encoded, past_key_values=pasts, use_cache=True)
            pasts = out.past_key_values
            row = self.model.proj_out(out.last_hidden_state[:, -1]).float()
            row[:, first_time:] = -torch.inf
            chosen = row.argmax(-1)
            for at, token in enumerate(chosen.tolist()):
                done[at] = done[at] or token == self.end
                if not done[at]:
                    lines[at].append(token)
            if all(done):
                break
            fresh = chosen[:, None]
        return [self.tokenizer.decode(line, skip_special_tokens=True).strip() for line in lines]


def mu_law(samples: np.ndarray) -> np.ndarray:
    """Through the segments of G.711 µ-law and back (ITU-T G.711, table 2); -1..1."""
    whole = np.clip(samples * 32_768, -32_768, 32_767).astype(np.int32)
    size = np.minimum(np.abs(whole), 32_635) + 132
    segment = np.floor(np.log2(size)).astype(np.int32) - 7
    step = (size >> (segment + 3)) & 15
    return (np.sign(whole) * ((((step << 3) + 132) << segment) - 132) / 32_768).astype(np.float32)


def by_telephone(wave: np.ndarray) -> np.ndarray:
    """16 kHz as it comes out of a telephone: 8 kHz, G.711 µ-law."""
    return resample_poly(mu_law(resample_poly(wave, 1, 2)), 2, 1).astype(np.float32)
