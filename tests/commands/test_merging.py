"""`bge-fast mix` and `bge-fast merge-lora`: what they write, what they say, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel, mix_models
from bge_fast.commands.cli import main
from bge_fast.merging.losses import weights_by_data
from tests.merging.test_weights_by_data import EXAMPLES
from tests.support.adapters import adapter, lora
from tests.support.checkpoints import checkpoint
from tests.support.malformed import QUERY, WEIGHTS


def test_mix_with_weights(tmp_path, capsys):
    models = [str(checkpoint("tiny-bert"))] * 2
    assert main(["mix", *models, "-w", "1.5", "-0.5", "-o", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'out'}\n"
    assert f"1.500000 of {models[0]}" in err
    mix_models(models, weights=[1.5, -0.5], output_path=tmp_path / "wanted")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (tmp_path / "wanted" / WEIGHTS).read_bytes()


def test_mix_with_examples(tmp_path, capsys):
    models = [str(checkpoint("tiny-bert"))] * 2
    file = tmp_path / "examples.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in EXAMPLES))
    words = ["--examples", str(file), "--negatives", "3", "--batch-size", "4", "--seed", "7"]
    assert main(["mix", *models, *words, "-o", str(tmp_path / "out")]) == 0
    wanted = weights_by_data(models, EXAMPLES, negatives=3, batch_size=4, seed=7)
    assert f"{wanted[0]:.6f} of {models[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-w", "0.5"], "2 models and 1 weights"),
        (["-w", "0.5", "0.4"], "add up to 0.9"),
        ([], "give either weights"),
        (["-w", "0.5", "0.5", "--examples", "x"], "give either weights"),
    ],
)
def test_mix_refuses(tmp_path, capsys, words, said):
    models = [str(checkpoint("tiny-bert"))] * 2
    assert main(["mix", *models, *words, "-o", str(tmp_path / "out")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_weight_that_is_no_number_is_wrong_usage(capsys):
    assert main(["mix", "a", "b", "-w", "half", "nan", "-o", "out"]) == 2
    assert "'half' is not a number" in capsys.readouterr().err


@pytest.mark.parametrize("named", [True, False])
def test_merge_lora(own_checkpoint, tmp_path, capsys, named):
    base = "nowhere" if named else str(own_checkpoint)
    folder = adapter(tmp_path / "lora", base, lora(QUERY, (32, 32)))
    words = [str(own_checkpoint), folder] if named else [folder]
    assert main(["merge-lora", *words, "-o", str(tmp_path / "out")]) == 0
    out = Path(capsys.readouterr().out.strip())
    over = adapter(tmp_path / "over", str(own_checkpoint), lora(QUERY, (32, 32)))
    assert np.array_equal(FlagModel(str(out)).encode("a wing"), FlagModel(over).encode("a wing"))


def test_merge_lora_needs_an_adapter(own_checkpoint, tmp_path, capsys):
    assert main(["merge-lora", str(own_checkpoint), "-o", str(tmp_path / "out")]) == 1
    assert "is no folder with adapter_config.json" in capsys.readouterr().err
