"""Sound weight files whose tensors are not what `config.json` says: missing, misshapen, of other types."""

from pathlib import Path

import numpy as np
import pytest

from bge_fast.errors import ModelFormatError
from tests.support.checkpoints import edit_json
from tests.support.malformed import QUERY, WEIGHTS, WORDS, Cases, change_tensors, refused, safetensors, tiny_tensors

cases = Cases()

for kind, said in [("int64", "I64"), ("bool", "BOOL")]:

    def of_another_type(folder: Path, kind: str = kind) -> None:
        change_tensors(folder, lambda tensors: tensors.update({QUERY: tensors[QUERY].astype(kind)}))

    of_another_type.__name__ = f"weights_of_{kind}"
    cases(ModelFormatError, rf"^model\.safetensors: the tensor {QUERY} is of type {said}; weights are float32")(
        of_another_type
    )

# One of each kind that the graph needs.
for name in tiny_tensors():
    if "layer.1." in name and ".attention.self.key" not in name:
        continue

    def without(folder: Path, name: str = name) -> None:
        change_tensors(folder, lambda tensors: tensors.pop(name))

    without.__name__ = f"without_{name}"
    said = "without an encoder of the type bert" if name == WORDS else f"without the tensor {name}"
    cases(ModelFormatError, rf"^model\.safetensors is {said}")(without)


@cases(ModelFormatError, r"intermediate\.dense\.weight has the shape \[32, 64\] where \[64, 32\] is expected")
def transposed(folder: Path) -> None:
    key = "encoder.layer.1.intermediate.dense.weight"
    change_tensors(folder, lambda tensors: tensors.update({key: tensors[key].T.copy()}))


@cases(ModelFormatError, rf"{WORDS} has the shape \[2999, 32\] where \[3000, 32\]")
def vocabulary_smaller_than_the_configuration_says(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({WORDS: tensors[WORDS][:-1]}))


@cases(ModelFormatError, r"LayerNorm\.weight has the shape \[\] where \[32\]")
def scalar_where_a_vector_belongs(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({"embeddings.LayerNorm.weight": np.float32(1).reshape(())}))


@cases(ModelFormatError, r"position_embeddings\.weight has the shape \[0, 32\]")
def table_without_rows(folder: Path) -> None:
    key = "embeddings.position_embeddings.weight"
    change_tensors(folder, lambda tensors: tensors.update({key: tensors[key][:0]}))


@cases(ModelFormatError, r"without the tensor encoder\.layer\.2\.attention")
def fewer_layers_than_the_configuration_says(folder: Path) -> None:
    edit_json(folder / "config.json", num_hidden_layers=3)


@cases(ModelFormatError, r"without the tensor encoder\.layer\.2\.attention")
def a_billion_layers(folder: Path) -> None:
    edit_json(folder / "config.json", num_hidden_layers=10**9)


@cases(ModelFormatError, r"has the shape \[3000, 32\] where \[3000, 2147483600\]")
def hidden_states_of_two_billion(folder: Path) -> None:
    edit_json(folder / "config.json", hidden_size=2_147_483_600)


@cases(ModelFormatError, r"^model\.safetensors is without an encoder of the type bert.*there are 2 tensors: lora_A")
def tensors_of_another_model(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(safetensors({"lora_A": np.zeros(2, np.float32), "lora_B": np.zeros(2, np.float32)}))


@cases(ModelFormatError, r"^model\.safetensors is without an encoder of the type bert")
def no_tensors(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(safetensors({}))


@cases(ModelFormatError, r"there are \d+ tensors: \\u\{1b\}\[2J")
def names_that_would_clear_the_screen(folder: Path) -> None:
    change_tensors(folder, lambda tensors: (tensors.pop(WORDS), tensors.update({"\x1b[2J": np.zeros(1, np.float32)})))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("spoil", "error", "said"), cases)
def test_tensors_that_do_not_fit_are_refused(own_checkpoint, spoil, error, said):
    spoil(own_checkpoint)
    refused(own_checkpoint, error, said)
