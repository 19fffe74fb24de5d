import json
import math
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.fakes.unprivileged import unprivileged
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.config import RunConfig
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.errors import ConfigError, DataError, StorageError
from visionthink.model import bundled as subject
from visionthink.model.bundled import base_folder, bundled_path
from visionthink.model.folder import LoadedModel, halve, load_model, save_model
from visionthink.storage import DiskFullError, PermissionDeniedError, verify


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may outgrow the limit, which the system reports as it reports a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def tiny() -> LoadedModel:
    return LoadedModel(tiny_model(), tiny_processor())


def test_a_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    save_model(tiny(), tmp_path / "model", RunConfig())
    weights = load_file(tmp_path / "model" / "model.safetensors")
    lost = next(name for name in weights if "q_proj" in name)
    save_file({name: value for name, value in weights.items() if name != lost}, tmp_path / "model/model.safetensors")
    with pytest.raises(ConfigError, match=r"lacks 1 weights, .*q_proj"):
        load_model(tmp_path / "model")


def test_saved_model_is_whole_and_says_how_to_ask_it(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(tiny(), folder, RunConfig())
    files = set(verify(folder).files)
    assert {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json"} <= files
    card = json.loads((folder / "visionthink.json").read_text())
    assert card["episode"]["direct_protocol"] == "compact-general-v1"
    assert card["view"] == {"max_pixels": 12544, "min_pixels": 12544, "shrink": 2}


def test_saved_model_loads_again(tmp_path: Path) -> None:
    save_model(tiny(), tmp_path / "model", RunConfig())
    loaded = load_model(tmp_path / "model")
    assert loaded.model.num_parameters() == tiny_model().num_parameters()
    assert loaded.processor.tokenizer.get_vocab() == tiny_processor().tokenizer.get_vocab()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_model_is_loaded_in_full_precision_and_saved_in_its_own(tmp_path: Path, dtype: torch.dtype) -> None:
    save_model(LoadedModel(tiny_model(), tiny_processor(), dtype), tmp_path / "base", RunConfig())
    loaded = load_model(tmp_path / "base")
    assert loaded.saved_as == dtype
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.float32}
    save_model(loaded, tmp_path / "again", RunConfig())
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "again"))
    assert all(weight.dtype == dtype and torch.equal(weight, second[name]) for name, weight in first.items())
    assert json.loads((tmp_path / "again" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    assert TransformersEngine.load(tmp_path / "again").model == "again"


def test_halved_file_is_half_as_large_and_loads_as_the_model_that_was_rounded(tmp_path: Path) -> None:
    loaded = tiny()
    halve(loaded.model)
    save_model(loaded, tmp_path / "whole", RunConfig())
    save_model(loaded, tmp_path / "half", RunConfig(), halved=True)
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.51 * whole
    again = load_model(tmp_path / "half")
    assert again.saved_as == torch.float32
    weights = again.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in loaded.model.state_dict().items())


@pytest.mark.parametrize(
    ("value", "dtype"), [(math.nan, torch.float32), (-math.inf, torch.float32), (1e6, torch.float16)]
)
def test_model_with_weights_that_are_not_finite_is_not_saved(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight[3, 5] = value
    with pytest.raises(DataError, match=r"weights .*embed_tokens\.weight of .*model would not be finite"):
        save_model(LoadedModel(model, tiny_processor(), dtype), tmp_path / "model", RunConfig())
    assert list(tmp_path.iterdir()) == []


def test_model_that_was_saved_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        save_model(tiny(), tmp_path / "model", RunConfig())


@pytest.mark.usefixtures("small_disk")
def test_model_on_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"could not write .*model"):
        save_model(tiny(), tmp_path / "model", RunConfig())
    assert list(tmp_path.iterdir()) == []


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no model"):
        load_model(tmp_path)


def test_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("model.safetensors", "cut off"), ("tokenizer.json", "{}"), ("config.json", '{"vision_config": 3}')],
)
def test_damaged_model_is_refused(name: str, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(tiny(), folder, RunConfig())
    (folder / name).write_text(text)
    for load in (load_model, TransformersEngine.load):
        with pytest.raises(ConfigError, match="cannot be loaded"):
            load(folder)


def test_saved_model_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    save_model(tiny(), tmp_path / "model", RunConfig())
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(modes, (tmp_path / "usual").stat().st_mode)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_model_that_is_closed_to_this_user_is_called_so(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    save_model(tiny(), folder, RunConfig())
    (folder / name).chmod(0)
    for load in (load_model, TransformersEngine.load, lambda folder: base_folder(str(folder))):
        with unprivileged(), pytest.raises(PermissionDeniedError, match=rf"{name}: permission denied: let this user"):
            load(folder)


def test_base_folder_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert base_folder(str(tmp_path)) == tmp_path
    with pytest.raises(ConfigError, match="absent holds no model"):
        base_folder("absent")


def test_missing_bundled_model_says_how_to_build_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(subject._SHIPPED, "embedded", subject._Shipped(tmp_path, ""))
    with pytest.raises(ConfigError, match=f"visionthink base-model build --out {tmp_path}"):
        base_folder("embedded")
    (tmp_path / "config.json").write_text("{}")
    assert bundled_path() == base_folder("embedded") == tmp_path
