"""`2_Dense` of sentence-transformers: told of, and applied with `dense=True`."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagAutoModel, FlagModel
from bge_fast.commands.cli import main
from bge_fast.errors import ModelFormatError, ModelNotFoundError, NumericsError, UnsupportedModelError
from tests.opening.test_hub import open_elsewhere
from tests.support.hub_double import REPOSITORY, serving
from tests.support.malformed import pickled, safetensors

TEXTS = ["a wing in a slipstream", "heat transfer", ""]
ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": lambda x: x,
    "torch.nn.modules.activation.Tanh": np.tanh,
    "torch.nn.modules.activation.ReLU": lambda x: np.maximum(x, 0),
    "torch.nn.modules.activation.Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "torch.nn.modules.activation.SiLU": lambda x: x / (1 + np.exp(-x)),
    "torch.nn.modules.activation.GELU": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
}


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def modules(folder: Path, *kinds: str) -> Path:
    """Write `modules.json`: Transformer, Pooling, and these, each in a folder of its place and kind."""
    entries = [
        ("", "Transformer"),
        ("1_Pooling", "Pooling"),
        *((f"{place}_{kind}", kind) for place, kind in enumerate(kinds, 2)),
    ]
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for n, (path, kind) in enumerate(entries)
            ]
        )
    )
    return folder


def layer(
    folder: Path,
    name: str,
    sizes: tuple[int, int],
    bias: bool = True,
    file: str = "model.safetensors",
    **config: object,
) -> tuple[np.ndarray, np.ndarray]:
    """Write a linear layer; return its weight and bias."""
    random = np.random.default_rng(sum(sizes))
    weight, shift = random.normal(size=sizes).astype(np.float32), random.normal(size=sizes[0]).astype(np.float32)
    tensors = {"linear.weight": weight, **({"linear.bias": shift} if bias else {})}
    (folder / name).mkdir()
    (folder / name / file).write_bytes(safetensors(tensors) if file.endswith("safetensors") else pickled(tensors))
    facts = {
        "in_features": sizes[1],
        "out_features": sizes[0],
        "bias": bias,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (folder / name / "config.json").write_text(json.dumps({**facts, **config}))
    return weight, shift if bias else np.zeros(sizes[0], np.float32)


@pytest.fixture
def pooled(bert: FlagModel) -> np.ndarray:
    return FlagModel(bert.model_name_or_path, normalize_embeddings=False).encode(TEXTS).astype(np.float64)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_applied(own_checkpoint, pooled, activation, file, bias):
    modules(own_checkpoint, "Dense", "Normalize")
    weight, shift = layer(own_checkpoint, "2_Dense", (16, 32), bias, file, activation_function=activation)
    model = FlagModel(str(own_checkpoint), dense=True)
    wanted = ACTIVATIONS[activation](pooled @ weight.T.astype(np.float64) + shift)
    got = model.encode(TEXTS)
    assert (got.dtype, got.shape, model.info()["dimension"]) == (np.float32, (3, 16), 16)
    assert np.allclose(got, unit(wanted), atol=1e-5)
    model.normalize_embeddings = False
    assert np.allclose(model.encode(TEXTS), wanted, atol=1e-4)
    model.truncate_dim, model.normalize_embeddings = 5, True
    assert np.allclose(model.encode(TEXTS), unit(wanted[:, :5]), atol=1e-5)
    assert model.encode(TEXTS[0]).shape == (5,)
    assert model.encode([]).shape == (0, 5)


def test_several_layers_in_their_order_and_normalization_where_it_stands(own_checkpoint, pooled):
    modules(own_checkpoint, "Normalize", "Dense", "Dropout", "Dense")
    first, shift = layer(own_checkpoint, "3_Dense", (20, 32), activation_function="torch.nn.modules.activation.Tanh")
    second, other = layer(own_checkpoint, "5_Dense", (7, 20))
    wanted = np.tanh(unit(pooled) @ first.T + shift) @ second.T + other
    assert np.allclose(
        FlagModel(str(own_checkpoint), dense=True, normalize_embeddings=False).encode(TEXTS), wanted, atol=1e-4
    )


def test_without_the_option_one_warning_names_it(own_checkpoint, bert):
    modules(own_checkpoint, "Dense", "Normalize")
    layer(own_checkpoint, "2_Dense", (16, 32))
    with pytest.warns(UserWarning, match="2_Dense, not applied.*dense=True") as told:
        model = FlagModel(str(own_checkpoint))
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(model.encode(TEXTS), bert.encode(TEXTS))
        FlagModel(str(own_checkpoint), dense=True)


def test_others_are_named_too(own_checkpoint):
    modules(own_checkpoint, "LayerNorm", "Normalize")
    with pytest.warns(UserWarning, match="2_LayerNorm, not applied"):
        FlagModel(str(own_checkpoint))
    with pytest.raises(UnsupportedModelError, match="LayerNorm"):
        FlagModel(str(own_checkpoint), dense=True)


def test_auto_classes_and_the_command_line_take_it(own_checkpoint, tmp_path):
    modules(own_checkpoint, "Dense")
    layer(own_checkpoint, "2_Dense", (16, 32))
    model = FlagAutoModel.from_finetuned(str(own_checkpoint), model_class="encoder-only-base", dense=True)
    wanted = model.encode(TEXTS)
    assert wanted.shape == (3, 16)
    (tmp_path / "lines.txt").write_text("\n".join(TEXTS) + "\n")
    assert (
        main(
            [
                "embed",
                str(own_checkpoint),
                str(tmp_path / "lines.txt"),
                "--dense",
                "--pooling",
                "cls",
                "-o",
                str(tmp_path / "out.npy"),
            ]
        )
        == 0
    )
    assert np.allclose(np.load(tmp_path / "out.npy"), wanted, atol=1e-6)


def test_of_a_repository_the_layer_is_fetched(own_checkpoint, tmp_path):
    modules(own_checkpoint, "Dense")
    layer(own_checkpoint, "2_Dense", (16, 32))
    with serving(own_checkpoint) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint, options=json.dumps({"dense": True}))
    assert opened["dimension"] == 16


def layer_without_bias(folder: Path) -> None:
    layer(modules(folder, "Dense"), "2_Dense", (16, 32), bias=False)
    config = json.loads((folder / "2_Dense/config.json").read_text())
    (folder / "2_Dense/config.json").write_text(json.dumps({**config, "bias": True}))


BROKEN = {
    "no module": (lambda folder: modules(folder, "Normalize"), ModelNotFoundError, "no Dense module"),
    "no folder": (lambda folder: modules(folder, "Dense"), ModelNotFoundError, "2_Dense has no config.json"),
    "no weights": (
        lambda folder: [
            layer(modules(folder, "Dense"), "2_Dense", (16, 32)),
            (folder / "2_Dense/model.safetensors").unlink(),
        ],
        ModelNotFoundError,
        "2_Dense has no weights",
    ),
    "other input": (
        lambda folder: layer(modules(folder, "Dense"), "2_Dense", (16, 31)),
        ModelFormatError,
        "2_Dense: linear.weight has the shape .16, 31.",
    ),
    "other sizes": (
        lambda folder: layer(modules(folder, "Dense"), "2_Dense", (16, 32), out_features=15),
        ModelFormatError,
        "2_Dense: linear.weight",
    ),
    "lost bias": (layer_without_bias, ModelFormatError, "linear.bias"),
    "own activation": (
        lambda folder: layer(modules(folder, "Dense"), "2_Dense", (16, 32), activation_function="my.Own"),
        UnsupportedModelError,
        "activation_function Own",
    ),
    "tokens": (
        lambda folder: layer(modules(folder, "Dense"), "2_Dense", (16, 32), module_input_name="token_embeddings"),
        UnsupportedModelError,
        "token_embeddings",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_is_named(own_checkpoint, case):
    spoil, error, said = BROKEN[case]
    spoil(own_checkpoint)
    with pytest.raises(error, match=said):
        FlagModel(str(own_checkpoint), dense=True)


def test_a_vector_that_is_not_finite_is_named(own_checkpoint):
    modules(own_checkpoint, "Dense")
    layer(own_checkpoint, "2_Dense", (16, 32))
    weight = np.full((16, 32), np.inf, np.float32)
    (own_checkpoint / "2_Dense" / "model.safetensors").write_bytes(
        safetensors({"linear.weight": weight, "linear.bias": np.zeros(16, np.float32)})
    )
    with pytest.raises(NumericsError, match=r"texts\[0\] is not finite"), np.errstate(invalid="ignore"):
        FlagModel(str(own_checkpoint), dense=True).encode(TEXTS)
