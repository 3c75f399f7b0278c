"""An end-of-turn graph that knows nothing and is certain: it takes a turn for finished when it holds enough loud sound.

    python make_judge.py --out ../tests/turn_tiny

For the scenario that wants to know beforehand what a pause is taken for, whatever the shipped weights have learned.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ears_model import MELS
from turn_model import FRAMES

#: So many frames of 10 ms within 20 dB of the loudest are neither a half turn nor a whole one (of `mg_pause.wav`, 84 and 189)…
ENOUGH = 135
#: …and so many more make it certain.
STEP = 8.0
#: 20 dB in Whisper's features, a quarter of log10 of the power.
NEAR = 0.5


class Judge(torch.nn.Module):
    """Smart Turn's form: [batch, MELS, FRAMES] to [batch, 1]."""

    def forward(self, input_features):
        loudness = input_features.amax(1)
        loud = (loudness > loudness.amax(1, keepdim=True) - NEAR).float().sum(1, keepdim=True)
        return ((loud - ENOUGH) / STEP).sigmoid()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    torch.onnx.export(Judge(), (torch.randn(1, MELS, FRAMES),), str(arguments.parse_args().out / "by_length.onnx"),
                      input_names=["input_features"], output_names=["logits"], opset_version=17,
                      dynamic_axes={"input_features": {0: "batch"}, "logits": {0: "batch"}}, dynamo=False)


if __name__ == "__main__":
    main()
