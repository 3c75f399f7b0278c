"""The weights of a translator that ships, read back out of its graphs: what --begin-with of train_translator.py begins with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

#: Graphs by what their names lack of the model's.
GRAPHS = {"encoder_model.onnx": "model.encoder.", "decoder_model_merged.onnx": ""}


def _within(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those of its branches: the decoder's steps with and without pasts."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _within(attribute.g)


def weights_of(folder: Path, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All of `model`'s state: matrices that were rounded to eight bits times their scale, all else as it was."""
    found: dict[str, torch.Tensor] = {}
    for file, prefix in GRAPHS.items():
        graphs = list(_within(onnx.load(folder / file).graph))
        kept = {i.name: numpy_helper.to_array(i) for g in graphs for i in g.initializer}
        for name, value in kept.items():
            plain = prefix + name.removesuffix("_merged_0")
            if value.dtype == np.float32 and plain.endswith((".weight", ".bias")):
                found[plain] = torch.from_numpy(value.copy())
        for node in (n for g in graphs for n in g.node if n.op_type == "MatMulInteger"):
            rounded = next(name for name in node.input if "_quantized" in name and name in kept)
            scale = kept[rounded.replace("_quantized", "_scale")]
            zero = kept[rounded.replace("_quantized", "_zero_point")].astype(np.float32)
            value = (kept[rounded].astype(np.float32) - zero) * scale
            plain = prefix + node.name.removesuffix("_quant").removesuffix("/MatMul").strip("/").replace("/", ".")
            # A graph multiplies from the left: a layer keeps its matrix the other way round.
            found[f"{plain}.weight"] = torch.from_numpy(value.T.copy())
    state = model.state_dict()
    shared = found.get("model.shared.weight", found.get("model.encoder.embed_tokens.weight"))
    tied = [name for name in state if name.endswith(("embed_tokens.weight", "lm_head.weight", "shared.weight"))]
    whole = {name: shared if name in tied else found.get(name) for name in state}
    if missing := [name for name, value in whole.items() if value is None or value.shape != state[name].shape]:
        raise SystemExit(f"{folder}: the graphs do not hold {', '.join(missing)}")
    return whole
