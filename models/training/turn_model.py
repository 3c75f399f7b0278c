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
SHAPE = {"width": 128, "blocks": 8}
#: Of the window the network hears the end alone: the last words and how the voice fell behind them.
HEARD = 300


class Block(nn.Module):
    """What stands side by side in time, then what stands together in a frame."""

    def __init__(self, width: int):
        super().__init__()
        self.along = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.BatchNorm1d(width)
        self.across = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.across(self.norm(self.along(x)).transpose(1, 2))).transpose(1, 2)


class Turn(nn.Module):
    """0.2 million parameters.  (A transformer of twice the size learned nothing in the same time.)"""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.stem = nn.Conv1d(MELS, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.weigh, self.judge = nn.Conv1d(width, 1, 1), nn.Linear(2 * width, 1)

    def score(self, input_features):
        """[batch, 1], before the sigmoid."""
        x = torch.relu(self.stem(input_features[:, :, -HEARD:]))
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in (1, 3, 5):
                x = torch.nn.functional.max_pool1d(x, 2)
        return self.judge(torch.cat([(x * self.weigh(x).softmax(-1)).sum(-1), x.mean(-1)], 1))

    def forward(self, input_features):
        return self.score(input_features).sigmoid()


def features(mel: LogMel, waves: torch.Tensor) -> torch.Tensor:
    """Of waves [batch, WINDOW] whose sound ends at their end."""
    waves = waves - waves.mean(1, keepdim=True)
    return mel(waves / (waves.var(1, unbiased=False, keepdim=True) + 1e-7).sqrt())
