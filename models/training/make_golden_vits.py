"""A VITS of random weights in each form in which graphs of VITS are about, and the sound that torch makes of it without noise.

    python make_golden_vits.py --out ../tests/vits_tiny

`speaking/` is of `export_vits.py`: speed and noise are inputs, the durations come out.  `optimum/` is as Hugging Face optimum
exports: speed and noise are fixed.  `sherpa/` has sherpa-onnx's inputs, metadata and tokens.txt, `piper/` Piper's, with its JSON,
phonemes of espeak-ng and 22.05 kHz.  `golden.json` says which ids a text must become and how long they are spoken, `*.f32` what
must be heard of them.  The weights are random on purpose: nothing to understand, everything to compare.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import onnx
import torch
from torch import nn
from transformers import VitsConfig, VitsModel

from export_vits import Remembering, Speaking, export, export_speaking

LETTERS = " 'abdefghijklmnoprstvyz-"
#: Said without noise, at the speed beside them.
TEXTS = (("salama tompoko", 1.0), ("veloma", 1.0), ("salama tompoko", 1.5))
PIPER = ("^", "$", " ", ",", ".", "?", "a", "ɐ", "b", "d", "e", "f", "h", "i", "j", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "v", "y",
         "z", "ˈ", "ˌ", "ʊ", "ɛ", "ʂ")


class Sherpa(nn.Module):
    """With sherpa-onnx's inputs."""

    def __init__(self, speaking: Speaking) -> None:
        super().__init__()
        self.speaking = speaking

    def forward(self, x, x_length, noise_scale, length_scale, noise_scale_w):
        mask = (torch.arange(x.shape[1]).unsqueeze(0) < x_length.unsqueeze(1)).long()
        waveform, _ = self.speaking(x, mask, noise_scale[0], noise_scale_w[0], 1 / length_scale[0])
        return waveform.unsqueeze(1)


class Piper(nn.Module):
    """With Piper's inputs."""

    def __init__(self, speaking: Speaking) -> None:
        super().__init__()
        self.speaking = speaking

    def forward(self, input, input_lengths, scales):
        mask = (torch.arange(input.shape[1]).unsqueeze(0) < input_lengths.unsqueeze(1)).long()
        waveform, _ = self.speaking(input, mask, scales[0], scales[2], 1 / scales[1])
        return waveform.unsqueeze(1).unsqueeze(1)


class Fixed(nn.Module):
    """With what optimum's export takes."""

    def __init__(self, model: VitsModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        self.model.noise_scale = self.model.noise_scale_duration = 0.0
        self.model.speaking_rate = 1.0
        made = self.model(input_ids, attention_mask, return_dict=True)
        return made.waveform, made.spectrogram


def tiny(seed: int) -> VitsModel:
    torch.manual_seed(seed)
    model = VitsModel(VitsConfig(
        vocab_size=max(len(LETTERS), len(PIPER)) + 1, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, ffn_dim=8, flow_size=8,
        spectrogram_bins=9, upsample_initial_channel=16, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]], depth_separable_num_layers=1, duration_predictor_flow_bins=4,
        duration_predictor_tail_bound=2.0,
        duration_predictor_num_flows=2, duration_predictor_filter_channels=8, prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1, posterior_encoder_num_wavenet_layers=1, sampling_rate=16_000)).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                # The usual ones are so small that every token lasts as long and nothing is heard.
                weights.mul_(2.2 if "duration" in name else 8 if "embed_tokens" in name else 0.15 if "decoder.conv_post" in name else 1.3)
    return model


