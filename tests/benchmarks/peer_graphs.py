"""Forms of an exported graph that peers open: `peer_graphs.py FORM EXPORTED FOLDER`.

`plain`: Optimum's graph as it is, under the names that each looks for. `dynamic`: onnxruntime's dynamic int8, per channel.
`static`: NNCF's int8 with fixed scales, of 100 abstracts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cranfield
import texts
from competitors import Tokens

_CALIBRATION = 100


def main() -> None:
    form, exported, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    graph = exported / "onnx" / "model.onnx"
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    _FORMS[form](graph, folder)
    for file in exported.glob("*.json"):
        # Last, so that a folder with it is complete.
        if file.name != "config.json":
            shutil.copyfile(file, folder / file.name)
    shutil.copyfile(exported / "config.json", folder / "config.json")


def plain(graph: Path, folder: Path) -> None:
    shutil.copyfile(graph, folder / "onnx" / "model.onnx")
    _link(folder)


def dynamic(graph: Path, folder: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Without VNNI products of signed weights saturate.
    kind = QuantType.QInt8 if "vnni" in Path("/proc/cpuinfo").read_text() else QuantType.QUInt8
    graph, folder = graph.resolve(), folder.resolve()
    # Both leave temporary files where they are called.
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        prepared = Path(scratch) / "model.onnx"
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, folder / "onnx" / "model.onnx", per_channel=True, weight_type=kind)
    _link(folder)


def static(graph: Path, folder: Path) -> None:
    import nncf
    import openvino

    model = openvino.Core().read_model(graph)
    tokens = Tokens(graph.parents[1])
    tokens.inputs = [given.any_name for given in model.inputs]
    passages = texts.load(cranfield.FOLDER, _CALIBRATION).passages
    data = nncf.Dataset([tokens.feeds([ids]) for ids in tokens.ids(passages)])
    quantized = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=_CALIBRATION)
    openvino.save_model(quantized, folder / "openvino.xml", compress_to_fp16=False)


def _link(folder: Path) -> None:
    """libembedding-ng looks for the graph beside the configuration."""
    link = folder / "model.onnx"
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.join("onnx", "model.onnx"))


_FORMS: dict[str, Callable[[Path, Path], None]] = {"plain": plain, "dynamic": dynamic, "static": static}


if __name__ == "__main__":
    main()
