"""A folder of pictures in, a folder of evidence out: complete, honest about what could not be read, repeatable."""

import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import globalpool as gp
from globalpool.data import Picture, read_picture
from globalpool.errors import DataError, EvidenceError, GlobalPoolError
from globalpool.layout import Layout
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
    gp.explain(model, [pictures / "grey.png", *one], out, size=32, overwrite=True)
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
        DataError, match=r"expected a classifier that says how RGB pictures are prepared; got input_spec=None"
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


def test_identical_pictures_have_no_share_to_speak_of() -> None:
    running = Variation()
    for _ in range(4):
        running.add(torch.tensor([0.1, 0.7, -0.3]), torch.tensor([3.1, -2.7, 0.3]))
    assert np.isnan(running.offset_share())


def noisy(path: Path, *shape: int) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


class Scaled(gp.Mean):
    """A mean that tells slightly wrong weights."""

    def parts(self, features: torch.Tensor, layout: Layout) -> gp.pools.Parts:
        return gp.pools.Parts(super().parts(features, layout).weights * 1.001)


def test_evidence_that_does_not_add_up_is_an_error_and_the_residual_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, picture = classifier(Scaled()), noisy(tmp_path / "a.png", 32, 32)
    result = gp.explain(model, picture, tmp_path / "out", size=32)
    assert result.predictions == ()
    assert "Evidence.check: expected a residual of at most" in result.errors[0][1]
    monkeypatch.setattr(gp.Evidence, "check", lambda self, rtol=None: self)
    result = gp.explain(model, picture, tmp_path / "out", size=32, overwrite=True)
    first, bias = result.predictions[0], model.tail.bias.detach()  # type: ignore[operator]
    assert first.residual == pytest.approx(1e-3 * abs(first.raw_logit - float(bias[first.class_id])), rel=1e-2)


def test_one_picture_the_network_cannot_take_does_not_end_the_run(tmp_path: Path) -> None:
    model = classifier()
    model.trunk = nn.Sequential(nn.Conv2d(3, 16, 5))
    noisy(tmp_path / "a.png", 20, 30)
    noisy(tmp_path / "b.png", 1, 1)
    result = gp.explain(model, tmp_path, tmp_path / "out", size=None)
    assert [Path(row.path).name for row in result.predictions] == ["a.png"] * 3
    assert "b.png: expected an input the network can take, (1, 3, 1, 1); got" in result.errors[0][1]
    with torch.no_grad():
        model.tail.bias.fill_(torch.nan)  # type: ignore[operator]
    result = gp.explain(model, tmp_path / "a.png", tmp_path / "out2")
    assert "a.png: expected finite logits; got NaN or Inf." in result.errors[0][1]