def bare(file: Path) -> onnx.ModelProto:
    """Without the words of the tracer, and with short names within."""
    model = onnx.load(file)
    outside = {value.name for value in (*model.graph.input, *model.graph.output)}
    names: dict[str, str] = {}

    def short(name: str) -> str:
        return name if not name or name in outside else names.setdefault(name, f"_{len(names):x}")

    def strip(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            node.name, node.doc_string = "", ""
            node.input[:] = [short(name) for name in node.input]
            node.output[:] = [short(name) for name in node.output]
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    strip(attribute.g)
        for named in (*graph.initializer, *graph.output):
            named.name = short(named.name)
        del graph.value_info[:]

    strip(model.graph)
    return model


def spaced(ids: list[int]) -> list[int]:
    return [0] + [each for id in ids for each in (id, 0)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    out = arguments.parse_args().out
    torch.set_num_threads(1)
    # Zero is the blank between letters, as in MMS-TTS.
    vocabulary = {"<pad>": 0} | {letter: id for id, letter in enumerate(LETTERS, 1)}
    lines = [(spaced([vocabulary[letter] for letter in text]), speed) for text, speed in TEXTS]
    # The first that is worth comparing, with these versions of torch and transformers.
    for seed in range(355, 855):
        model = tiny(seed)
        model.noise_scale = model.noise_scale_duration = 0.0
        remembering = model.duration_predictor = Remembering(model.duration_predictor)

        def say(ids: list[int], speed: float) -> tuple[torch.Tensor, torch.Tensor]:
            model.speaking_rate = speed
            with torch.inference_mode():
                waveform = model(torch.tensor([ids])).waveform
            return waveform[0], torch.ceil(torch.exp(remembering.said) / speed)[0, 0]

        made = [say(ids, speed) for ids, speed in lines]
        # Worth comparing: it is heard, is no wall, and its tokens differ in length.
        loud = all(0.05 < float(wave.std()) < 0.3 and float(wave.abs().max()) < 0.98 for wave, _ in made)
        if loud and all(len(set(each.tolist())) >= 4 for _, each in made):
            break
    else:
        raise SystemExit("no seed gives a sound worth comparing")

    shutil.rmtree(out, ignore_errors=True)
    for form in ("speaking", "optimum", "sherpa", "piper"):
        (out / form).mkdir(parents=True)
    row = torch.arange(24).reshape(2, 12) % model.config.vocab_size
    speaking = Speaking(tiny(seed)).eval()
    lengths, scale = torch.tensor([12, 9]), torch.tensor([0.667])
    sound = {"y": {0: "batch", 2: "samples"}}
    export_speaking(speaking, out / "speaking/model.onnx")
    export(out / "sherpa/model.onnx", Sherpa(speaking),
           {"x": row, "x_length": lengths, "noise_scale": scale, "length_scale": scale, "noise_scale_w": scale}, sound)
    export(out / "piper/tiny.onnx", Piper(speaking),
           {"input": row, "input_lengths": lengths, "scales": torch.tensor([0.667, 1.0, 0.8])},
           {"output": {0: "batch", 3: "samples"}})
    export(out / "optimum/model.onnx", Fixed(tiny(seed)), {"input_ids": row, "attention_mask": torch.ones_like(row)},
           {"waveform": {0: "batch", 1: "samples"}, "spectrogram": {0: "batch", 2: "frames"}})
    for file in out.rglob("*.onnx"):
        graph = bare(file)
        if file.parent.name == "sherpa":
            onnx.helper.set_model_props(graph, {"model_type": "vits", "sample_rate": "16000", "add_blank": "1", "n_speakers": "1",
                                                "frontend": "characters", "language": "Malagasy"})
        onnx.save(graph, file)

    for form in ("speaking", "optimum"):
        (out / form / "config.json").write_text(json.dumps({
            "model_type": "vits", "vocab_size": model.config.vocab_size, "sampling_rate": 16_000, "num_speakers": 1,
            "noise_scale": 0.0, "noise_scale_duration": 0.0, "speaking_rate": 1.0}) + "\n")
        (out / form / "vocab.json").write_text(json.dumps(vocabulary) + "\n")
        (out / form / "tokenizer_config.json").write_text(json.dumps({
            "add_blank": True, "normalize": True, "phonemize": False, "is_uroman": False, "pad_token": "<pad>"}) + "\n")
    (out / "sherpa/tokens.txt").write_text("".join(f"{token} {id}\n" for token, id in vocabulary.items()))
    ids = {"_": [0]} | {phoneme: [id] for id, phoneme in enumerate(PIPER, 1)}
    (out / "piper/tiny.onnx.json").write_text(json.dumps({
        "audio": {"sample_rate": 22_050}, "espeak": {"voice": "mg"}, "phoneme_type": "espeak", "num_symbols": len(ids),
        "num_speakers": 1, "inference": {"noise_scale": 0.0, "length_scale": 1.0, "noise_w": 0.0}, "phoneme_id_map": ids},
        ensure_ascii=False) + "\n")

    # "Salama, veloma." as the Malagasy voice has it.
    phonemes = "salˈama, velˈuma."
    said = [ids["^"][0], 0] + [each for phoneme in phonemes if phoneme in ids for each in (ids[phoneme][0], 0)] + ids["$"]
    cases = [{"text": text, "speed": speed, "ids": line, "durations": [int(each) for each in durations]}
             for (text, speed), (line, _), (_, durations) in zip(TEXTS, lines, made)]
    for at, (waveform, _) in enumerate(made):
        waveform.numpy().astype("<f4").tofile(out / f"{at}.f32")
    waveform, _ = say(said, 1.0)
    waveform.numpy().astype("<f4").tofile(out / "piper.f32")
    (out / "golden.json").write_text(json.dumps({
        "about": "made by models/training/make_golden_vits.py with torch and transformers; N.f32: little-endian f32, the sound of case N",
        "seed": seed, "hop": 64, "cases": cases, "piper": {"text": "Salama, veloma.", "ids": said}}) + "\n")
    print(seed, [(len(wave), round(float(wave.std()), 3), float(wave.abs().max())) for wave, _ in made],
          [case["durations"] for case in cases], sum(f.stat().st_size for f in out.rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
