"""What happens to speech between a mouth and Milo: room, line, noise, loudness, codec.  Batched, in torch."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import next_fast_len

RATE = 16_000


def speed(wave: np.ndarray, factor: float) -> np.ndarray:
    """Faster and higher by `factor` (a float wave)."""
    return np.interp(np.arange(0, len(wave) - 1, factor), np.arange(len(wave)), wave).astype(np.float32)


def companded(waves: torch.Tensor, a_law: torch.Tensor) -> torch.Tensor:
    """8 bits and back, by the continuous curves of G.711 (mu-law, or A-law where told)."""
    mu = 255.0
    sign, size = waves.sign(), waves.abs().clamp(max=1.0)
    u = (torch.log1p(mu * size) / np.log1p(mu) * 127).round() / 127
    mu_law = (torch.exp(u * np.log1p(mu)) - 1) / mu
    a, scale = 87.6, 1 + np.log(87.6)
    v = torch.where(size < 1 / a, a * size, 1 + torch.log((a * size).clamp(min=1.0))) / scale
    v = (v * 127).round() / 127
    a_back = torch.where(v < 1 / scale, v * scale / a, torch.exp(v * scale - 1) / a)
    return sign * torch.where(a_law, a_back, mu_law)


class Augment:
    """Turns clean clips into what a telephone delivers; every draw comes from `generator`.

    `hardness` from 0 to 1 is the share of clips that get what a bad line adds; training begins with little of it.
    """

    def __init__(self, generator: torch.Generator, hardness: float = 1.0):
        self._generator = generator
        self.hardness = hardness
        # Coloured noise is dear to make and cheap to cut pieces from.
        length = next_fast_len(12 * RATE, real=True)
        frequencies = torch.fft.rfftfreq(length, 1 / RATE)
        spectrum = torch.fft.rfft(torch.randn(48, length, generator=generator))
        # A third of it white: the noise of the published figure, and the one that hides consonants best.
        slopes = torch.linspace(0.0, 1.3, 48).sub(0.43).clamp(min=0.0)
        colour = (frequencies.clamp(min=60.0) / 1000.0) ** -slopes[:, None]
        self._noises = torch.fft.irfft(spectrum * colour, length)
        self._noises = self._noises / self._noises.square().mean(1, keepdim=True).sqrt()

    def _uniform(self, count: int, low: float, high: float) -> torch.Tensor:
        return torch.rand(count, 1, generator=self._generator) * (high - low) + low

    def _chance(self, count: int, probability: float) -> torch.Tensor:
        return torch.rand(count, 1, generator=self._generator) < probability

    def _below(self, bound: int) -> int:
        return int(torch.randint(bound, (1,), generator=self._generator))

    def _room_and_line(self, waves: torch.Tensor) -> torch.Tensor:
        """A tilt of the spectrum, and for some a decaying burst of noise behind the direct sound."""
        batch, samples = waves.shape
        reach = RATE // 4
        n = next_fast_len(samples + reach, real=True)
        frequencies = torch.fft.rfftfreq(n, 1 / RATE).clamp(min=100.0)
        spectrum = torch.fft.rfft(waves, n) * torch.exp(torch.log(frequencies / 1000.0) * self._uniform(batch, -0.45, 0.45))
        echoing = self._chance(batch, 0.3 * self.hardness)[:, 0]
        if count := int(echoing.sum()):
            decay = torch.exp(-torch.arange(reach) / RATE * 6.9 / self._uniform(count, 0.08, 0.45))
            echo = torch.randn(count, reach, generator=self._generator) * decay
            echo = echo / echo.norm(dim=1, keepdim=True) * self._uniform(count, 0.05, 0.6)
            echo[:, 0] += 1.0
            spectrum[echoing] *= torch.fft.rfft(echo, n)
        return torch.fft.irfft(spectrum, n)[:, :samples]

    def _telephone(self, waves: torch.Tensor) -> torch.Tensor:
        """300 to 3,400 Hz with soft edges, 8 kHz, 8 bits."""
        batch, samples = waves.shape
        n = next_fast_len(samples // 4 + 1000) * 4
        half = n // 4 + 1
        frequencies = torch.fft.rfftfreq(n, 1 / RATE)[:half]
        low, high = self._uniform(batch, 60, 300), self._uniform(batch, 3300, 3850)
        band = torch.sigmoid((frequencies - low) / 25) * torch.sigmoid((high - frequencies) / 60)
        narrow = torch.fft.irfft(torch.fft.rfft(waves, n)[:, :half] * band, n // 2) / 2
        narrow = companded(narrow.clamp(-1, 1), self._chance(batch, 0.4))
        return torch.fft.irfft(torch.fft.rfft(narrow) * 2, n)[:, :samples]

    def __call__(self, waves: torch.Tensor, lengths: torch.Tensor, silent: torch.Tensor,
                 sounds: torch.Tensor | None = None) -> torch.Tensor:
        """`waves` [B, T] in -1..1, zero outside the words; `lengths` [B]: where the recording ends (zeros follow);
        `silent` [B]: no speech at all, only what the line makes; `sounds` [B, T]: tones and music of about unit size, zero for
        those that speak."""
        batch, samples = waves.shape
        silent = silent[:, None]
        inside = (torch.arange(samples) < lengths[:, None]).float()
        speech = self._room_and_line(waves)
        loudness = (speech.square().sum(1, keepdim=True) / lengths[:, None]).sqrt() + 1e-6
        speech = speech / loudness * (~silent)

        rows = [self._noises[self._below(len(self._noises))] for _ in range(batch)]
        starts = [self._below(self._noises.shape[1] - samples) for _ in range(batch)]
        noise = torch.stack([row[start:start + samples] for row, start in zip(rows, starts)])
        # Two thirds lie around the 15 dB of the published figure, the rest from hardly audible to none.
        level = torch.where(self._chance(batch, 0.65), self._uniform(batch, 9, 24), self._uniform(batch, 24, 50))
        noise = noise * 10 ** (-level / 20) * self._chance(batch, 0.15 + 0.7 * self.hardness)
        talking = self._chance(batch, 0.12 * self.hardness) & ~silent
        if talking.any():
            babble = sum(torch.roll(speech, (shift, 3001 * shift), (0, 1)) for shift in (1, 2, 3))
            noise = noise + babble * 10 ** (-self._uniform(batch, 14, 32) / 20) * talking
        # A line without any speech may be as loud as one with it.
        noise = noise * torch.where(silent, self._uniform(batch, 0.0, 3.0), torch.ones(batch, 1))
        if sounds is not None:
            noise = noise + sounds * 10 ** (self._uniform(batch, -10, 16) / 20)

        mixed = ((speech + noise) * 10 ** (self._uniform(batch, -38, -14) / 20)).clamp(-1, 1)
        phoned = self._chance(batch, 0.6)[:, 0]
        if phoned.any():
            mixed[phoned] = self._telephone(mixed[phoned])
        return mixed * inside
