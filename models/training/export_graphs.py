"""From a checkpoint to ONNX graphs in the form that Milo reads, in each wanted precision.

Encoder-decoders are optimum's: encoder_model, and decoder_model_merged with both steps of the decoder behind one switch.  VITS and
Wav2Vec2 are one graph, model.onnx, traced here: optimum's VITS has its noise and its pace baked in, this one has them as inputs.
fp16 and int8 are made of the fp32 graphs, which are what is compared with torch first.  int8 computes in int8 too: an encoder with one
scale for a whole run (the quickest, where thousands of rows share a matrix), a decoder with one for each 128 numbers.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel
from optimum.exporters.onnx import main_export
from optimum.onnx import merge_decoders
from optimum.utils import input_generators
from transformers import AutoConfig, VitsModel, Wav2Vec2ForCTC

import export_attention
import export_shapes
from export_blocks import in_blocks
from export_vits import Speaking, export_speaking

PRECISIONS = ("fp32", "fp16", "int8")
#: What stands behind a graph's name.
SUFFIX = {"fp32": "", "fp16": "_fp16", "int8": "_int8"}
ENCODER, DECODER, SINGLE = "encoder_model", "decoder_model_merged", "model"
OPSET = 17
#: A protobuf holds 2 GB; larger graphs have their weights in a file beside them.
LARGEST = 1_900_000_000


def encoder_decoder(checkpoint: Path, task: str, to: Path, precisions: tuple[str, ...], work: Path,
                    heads: export_attention.Heads | None = None) -> None:
    """Encoder and merged decoder, which tells what these heads attend to; `work` is a scratch folder."""
    config = AutoConfig.from_pretrained(checkpoint)
    # Optimum traces with a made-up input of this many frames; Whisper's encoder accepts its own window alone.
    input_generators.DEFAULT_DUMMY_SHAPES["nb_max_frames"] = 2 * getattr(config, "max_source_positions", 1500)
    main_export(checkpoint, work, task=task, do_validation=False, no_post_process=True, dtype="fp32", library_name="transformers")
    steps = []
    for step in ("decoder_model", "decoder_with_past_model"):
        graph = onnx.load(work / f"{step}.onnx")
        graph = export_shapes.constant(export_attention.told(graph, heads) if heads else graph)
        steps.append(f"{step}_less")
        save(graph, work / f"{steps[-1]}.onnx")
    save(onnx.load(work / f"{ENCODER}.onnx"), to / f"{ENCODER}.onnx")
    merge_decoders(work / f"{steps[0]}.onnx", work / f"{steps[1]}.onnx", save_path=to / f"{DECODER}.onnx", strict=False)
    if "fp16" in precisions:
        save(halved(onnx.load(work / f"{ENCODER}.onnx")), to / f"{ENCODER}_fp16.onnx")
        # Each step for itself, then merged: the converter mistakes weights that two branches share.
        for step in steps:
            save(halved(onnx.load(work / f"{step}.onnx")), work / f"{step}_fp16.onnx")
        merge_decoders(work / f"{steps[0]}_fp16.onnx", work / f"{steps[1]}_fp16.onnx", save_path=to / f"{DECODER}_fp16.onnx", strict=False)
    if "int8" in precisions:
        quantized(to / f"{ENCODER}.onnx", to / f"{ENCODER}_int8.onnx")
        # By blocks: what a row comes to is then nothing to the rows beside it, so that many may be decoded in one run.
        save(in_blocks(onnx.load(to / f"{DECODER}.onnx")), to / f"{DECODER}_int8.onnx")


def vits(checkpoint: Path, to: Path, precisions: tuple[str, ...]) -> None:
    """One graph: input_ids, attention_mask, noise_scale, noise_scale_duration, speaking_rate → waveform, durations."""
    if AutoConfig.from_pretrained(checkpoint).num_speakers > 1:
        raise SystemExit(f"{checkpoint} has several speakers, which this export does not tell apart")
    export_speaking(Speaking(VitsModel.from_pretrained(checkpoint).eval()), to / f"{SINGLE}.onnx")
    if "fp16" in precisions:
        save(stored_half(onnx.load(to / f"{SINGLE}.onnx")), to / f"{SINGLE}_fp16.onnx")


class Writing(torch.nn.Module):
    """Wav2Vec2 with its mask."""

    def __init__(self, model: Wav2Vec2ForCTC):
        super().__init__()
        self.model = model

    def forward(self, input_values, attention_mask):
        return self.model(input_values=input_values, attention_mask=attention_mask, return_dict=False)[0]


def wav2vec2(checkpoint: Path, to: Path, precisions: tuple[str, ...]) -> None:
    """One graph: input_values, attention_mask → logits."""
    model = Writing(Wav2Vec2ForCTC.from_pretrained(checkpoint, attn_implementation="eager").eval())
    values = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(1))
    traced(model, (values, torch.ones(1, 20_000, dtype=torch.long)), ["input_values", "attention_mask"], ["logits"],
           {"input_values": {0: "batch", 1: "samples"}, "attention_mask": {0: "batch", 1: "samples"},
            "logits": {0: "batch", 1: "frames"}}, to / f"{SINGLE}.onnx")
    if "fp16" in precisions:
        save(halved(onnx.load(to / f"{SINGLE}.onnx")), to / f"{SINGLE}_fp16.onnx")
    if "int8" in precisions:
        quantized(to / f"{SINGLE}.onnx", to / f"{SINGLE}_int8.onnx")


def traced(model: torch.nn.Module, example: tuple, inputs: list[str], outputs: list[str], axes: dict, to: Path) -> None:
    """torch's own export; it warns of every check that a trace cannot hold."""
    with torch.inference_mode():
        torch.onnx.export(model, example, to, input_names=inputs, output_names=outputs, dynamic_axes=axes, opset_version=OPSET,
                          do_constant_folding=True, dynamo=False)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Computes in fp16; inputs and outputs stay f32."""
    half = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    half.topological_sort()  # the converter puts its casts at the end
    return half.model


def stored_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights in fp16, arithmetic in f32: half the file at the same pace.  A voice that computed in fp16 would round its durations,
    and so the length of what it says, otherwise."""
    for weight in [weight for weight in model.graph.initializer if weight.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(weight)
        if values.size >= 256:
            model.graph.initializer.remove(weight)
            half = onnx.numpy_helper.from_array(values.astype("float16"), f"{weight.name}/fp16")
            model.graph.initializer.append(half)
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT))
    return model


def quantized(source: Path, to: Path) -> None:
    """int8, dynamic, matrix products only, subgraphs too: what costs nothing of what is heard or translated, and needs no data."""
    quantize_dynamic(source, to, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8, use_external_data_format=is_large(source),
                     extra_options={"EnableSubgraph": True})


def is_large(graph: Path) -> bool:
    beside = [graph, *graph.parent.glob(f"{graph.name}_data*"), *graph.parent.glob(f"{graph.name}.data*")]
    return sum(file.stat().st_size for file in beside) > LARGEST


def save(model: onnx.ModelProto, to: Path) -> None:
    """Writes a graph, with its weights in NAME.onnx_data where they do not fit."""
    large = model.ByteSize() > LARGEST
    onnx.save(model, to, save_as_external_data=large, **({"location": f"{to.name}_data"} if large else {}))
