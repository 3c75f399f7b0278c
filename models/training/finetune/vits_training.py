"""What training a VITS needs and `transformers` leaves out: spectrograms, the alignment, the losses (Kim et al. 2021, sections 2.1 to 2.3).

The adversarial part (section 2.3's discriminators) is not here: checkpoints on the hub come without discriminators, and one from scratch
wants days.  So what makes sound out of latents, the decoder, stays as it was unless it is asked for, and what speaks (text encoder,
flow, posterior encoder, durations) learns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from transformers import VitsModel
from transformers.audio_utils import mel_filter_bank

#: Weights of the losses, as in the paper.
MEL, KL, DURATION = 45.0, 1.0, 1.0
#: Frames of the piece that is made sound of, each step.
PIECE = 32


class Spectra:
    """Linear and mel spectrograms of a model's own size."""

    def __init__(self, config, device: str):
        self.hop = int(np.prod(config.upsample_rates))
        self.fft = 2 * (config.spectrogram_bins - 1)
        self.window = torch.hann_window(self.fft, device=device)
        filters = mel_filter_bank(num_frequency_bins=config.spectrogram_bins, num_mel_filters=80, min_frequency=0.0,
                                  max_frequency=config.sampling_rate / 2, sampling_rate=config.sampling_rate, norm="slaney",
                                  mel_scale="slaney")
        self.filters = torch.from_numpy(filters).float().T.to(device)

    def linear(self, waves: torch.Tensor) -> torch.Tensor:
        """[B, T] → [B, bins, T / hop]."""
        around = (self.fft - self.hop) // 2
        padded = functional.pad(waves[:, None], (around, around), mode="reflect")[:, 0]
        spectrum = torch.stft(padded, self.fft, self.hop, window=self.window, center=False, return_complex=True)
        return (torch.view_as_real(spectrum).square().sum(-1) + 1e-6).sqrt()

    def mel(self, linear: torch.Tensor) -> torch.Tensor:
        return (self.filters @ linear).clamp(min=1e-5).log()


def aligned(scores: np.ndarray) -> np.ndarray:
    """The likeliest way through [frames, tokens] that begins at the first token, ends at the last and leaves none out: how many
    frames each token has."""
    frames, tokens = scores.shape
    best = np.full((frames, tokens), -np.inf)
    best[0, 0] = scores[0, 0]
    for at in range(1, frames):
        moved = np.concatenate([[-np.inf], best[at - 1, :-1]])
        best[at] = np.maximum(best[at - 1], moved) + scores[at]
    counts, token = np.zeros(tokens, np.int64), tokens - 1
    for at in range(frames - 1, -1, -1):
        counts[token] += 1
        if token and at and (token == at or best[at - 1, token - 1] >= best[at - 1, token]):
            token -= 1
    return counts


@dataclass
class Batch:
    """Clips side by side, zeros behind the shorter ones."""

    ids: torch.Tensor
    text_mask: torch.Tensor
    waves: torch.Tensor
    spectrum: torch.Tensor
    frames: list[int]


def losses(model: VitsModel, spectra: Spectra, batch: Batch, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The parts of the loss, each to be weighed."""
    device = batch.ids.device
    frames = torch.arange(batch.spectrum.shape[2], device=device)
    frame_mask = (frames < torch.tensor(batch.frames, device=device)[:, None]).float()[:, None]
    text_mask = batch.text_mask.unsqueeze(-1).float()
    encoded = model.text_encoder(input_ids=batch.ids, padding_mask=text_mask, attention_mask=batch.text_mask)
    hidden, across = encoded.last_hidden_state.transpose(1, 2), text_mask.transpose(1, 2)
    means, log_scales = encoded.prior_means, encoded.prior_log_variances
    latents, _, posterior_scales = model.posterior_encoder(batch.spectrum, frame_mask)
    flowed = model.flow(latents, frame_mask)
    durations = alignment(flowed, means, log_scales, batch)
    if model.config.use_stochastic_duration_prediction:
        duration = model.duration_predictor(hidden, across, durations=durations[:, None]).sum() / across.sum()
    else:
        wanted = torch.log(durations[:, None] + 1e-6) * across
        duration = ((model.duration_predictor(hidden, across) - wanted) * across).square().sum() / across.sum()
    # Each frame's prior is that of its token.
    tokens = [torch.repeat_interleave(torch.arange(len(row), device=device), row.long()) for row in durations]
    tokens = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)[:, :, None]
    prior_means = means.gather(1, tokens.expand(-1, -1, means.shape[2])).transpose(1, 2)
    prior_scales = log_scales.gather(1, tokens.expand(-1, -1, means.shape[2])).transpose(1, 2)
    kl = prior_scales - posterior_scales - 0.5 + 0.5 * (flowed - prior_means).square() * torch.exp(-2 * prior_scales)
    kl = (kl * frame_mask).sum() / frame_mask.sum()
    # A piece of each clip is made sound of: the whole would not fit into memory.
    length = min(PIECE, *batch.frames)
    starts = [int(torch.randint(frames - length + 1, (1,), generator=generator)) for frames in batch.frames]
    pieces = torch.stack([row[:, at:at + length] for row, at in zip(latents, starts)])
    made = model.decoder(pieces).squeeze(1)
    meant = torch.stack([row[:, at:at + length] for row, at in zip(batch.spectrum, starts)])
    mel = functional.l1_loss(spectra.mel(spectra.linear(made)), spectra.mel(meant))
    return {"mel": mel, "kl": kl, "duration": duration}


@torch.no_grad()
def alignment(flowed: torch.Tensor, means: torch.Tensor, log_scales: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Frames of each token, [B, tokens], by monotonic alignment search."""
    sharp = torch.exp(-2 * log_scales)
    scores = (-0.5 * math.log(2 * math.pi) - log_scales).sum(2)[:, None] - 0.5 * (means.square() * sharp).sum(2)[:, None]
    scores = scores + flowed.transpose(1, 2) @ (means * sharp).transpose(1, 2)
    scores = scores - 0.5 * flowed.square().transpose(1, 2) @ sharp.transpose(1, 2)
    durations = torch.zeros(batch.ids.shape)
    for at, (row, frames) in enumerate(zip(scores.float().cpu().numpy(), batch.frames)):
        tokens = int(batch.text_mask[at].sum())
        durations[at, :tokens] = torch.from_numpy(aligned(row[:frames, :tokens])).float()
    return durations.to(flowed.device)


def weighed(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    return MEL * parts["mel"] + KL * parts["kl"] + DURATION * parts["duration"]