def test_a_request_that_cannot_be_met_leaves_the_earlier_result_alone(pictures: Path, tmp_path: Path) -> None:
    model, out = classifier(), tmp_path / "out"
    gp.explain(model, pictures / "plain.png", out, size=32)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    requests: list[dict[str, Any]] = [
        {"classes": "top9"},
        {"classes": [7]},
        {"classes": []},
        {"size": 0},
        {"size": "native"},
    ]
    for request in requests:
        with pytest.raises(GlobalPoolError, match=r"expected"):
            gp.explain(model, pictures / "plain.png", out, overwrite=True, **request)
    with pytest.raises(DataError, match=r"expected pictures outside what is replaced; got .*00000.png"):
        gp.explain(model, [out / "pictures/00000.png"], out, overwrite=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_files_of_the_user_in_our_folder_survive(pictures: Path, tmp_path: Path) -> None:
    model, out = classifier(), tmp_path / "out"
    gp.explain(model, pictures / "plain.png", out, size=32)
    mine = noisy(out / "pictures" / "2024-holiday.png", 20, 20)
    result = gp.explain(model, [pictures / "plain.png", mine], out, classes=[0, 2], size=32, overwrite=True)
    assert mine.is_file()
    assert {Path(row.path).name for row in result.predictions} == {"plain.png", "2024-holiday.png"}
    assert [row.class_id for row in result.predictions] == [0, 2, 0, 2]
    lines = (out / "predictions.csv").read_text(encoding="utf-8").replace("pictures/00000.png", "../pictures/grey.png")
    (out / "predictions.csv").write_text(lines, encoding="utf-8")
    gp.explain(model, pictures / "plain.png", out, size=32, overwrite=True)
    assert (pictures / "grey.png").is_file(), "an edited table deletes nothing outside"


def test_an_interruption_leaves_a_page_of_what_was_finished(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out, original = classifier(), tmp_path / "out", read_picture

    def interrupted(path: Path) -> Picture:
        if path.name == "plain.png":
            raise KeyboardInterrupt
        return original(path)

    monkeypatch.setattr(sys.modules["globalpool.data.pictures"], "read_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gp.explain(model, [pictures / "grey.png", pictures / "plain.png"], out, classes="top1", size=32)
    assert "Evidence for 1 picture<" in (out / "index.html").read_text(encoding="utf-8")
    assert len(table(out / "predictions.csv")) == 1
    assert "00000/maps" in np.load(out / "evidence.npz")


def test_classifiers_of_one_and_two_classes(tmp_path: Path) -> None:
    picture = noisy(tmp_path / "a.png", 32, 32)
    for count in (1, 2):
        model = convnet(2, num_classes=count, widths=(8,)).eval()
        model.input_spec = gp.InputSpec(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        if count == 2:
            assert len(gp.explain(model, str(picture), tmp_path / "out").predictions) == 2
        else:
            with pytest.raises(DataError, match=r"expected a classifier with at least 2 classes; got 1"):
                gp.explain(model, picture, tmp_path / "none")


def test_names_no_encoding_knows_and_files_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    noisy(folder / os.fsdecode(b"caf\xe9.png"), 20, 20)
    (folder / "notes.txt").write_text("no picture")
    result = gp.explain(classifier(), folder, tmp_path / "out", classes="top1", size=32)
    assert len(result.predictions) == 1
    assert [Path(path).name for path in result.passed_over] == ["notes.txt"]
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "caf\\udce9.png" in page
    assert "notes.txt" in page


def test_notes_and_every_panel_are_what_they_say(pictures: Path, tmp_path: Path) -> None:
    rows = gp.explain(classifier(), pictures / "rotated-6.jpg", tmp_path / "out", size=32).predictions
    assert rows[0].notes == "turned upright (EXIF orientation 6)"
    head = gp.PooledHead(gp.Mean(), 1, 3, bias=False)
    with torch.no_grad():
        head.tail.weight.copy_(torch.tensor([[4.0], [-2.0], [0.0]]))
    evidence = head.evidence(torch.tensor([[[[1.0, 0.0]]]]), "all").detach().centered()
    panels = [(evidence.select(torch.tensor([k])), str(k)) for k in range(3)]
    figure = draw_evidence(np.full((10, 20, 3), 128, dtype=np.uint8), panels)
    shown = [np.asarray(axes.images[0].get_array())[5, 4] for axes in figure.axes[1:4]]
    assert shown[0][0] > shown[0][2] + 0.2, "class 0: for, red"
    assert shown[1][2] > shown[1][0] + 0.1, "class 1: against, blue"
    # One scale: class 2 has a fifth of the strength of class 0.
    assert np.ptp(shown[2]) < 0.5 * np.ptp(shown[0])


def test_the_contrast_panel_is_the_first_over_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[gp.Evidence, str]] = []

    def spy(pixels: Any, panels: Any) -> Any:
        drawn.extend(panels)
        return draw_evidence(pixels, panels)

    monkeypatch.setattr(sys.modules["globalpool.report.draw_pictures"], "draw_evidence", spy)
    rows = gp.explain(classifier(), noisy(tmp_path / "a.png", 32, 32), tmp_path / "out", classes="top2").predictions
    contrast, title = drawn[-1]
    assert title.startswith(f"{rows[0].label} over {rows[1].label}")
    assert float(contrast.logits) == pytest.approx(rows[0].raw_logit - rows[1].raw_logit, abs=1e-6)
    assert float(contrast.logits) > 0


def test_large_photographs_are_drawn_small(tmp_path: Path) -> None:
    pixels = np.zeros((3000, 4000, 3), dtype=np.uint8)
    evidence = gp.PooledHead(gp.Mean(), 3, 2).evidence(torch.rand(1, 3, 7, 7), "all").detach().contrast(0, 1)
    figure = draw_evidence(pixels, [(evidence, "$a_{ is no formula")])
    assert np.asarray(figure.axes[1].images[0].get_array()).shape == (480, 640, 3)
    assert figure.axes[0].get_title() == "4000 x 3000"
    figure.savefig(tmp_path / "figure.png")
