"""The fp16 graph for CUDA: fused first, converted after.

In this order the attention mask has become a vector of lengths before any number is rounded, so no mask
constant of -3.4e38 is left that fp16 could not hold.
"""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import VerificationError

if TYPE_CHECKING:
    import onnx
    from onnxruntime.transformers.onnx_model import OnnxModel  # type: ignore[import-untyped]

# A layer norm epsilon that survives in fp16: BERT's 1e-12 rounds to 0, and a constant row divides by 0.
MIN_EPSILON = 1e-7
# Most negative mask value that fp16 holds; transformers' -3.4e38 would become minus infinity.
MIN_MASK_VALUE = -65504.0

EXTERNAL_DATA_THRESHOLD = (1 << 31) - (1 << 26)  # protobuf's 2 GiB less room for the graph itself


def write_fp16(fp32_path: Path, fp16_path: Path, encoder: Encoder) -> None:
    """Fuse the fp32 graph, convert it to fp16 with fp32 outputs, and write it."""
    fused = _fused(fp32_path, encoder)
    # The tools leave cycles that hold whole copies of the weights: without collecting them, XLM-R large needs 21 GB.
    gc.collect()
    fused.convert_float_to_float16(keep_io_types=True)
    _keep_attributes_in_range(fused.model)
    _save(fused.model, fp16_path)
    del fused
    gc.collect()


def _fused(path: Path, encoder: Encoder) -> "OnnxModel":
    from onnxruntime.transformers.fusion_options import FusionOptions  # type: ignore[import-untyped]
    from onnxruntime.transformers.optimizer import optimize_model  # type: ignore[import-untyped]

    options = FusionOptions("bert")
    options.enable_gelu_approximation = False  # BGE uses the erf form; tanh is off by about 1e-3
    fused = optimize_model(
        str(path),
        model_type="bert",  # XLM-R has no type of its own; its layers fuse as BERT's
        num_heads=encoder.heads,
        hidden_size=encoder.hidden_size,
        optimization_options=options,
        opt_level=0,
    )
    attentions = fused.get_fused_operator_statistics()["Attention"]
    if attentions != encoder.layers:
        raise VerificationError(f"Only {attentions} of {encoder.layers} attention layers could be fused for fp16.")
    return fused


def _keep_attributes_in_range(model: "onnx.ModelProto") -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = max(attribute.f, MIN_EPSILON)
            elif attribute.name == "mask_filter_value":
                attribute.f = max(attribute.f, MIN_MASK_VALUE)


def _save(model: "onnx.ModelProto", path: Path) -> None:
    import onnx

    path.parent.mkdir(exist_ok=True)
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights > EXTERNAL_DATA_THRESHOLD:
        onnx.save(model, path, save_as_external_data=True, location=f"{path.name}_data")
    else:
        onnx.save(model, path)
