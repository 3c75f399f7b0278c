"""Takes out of a decoder what it computes about shapes, and not about words.

Traced graphs write each reshape of attention as a computation: the shape of what comes in, two numbers of it, put together with two that
are known.  With what each layer does for a mask that is the same for all it is a third of a Whisper decoder's operators, and each costs
microseconds for every token.  ONNX says the same by a constant: where that has a 0, it is as long as before.
"""

from __future__ import annotations

import numpy
import onnx
from onnx import helper, numpy_helper

from export_blocks import nodes

#: What is in the names of all that attention gives, and of what the words' own attention gives.
ATTENTION, OWN = "_attn/", "/self_attn/"


def constant(model: onnx.ModelProto) -> onnx.ModelProto:
    """One step of a decoder, before it is merged with the other."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    constants = {one.name: one for one in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    reshape(graph, makers, constants)
    look_at_one_mask(graph)
    trust_in_a_word(graph, makers)
    remove_dead(graph)
    return model


def reshape(graph: onnx.GraphProto, makers: dict[str, onnx.NodeProto], constants: dict[str, onnx.TensorProto]) -> None:
    """A shape of which each number is known, or stands at the same place of another's, becomes a constant."""
    made: dict[tuple[int, ...], str] = {}

    def number(name: str, place: int) -> int | None:
        if name in constants:
            return only(constants[name])
        gather = made_by(makers, "Unsqueeze", name, "Gather")
        if gather is None or made_by(makers, "Gather", gather.output[0], "Shape") is None or gather.input[1] not in constants:
            return None
        return 0 if only(constants[gather.input[1]]) == place else None

    for node in graph.node:
        if node.op_type != "Reshape" or ATTENTION not in node.output[0]:
            continue
        parts = makers.get(node.input[1])
        if parts is None or parts.op_type != "Concat":
            continue
        shape = tuple(number(name, place) for place, name in enumerate(parts.input))
        if None in shape:
            continue
        node.input[1] = made.setdefault(shape, f"attention_shape_{len(made)}")
    for shape, name in made.items():
        value = numpy_helper.from_array(numpy.array(shape, "int64"), name)
        graph.node.insert(0, helper.make_node("Constant", [], [name], name=name, value=value))


def only(tensor: onnx.TensorProto) -> int | None:
    """The number of which a tensor consists."""
    values = numpy_helper.to_array(tensor).reshape(-1)
    return int(values[0]) if len(values) == 1 else None


def made_by(makers: dict[str, onnx.NodeProto], kind: str, name: str, before: str) -> onnx.NodeProto | None:
    """What stands before the node that makes this, if both are of these kinds."""
    node = makers.get(name)
    earlier = makers.get(node.input[0]) if node is not None and node.op_type == kind else None
    return earlier if earlier is not None and earlier.op_type == before else None


def look_at_one_mask(graph: onnx.GraphProto) -> None:
    """Each layer cuts the mask to as many words as it has kept keys of, which are as many in all: asked of the first one alone, all the
    cuts are the same, and ONNX Runtime makes one."""
    asking = [node for node in graph.node if node.op_type == "Shape" and node.input[0].startswith("present.")
              and node.input[0].endswith(".decoder.key")]
    for node in asking[1:]:
        node.input[0] = asking[0].input[0]


def trust_in_a_word(graph: onnx.GraphProto, makers: dict[str, onnx.NodeProto]) -> None:
    """A row of attention that sees nothing would be no numbers, and is looked out for.  A word sees itself: it never is."""
    instead = {}
    for node in graph.node:
        looks = makers.get(node.input[0]) if node.op_type == "Where" and OWN in node.output[0] else None
        if looks is not None and looks.op_type == "IsNaN" and looks.input[0] == node.input[2]:
            instead[node.output[0]] = node.input[2]
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]


def remove_dead(graph: onnx.GraphProto) -> None:
    """What nothing asks for any more."""
    while True:
        wanted = {name for node in nodes(graph) for name in node.input} | {one.name for one in graph.output}
        dead = [node for node in graph.node if not wanted.intersection(node.output)]
        if not dead:
            return
        for node in dead:
            graph.node.remove(node)
