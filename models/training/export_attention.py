"""What tells the times of words: the attention of some of a Whisper's heads to the sound, as one more output of its decoder.

Some heads of a trained decoder look at the place in the sound of which they write.  A checkpoint names them in generation_config.json
(`alignment_heads`, pairs of layer and head), as OpenAI found them for its own; where one names none, all of the last half of the
layers are taken, as OpenAI does.  The output is `cross_attentions`, [batch, heads, tokens, positions]; whoever does not ask for it
reads the graph as ever.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx

OUTPUT = "cross_attentions"

#: Pairs of layer and head.
Heads = list[list[int]]


def heads_of(checkpoint: Path) -> Heads:
    """Those that the checkpoint names, else all of the last half of its layers."""
    def read(name: str) -> dict:
        file = checkpoint / name
        return json.loads(file.read_text()) if file.is_file() else {}
    config = read("config.json")
    layers, each = config["decoder_layers"], config["decoder_attention_heads"]
    named = read("generation_config.json").get("alignment_heads")
    if not named:
        return [[layer, head] for layer in range(layers // 2, layers) for head in range(each)]
    for pair in named:
        layer, head = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        if layer not in range(layers) or head not in range(each):
            raise SystemExit(f"{checkpoint / 'generation_config.json'}: alignment_heads has {pair}, and the decoder has {layers} layers "
                             f"of {each} heads, counted from 0")
    return named


def write_heads(folder: Path, heads: Heads) -> None:
    """Has the folder's generation_config.json say which heads its graphs tell of."""
    file = folder / "generation_config.json"
    config = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(config | {"alignment_heads": heads}, indent=2) + "\n")


def told(model: onnx.ModelProto, heads: Heads) -> onnx.ModelProto:
    """A step of the decoder with the output; layers stand in it in their order, and so do the heads of each."""
    graph, parts = model.graph, []
    for layer in sorted({layer for layer, _ in heads}):
        weights = [node.output[0] for node in graph.node
                   if node.op_type == "Softmax" and f"/layers.{layer}/encoder_attn/" in node.name]
        if len(weights) != 1:
            raise SystemExit(f"the attention of layer {layer} to the sound is not in the graph under the name that torch gives it: "
                             "this version of torch exports otherwise, leave --word-times out")
        chosen = onnx.numpy_helper.from_array(np.array(sorted(head for own, head in heads if own == layer)), f"{OUTPUT}/{layer}/heads")
        graph.initializer.append(chosen)
        parts.append(f"{OUTPUT}/{layer}")
        graph.node.append(onnx.helper.make_node("Gather", [weights[0], chosen.name], [parts[-1]], name=parts[-1], axis=1))
    graph.node.append(onnx.helper.make_node("Concat", parts, [OUTPUT], name=OUTPUT, axis=1))
    graph.output.append(onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT,
                                                           ["batch_size", len(heads), "decoder_sequence_length", "positions"]))
    return model
