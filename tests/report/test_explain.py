"""A folder of pictures in, a folder of evidence out: complete, honest about what could not be read, repeatable."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import globalpool as gp
from globalpool.errors import DataError, EvidenceError
from globalpool.models import convnet
from globalpool.report import draw_evidence
from globalpool.report.variation import Variation
from tests.data import torture
from tests.evidence.test_no_side_effects import same, state


def classifier(pool: gp.Pool | None = None) -> gp.PooledClassifier:
    torch.manual_seed(0)
    network = convnet(2, num_classes=4, widths=(8, 16), pool=pool, labels=["a", "b<i>", "c", "d"]).eval()
    network.input_spec = gp.InputSpec(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return network


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    torture.make(folder)
    return folder


def test_the_torture_folder_loses_nothing_and_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    model = classifier()
    before = state(model)
    contents = {path: path.read_bytes() for path in pictures.iterdir()}
    result = gp.explain(model, [pictures], tmp_path / "out", classes="top2", size=32)
    assert same(before, state(model))
    assert {path: path.read_bytes() for path in pictures.iterdir()} == contents
    bad = {name for name, (_, outcome) in torture.FILES.items() if isinstance(outcome, str)}
    rows, errors = table(tmp_path / "out/predictions.csv"), table(tmp_path / "out/errors.csv")
    assert {Path(row["path"]).name for row in errors} == bad
    assert {Path(row["path"]).name for row in rows} == set(torture.FILES) - bad
    assert len(rows) == 2 * (40 - len(bad)) == len(result.predictions)
    for row in errors:
        assert row["reason"].startswith(row["path"] + ": expected ")
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "<script" not in page, "file names are text, not markup"
    assert "&lt;script&gt;alert(1)" in page
    assert "b&lt;i&gt;" in page
    for name in re.findall(r'<img src="([^"]+)"', page):
        with Image.open(tmp_path / "out" / name) as figure:
            assert figure.size[0] > 300
    assert not re.search(r"https?://", page), "nothing is loaded from elsewhere"


@pytest.mark.parametrize("pool", [gp.Mean(), gp.LogMeanExp(3.0)], ids=lambda pool: pool.name)
@pytest.mark.parametrize("size", [32, None])
def test_the_files_tell_one_story(pool: gp.Pool, size: int | None, tmp_path: Path) -> None:
    for number, shape in enumerate([(40, 30), (25, 60)]):
        noise = np.random.default_rng(number).integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    model = classifier(pool)
    result = gp.explain(model, sorted(tmp_path.glob("*.png")), tmp_path / "out", classes="top3", size=size)
    rows, archive = table(tmp_path / "out/predictions.csv"), np.load(tmp_path / "out/evidence.npz")
    assert model.input_spec is not None
    for number in range(2):
        x = gp.data.prepare(gp.data.read_picture(tmp_path / f"{number}.png"), model.input_spec, size)
        with torch.inference_mode():
            logits = model(x)[0].double()
        key, own = f"{number:05d}", [row for row in rows if row["path"].endswith(f"{number}.png")]
        assert archive[f"{key}/classes"].tolist() == logits.topk(3).indices.tolist()
        total = archive[f"{key}/maps"].sum((1, 2)) + archive[f"{key}/offset"]
        assert np.abs(total - archive[f"{key}/logits"]).max() < 1e-5
        assert archive[f"{key}/picture_size"].tolist() == [[40, 30], [25, 60]][number]
        for rank, row in enumerate(own):
            k = int(row["class_id"])
            assert row["rank"] == str(rank + 1)
            assert row["class"] == model.labels[k] if model.labels else False
            assert float(row["probability"]) == pytest.approx(logits.softmax(0)[k].item(), abs=1e-6)
            assert float(row["raw_logit"]) == pytest.approx(logits[k].item(), abs=1e-5)
            assert float(row["centered_logit"]) == pytest.approx((logits[k] - logits.mean()).item(), abs=1e-5)
            parts = float(row["evidence_for"]) + float(row["evidence_against"]) + float(row["offset"])
            assert parts == pytest.approx(float(row["centered_logit"]), abs=1e-5)
            assert float(row["evidence_for"]) >= 0 >= float(row["evidence_against"])
            assert float(row["residual"]) < 1e-5
    assert result.residual < 1e-5
    assert result.kind == ("linear" if pool.affine else "weighted")
    assert (result.offset_share == 0) == pool.affine
    assert json.dumps(result.errors) == "[]"


def test_a_folder_that_is_not_ours_is_never_written_to(pictures: Path, tmp_path: Path) -> None:
    model, out = classifier(), tmp_path / "out"
    one = [pictures / "plain.png"]
    gp.explain(model, one, out, size=32)
    with pytest.raises(DataError, match=r"got one with an earlier explanation. Pass --overwrite to replace it."):
        gp.explain(model, one, out, size=32)
    (out / "pictures/00009.png").write_bytes(b"stale")
    gp.explain(model, one, out, size=32, overwrite=True)
    assert sorted(path.name for path in (out / "pictures").iterdir()) == ["00000.png"]
    with pytest.raises(DataError, match=r"expected a new or empty folder; got one with other files. Choose another"):
        gp.explain(model, one, tmp_path, size=32, overwrite=True)
    with pytest.raises(DataError, match=r"expected a folder to write to; got a file"):
        gp.explain(model, one, pictures / "plain.png", size=32)


def test_explaining_a_folder_twice_does_not_explain_the_explanation(pictures: Path) -> None:
    model, out = classifier(), pictures / "out"
    first = gp.explain(model, [pictures], out, classes="top1", size=32)
    second = gp.explain(model, [pictures], out, classes="top1", size=32, overwrite=True)
    assert [row.path for row in first.predictions] == [row.path for row in second.predictions]
    assert [row.probability for row in first.predictions] == [row.probability for row in second.predictions]


def test_chosen_classes_and_questions_without_an_answer(pictures: Path, tmp_path: Path) -> None:
    model = classifier()
    chosen = gp.explain(model, [pictures / "plain.png"], tmp_path / "a", classes=torch.tensor([3, 1]), size=32)
    assert [row.class_id for row in chosen.predictions] == [3, 1]
    assert np.isnan(chosen.offset_share)
    with pytest.raises(DataError, match=r"explain: expected at least one picture; got none in"):
        gp.explain(model, [tmp_path / "a" / "nothing"][:0], tmp_path / "b")
    with pytest.raises(EvidenceError, match=r"`classes` to be .*; got 'top5'"):
        gp.explain(model, [pictures / "plain.png"], tmp_path / "d", classes="top5", size=32)
    model.input_spec = None
    with pytest.raises(
        DataError, match=r"expected a classifier that says how pictures are prepared; got input_spec=None"
    ):
        gp.explain(model, [pictures / "plain.png"], tmp_path / "c")


def test_every_bad_file_alone_still_ends_with_a_page(pictures: Path, tmp_path: Path) -> None:
    result = gp.explain(classifier(), [pictures / "bomb.png", tmp_path / "missing.jpg"], tmp_path / "out", size=32)
    assert result.predictions == ()
    assert len(result.errors) == 2
    assert "no such file" in (tmp_path / "out/index.html").read_text(encoding="utf-8")


def test_raw_maps_are_not_drawn() -> None:
    evidence = classifier().evidence(torch.randn(1, 3, 16, 16), 0)
    with pytest.raises(
        EvidenceError, match=r"expected evidence against something, with a meaning of zero; got raw maps"
    ):
        draw_evidence(np.zeros((9, 9, 3), dtype=np.uint8), [(evidence, "title")])


def test_colours_mean_what_the_bar_says() -> None:
    """Positive evidence is red, negative blue, zero shows the grey picture."""
    head = gp.PooledHead(gp.Mean(), 1, 2, bias=False)
    nn.init.constant_(head.tail.weight[0:1], 1.0)
    nn.init.constant_(head.tail.weight[1:2], -1.0)
    x = torch.tensor([[[[1.0, 0.0, -1.0]]]])
    evidence = head.evidence(x, "all").detach().contrast(0, 1)
    figure = draw_evidence(np.full((10, 30, 3), 128, dtype=np.uint8), [(evidence, "t")])
    shown = np.asarray(figure.axes[1].images[0].get_array())
    left, middle, right = shown[5, 2], shown[5, 14], shown[5, 27]
    assert left[0] > left[2] + 0.2
    assert right[2] > right[0] + 0.2
    assert np.ptp(middle) < 0.1
    assert np.abs(figure.axes[2].get_ylim()).tolist() == pytest.approx([2 / 3, 2 / 3])


def test_variation_is_numpys() -> None:
    generator = np.random.default_rng(0)
    offset, logits = generator.normal(size=(50, 3)), generator.normal(size=(50, 3))
    logits += offset
    running = Variation()
    for o, s in zip(offset, logits, strict=True):
        running.add(torch.from_numpy(o), torch.from_numpy(s))
    o, s = offset - offset.mean(1, keepdims=True), logits - logits.mean(1, keepdims=True)
    covariance = sum(np.cov(o[:, k], s[:, k], bias=True)[0, 1] for k in range(3))
    assert running.offset_share() == pytest.approx(covariance / s.var(0).sum(), rel=1e-12)
    assert np.isnan(Variation().offset_share())
