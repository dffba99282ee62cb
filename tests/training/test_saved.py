"""A run's folder is enough to build its classifier again."""

import json
import re
from pathlib import Path

import pytest
import torch

from globalpool.classifier import InputSpec
from globalpool.errors import DataError, TrainingError
from globalpool.training import Architecture, Call, RunFolder, TrainingSettings, load_run, train
from tests.training.tiny import Coloured, tiny

SPEC = InputSpec(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CLASSES = ("a", "b", "c")
TRUNKS = {
    "convnet": Call("convnet", (4, 8)),
    "timm": Call("timm:test_resnet"),
    "transformer": Call("timm:test_vit"),
    "naflex": Call("timm:naflexvit_base_patch16_gap", (), {"embed_dim": 32, "depth": 1, "num_heads": 2}),
    "efficientnet_lite0": Call("efficientnet_lite0"),
}
POOLS = {
    "Mean": Call("Mean"),
    "Grid": Call("Grid", (2, 2)),
    "GeM": Call("GeM", (), {"p": 2.5}),
    "Attention": Call("Attention"),
}


@pytest.mark.parametrize(
    ("trunk", "pool"),
    [*(("convnet", pool) for pool in POOLS), *((name, "Mean") for name in ("timm", "transformer", "naflex"))],
)
def test_a_run_loads_by_itself(tmp_path: Path, trunk: str, pool: str) -> None:
    plan = Architecture(TRUNKS[trunk], POOLS[pool], CLASSES, SPEC)
    run = RunFolder.create(tmp_path / "run", {"architecture": plan.record()})
    classifier = plan.build()
    train(classifier, Coloured(6), Coloured(6), TrainingSettings(epochs=1), run)
    loaded = load_run(tmp_path / "run")
    x = torch.randn(2, 3, 40, 56)
    assert torch.equal(loaded(x), classifier(x))
    assert not torch.equal(loaded(x), plan.build().eval()(x))
    assert (loaded.labels, loaded.input_spec, loaded.training) == (CLASSES, SPEC, False)
    assert str(loaded.pool) == str(classifier.pool)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["architecture"]["classes"] == list(CLASSES)
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "run").glob("*.json"))


def test_a_plan_is_built_alike_each_time_and_without_the_callers_random_numbers() -> None:
    plan = Architecture(TRUNKS["efficientnet_lite0"], POOLS["Mean"], CLASSES, SPEC)
    state = torch.get_rng_state()
    first, second = plan.build().state_dict(), plan.build().state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert Architecture.read(json.loads(json.dumps(plan.record()))).build().labels == CLASSES


def test_runs_that_cannot_be_loaded_say_why(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    train(tiny(), Coloured(6), None, TrainingSettings(epochs=1), run)
    message = "a config that says how the classifier is built; got none. Pass the classifier it was trained with"
    with pytest.raises(TrainingError, match=re.escape(message)):
        load_run(run.path)
    assert load_run(run.path, tiny(seed=5)).tail.weight.shape == (3, 6)
    with pytest.raises(TrainingError, match=r"the run describes; got a difference in trunk.0.bias, "):
        load_run(run.path, Architecture(TRUNKS["convnet"], POOLS["Mean"], CLASSES, SPEC).build())
    content = (run.path / "best.safetensors").read_bytes()
    (run.path / "best.safetensors").write_bytes(content[:-4])
    with pytest.raises(DataError, match=r"best.safetensors: expected a whole safetensors file; got "):
        load_run(run.path, tiny())
    mixer = Call("timm:mixer_s32_224", (), {"mlp_ratio": (0.1, 0.1)})
    with pytest.raises(TrainingError, match=r"a feature map \(N, C, H, W\); got \(1, "):
        Architecture(mixer, POOLS["Mean"], CLASSES, InputSpec(224, SPEC.mean, SPEC.std)).build()
    with pytest.raises(
        TrainingError, match=r"trunk: expected one of convnet, .*, efficientnet_lite0, or timm:NAME; got convent"
    ):
        Architecture(Call("convent"), POOLS["Mean"], CLASSES, SPEC).build()
