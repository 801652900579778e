"""Mistakes that an assembled graph could have, each made in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

Mistake = Callable[[onnx.GraphProto], None]


def keys_for_values(graph: onnx.GraphProto) -> None:
    for node in of_type(graph, "MultiHeadAttention"):
        node.input[1], node.input[2] = node.input[2], node.input[1]


def one_head(graph: onnx.GraphProto) -> None:
    for node in of_type(graph, "MultiHeadAttention"):
        attribute(node, "num_heads").i = 1


def no_mask(graph: onnx.GraphProto) -> None:
    for node in of_type(graph, "MultiHeadAttention"):
        del node.input[4:]


def weak_mask(graph: onnx.GraphProto) -> None:
    for node in of_type(graph, "MultiHeadAttention"):
        attribute(node, "mask_filter_value").f = -5


def other_gelu(graph: onnx.GraphProto) -> None:
    for node in of_type(graph, "BiasGelu"):
        node.op_type = "FastGelu"


def other_epsilon(graph: onnx.GraphProto) -> None:
    for node in of_type(graph, "SkipLayerNormalization"):
        attribute(node, "epsilon").f = 1e-5


def second_token_type(graph: onnx.GraphProto) -> None:
    move_by_a_row(graph, "embeddings.token_type_embeddings.weight[0]")


def second_position(graph: onnx.GraphProto) -> None:
    """Of the first one's place; the table's last row becomes what lies behind it."""
    move_by_a_row(graph, "embeddings.position_embeddings.weight")


def last_token(graph: onnx.GraphProto) -> None:
    """Put out instead of the first one."""
    for tensor in graph.initializer:
        if tensor.name == "first":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([-1]), "first"))


MISTAKES: tuple[Mistake, ...] = (
    keys_for_values,
    one_head,
    no_mask,
    weak_mask,
    other_gelu,
    other_epsilon,
    second_token_type,
    second_position,
    last_token,
)


def of_type(graph: onnx.GraphProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == operator]


def attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    return next(item for item in node.attribute if item.name == name)


def move_by_a_row(graph: onnx.GraphProto, name: str) -> None:
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    offset = next(item for item in tensor.external_data if item.key == "offset")
    offset.value = str(int(offset.value) + 4 * tensor.dims[-1])
