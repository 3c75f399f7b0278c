"""The mind's network: a LLaMA in the shape that GGUF's "llama" architecture wants.

Rotation is over neighbouring pairs (GGUF's own order), so q and k need no
permutation at export.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Shape:
    """Sizes; every row that is quantised is a multiple of 32."""

    vocabulary: int
    width: int = 192
    layers: int = 5
    heads: int = 6
    inner: int = 512
    context: int = 1024
    base: float = 10_000.0
    epsilon: float = 1e-5

    def as_dict(self) -> dict:
        return asdict(self)


class Norm(nn.Module):
    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon)


def rotate(x, cos, sin):
    """x is [batch, heads, time, head width]; neighbouring pairs turn together."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def hidden_future(time: int, keys):
    """Added to scores [.., time, all keys]: nothing for the past, minus infinity for the future."""
    total = keys.shape[2]
    return torch.full((time, total), float("-inf"), dtype=keys.dtype).triu(total - time + 1)


class Block(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.heads = s.heads
        self.attn_norm, self.ffn_norm = Norm(s.width, s.epsilon), Norm(s.width, s.epsilon)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (
            nn.Linear(s.width, s.width, bias=False) for _ in range(4))
        self.ffn_gate, self.ffn_up = (nn.Linear(s.width, s.inner, bias=False) for _ in range(2))
        self.ffn_down = nn.Linear(s.inner, s.width, bias=False)

    def forward(self, x, cos, sin, past=None):
        b, t, d = x.shape
        h = self.attn_norm(x)
        q, k, v = (m(h).view(b, t, self.heads, d // self.heads).transpose(1, 2)
                   for m in (self.attn_q, self.attn_k, self.attn_v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        # Written out: for such short rows three times faster on a CPU than the fused kernel's backward pass.
        h = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + hidden_future(t, k)).softmax(-1) @ v
        x = x + self.attn_output(h.transpose(1, 2).reshape(b, t, d))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)), (k, v)


class Mind(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width, shape.epsilon)
        half = shape.width // shape.heads // 2
        angle = torch.outer(torch.arange(shape.context).float(), shape.base ** (-torch.arange(half) / half))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        nn.init.normal_(self.token_embd.weight, std=0.02)
        for block in self.blk:
            for m in (block.attn_output, block.ffn_down):
                nn.init.zeros_(m.weight)

    def hidden(self, ids, past=None):
        """Last hidden states of ids [batch, time], and the keys and values for the next call."""
        start = past[0][0].shape[2] if past else 0
        x = self.token_embd(ids)
        if torch.is_autocast_enabled("cpu"):
            x = x.bfloat16()
        cos, sin = (m[start:start + ids.shape[1]].to(x.dtype) for m in (self.cos, self.sin))
        kept = []
        for i, block in enumerate(self.blk):
            x, kv = block(x, cos, sin, past[i] if past else None)
            kept.append(kv)
        return self.output_norm(x), kept

    def forward(self, ids, past=None):
        """Logits (tied to the embedding), and keys and values."""
        x, kept = self.hidden(ids, past)
        return F.linear(x, self.token_embd.weight.to(x.dtype)), kept
