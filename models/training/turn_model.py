"""The end-of-turn model in Smart Turn's form: the last 8 s at 16 kHz as Whisper's features, and out comes a probability.

In: `input_features` f32 [batch, 80, 800], of audio of zero mean and unit variance, zeros in front where it is shorter.
Out: `logits` f32 [batch, 1]; as in Smart Turn v3 it is the probability already, in spite of its name.
"""

from __future__ import annotations

import torch
from torch import nn

from ears_model import MELS, RATE, LogMel

SECONDS = 8
WINDOW = SECONDS * RATE
FRAMES = SECONDS * 100
SHAPE = {"width": 96, "heads": 4, "layers": 3}


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, time, width = x.shape
        h = self.before(x)
        q, k, v = (m(h).view(batch, time, self.heads, width // self.heads).transpose(1, 2) for m in (self.q, self.k, self.v))
        h = (q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5).softmax(-1) @ v
        x = x + self.out(h.transpose(1, 2).reshape(batch, time, width))
        return x + self.down(torch.nn.functional.gelu(self.up(self.after(x))))


class Turn(nn.Module):
    """0.4 million parameters."""

    def __init__(self, width: int, heads: int, layers: int):
        super().__init__()
        self.stem = nn.ModuleList([nn.Conv1d(MELS, width, 3, padding=1), nn.Conv1d(width, width, 3, stride=2, padding=1),
                                   nn.Conv1d(width, width, 3, stride=2, padding=1)])
        self.places = nn.Parameter(torch.randn(FRAMES // 4, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.weigh, self.judge = nn.LayerNorm(width), nn.Linear(width, 1), nn.Linear(width, 1)

    def score(self, input_features):
        """[batch, 1], before the sigmoid."""
        x = input_features
        for layer in self.stem:
            x = torch.nn.functional.gelu(layer(x))
        x = x.transpose(1, 2) + self.places
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.judge((x * self.weigh(x).softmax(1)).sum(1))

    def forward(self, input_features):
        return self.score(input_features).sigmoid()


def features(mel: LogMel, waves: torch.Tensor) -> torch.Tensor:
    """Of waves [batch, WINDOW] whose sound ends at their end."""
    waves = waves - waves.mean(1, keepdim=True)
    return mel(waves / (waves.var(1, unbiased=False, keepdim=True) + 1e-7).sqrt())
