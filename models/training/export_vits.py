"""A VITS of Hugging Face's form (MMS-TTS among them) as ONNX, with what optimum's own export lacks: speed and noise as inputs, and
how long each token is spoken.  `export.py` writes such graphs, `make_golden_vits.py` those of the tests.

The graph takes `input_ids` and `attention_mask` [batch, tokens], and the scalars `noise_scale`, `noise_scale_duration` and
`speaking_rate`; it gives `waveform` [batch, samples] and `durations` [batch, tokens], in frames.  By those a batch can be cut to
what each text takes, and the times of words be told.  Look at the licence of what you export: MMS-TTS is CC-BY-NC-4.0.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn
from transformers import VitsModel

OPSET = 17


class Remembering(nn.Module):
    """A duration predictor, and what it said last."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor, self.said = predictor, torch.zeros(0)

    def forward(self, *inputs, **settings):
        self.said = self.predictor(*inputs, **settings)
        return self.said


class Speaking(nn.Module):
    """A VITS whose settings are inputs, and whose texts of one batch know nothing of each other.

    The model's own decoder goes on behind the end of the shorter ones and lets some of that back into their last tenths of a second.
    Here what lies behind the end is silenced before each of its layers, as if the sound ended there.
    """

    def __init__(self, model: VitsModel) -> None:
        super().__init__()
        self.model, self.mask, self.rate = model, torch.zeros(0), torch.ones(())
        model.duration_predictor = Remembering(model.duration_predictor)
        decoder, factor = model.decoder, 1
        self.end(decoder.conv_pre, 1)
        for stage, rate in enumerate(model.config.upsample_rates):
            self.end(decoder.upsampler[stage], factor)
            factor *= rate
            kernels = len(model.config.resblock_kernel_sizes)
            for block in decoder.resblocks[stage * kernels:(stage + 1) * kernels]:
                for layer in (*block.convs1, *block.convs2):
                    self.end(layer, factor)
        self.end(decoder.conv_post, factor)

    def end(self, layer: nn.Module, factor: int) -> None:
        """What the layer takes is silent behind the end of each text; a frame has `factor` values there."""

        def silence(_layer: nn.Module, inputs: tuple) -> tuple:
            ends = self.durations().sum(1).clamp_min(1) * factor
            within = torch.arange(inputs[0].shape[-1]).unsqueeze(0) < ends.unsqueeze(1)
            return (inputs[0] * within.unsqueeze(1).to(inputs[0].dtype), *inputs[1:])

        layer.register_forward_pre_hook(silence)

    def durations(self) -> torch.Tensor:
        return torch.ceil(torch.exp(self.model.duration_predictor.said) * self.mask / self.rate)[:, 0]

    def forward(self, input_ids, attention_mask, noise_scale, noise_scale_duration, speaking_rate):
        self.model.noise_scale = noise_scale
        self.model.noise_scale_duration = noise_scale_duration
        self.model.speaking_rate = self.rate = speaking_rate
        self.mask = attention_mask.unsqueeze(1).to(torch.float32)
        waveform = self.model(input_ids, attention_mask, return_dict=True).waveform
        return waveform, self.durations()


def export(to: Path, wrapped: nn.Module, inputs: dict[str, torch.Tensor], outputs: dict[str, dict]) -> None:
    """Writes a graph whose inputs of two dimensions have a free batch and length; others have a free batch, scalars none."""
    axes = {name: {0: "batch", 1: "tokens"} for name, value in inputs.items() if value.dim() == 2}
    axes |= {name: {0: "batch"} for name, value in inputs.items() if value.dim() == 1 and not value.is_floating_point()}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracer's, of checks that hold for every text
        torch.onnx.export(wrapped.eval(), tuple(inputs.values()), str(to), input_names=list(inputs), output_names=list(outputs),
                          dynamic_axes=axes | outputs, opset_version=OPSET, dynamo=False)


def export_speaking(speaking: Speaking, to: Path) -> None:
    """The graph with all settings as inputs, as it stands at the head of this file."""
    inputs = {
        "input_ids": torch.arange(24).reshape(2, 12) % speaking.model.config.vocab_size,
        "attention_mask": torch.ones(2, 12, dtype=torch.long),
        "noise_scale": torch.tensor(0.667), "noise_scale_duration": torch.tensor(0.8), "speaking_rate": torch.tensor(1.0)}
    export(to, speaking, inputs,
           {"waveform": {0: "batch", 1: "samples"}, "durations": {0: "batch", 1: "tokens"}})
