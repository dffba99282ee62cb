"""Reading sound files: what comes out is what went in, or a sentence."""

from pathlib import Path

import numpy as np
import pytest

from globalpool.data.audio import Recording, read_recording, resampled
from globalpool.errors import DataError
from tests.data.sounds import save, tone


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24")])
def test_lossless_formats_give_the_samples_back(suffix: str, subtype: str, tmp_path: Path) -> None:
    wave = np.stack([tone(440, 0.3), 0.25 * tone(1000, 0.3), tone(77, 0.3)])
    found = read_recording(save(tmp_path / f"a.{suffix}", wave, 8000, subtype=subtype))
    step = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 0.0}[subtype]
    assert found.samples.dtype == np.float32
    assert (found.rate, found.seconds, found.notes) == (8000, 0.3, ())
    assert np.abs(found.samples - wave).max() <= step


def test_lossy_formats_keep_the_tone(tmp_path: Path) -> None:
    wave = tone(440, 1.0, 16000)
    for suffix in ("ogg", "mp3"):
        found = read_recording(save(tmp_path / f"a.{suffix}", wave, 16000))
        spectrum = np.abs(np.fft.rfft(found.samples[0]))
        loudest = spectrum.argmax() / found.seconds
        assert abs(loudest - 440) < 2
        assert (found.rate, found.samples.shape[0]) == (16000, 1)


def test_the_content_decides_the_format_and_the_file_is_left_alone(tmp_path: Path) -> None:
    flac = save(tmp_path / "a.flac", tone(440))
    renamed = flac.rename(tmp_path / "a.raw")
    before = renamed.read_bytes()
    assert read_recording(renamed).samples.shape == (1, 4000)
    assert renamed.read_bytes() == before


def test_files_that_are_no_recordings_are_refused_with_the_reason(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.wav", tone(440))
    flac = save(tmp_path / "whole.flac", tone(440))
    mp3 = save(tmp_path / "whole.mp3", tone(440, 3.0))
    ogg = save(tmp_path / "whole.ogg", tone(440, 3.0))
    spoilt = tone(440)
    spoilt[7] = np.nan
    cases: dict[str, tuple[bytes, str]] = {
        "empty.wav": (b"", "got an empty file"),
        "text.wav": (b"not a sound at all, only words", "expected a sound file that can be decoded whole"),
        "cut.wav": (whole.read_bytes()[:-1000], "a file that ends before its header says"),
        "cut.flac": (flac.read_bytes()[:-1000], "expected a (sound file that can be decoded whole|whole recording)"),
        "cut.mp3": (mp3.read_bytes()[:-1500], "a file that ends before its header says"),
        "cut.ogg": (ogg.read_bytes()[:-1500], "a file that ends before its header says"),
        "none.wav": (save(tmp_path / "no.wav", tone(440)[:0]).read_bytes(), "got a header without sound"),
        "nan.wav": (save(tmp_path / "n.wav", spoilt, subtype="FLOAT").read_bytes(), "got NaN or Inf"),
    }
    for name, (content, reason) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=reason):
            read_recording(path)
    with pytest.raises(DataError, match="expected a readable sound file; got no such file"):
        read_recording(tmp_path / "missing.wav")
    with pytest.raises(DataError, match="expected a readable sound file; got a folder"):
        read_recording(tmp_path)


def test_a_stream_that_did_not_know_its_length_is_whole(tmp_path: Path) -> None:
    content = bytearray(save(tmp_path / "a.wav", tone(440)).read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = content[4:8] = b"\xff\xff\xff\xff"
    (tmp_path / "stream.wav").write_bytes(content)
    assert read_recording(tmp_path / "stream.wav").samples.shape == (1, 4000)


@pytest.mark.parametrize(("before", "after"), [(44100, 8000), (8000, 16000), (44101, 8000), (22050, 44100)])
def test_another_rate_keeps_the_tone_and_removes_what_cannot_be_told(before: int, after: int) -> None:
    highest = min(before, after) / 2
    low = tone(0.4 * highest, 0.5, before)
    result = resampled(Recording(Path("a"), low[None], before), after)
    expected = tone(0.4 * highest, 0.5, after)
    assert result.rate == after
    assert result.notes == (f"{before} Hz to {after} Hz",)
    assert result.samples.shape[1] == -(-len(low) * after // before)
    inner = slice(200, min(len(expected), result.samples.shape[1]) - 200)
    assert np.abs(result.samples[0, inner] - expected[inner]).max() < 2e-3
    if after < before:
        high = tone(1.2 * after / 2, 0.5, before)
        gone = resampled(Recording(Path("a"), high[None], before), after).samples[0, 200:-200]
        assert np.abs(gone).max() < 1e-3  # nothing folded back


def test_the_same_rate_is_the_same_recording_and_no_rate_is_refused() -> None:
    recording = Recording(Path("a"), tone(440)[None], 8000)
    assert resampled(recording, 8000) is recording
    with pytest.raises(DataError, match="expected `rate` as a whole number of samples a second; got 0"):
        resampled(recording, 0)
