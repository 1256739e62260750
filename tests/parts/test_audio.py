from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import kaldi_native_fbank as kaldi
import numpy as np
import pytest
import torch
from scipy.signal import lfilter, resample_poly
from torch import Tensor, nn
from transformers import ClapFeatureExtractor

from mien.errors import ConfigError, DataError
from mien.parts import audio
from mien.parts.audio import (
    ClapNative,
    OfficialFbank,
    fit_length,
    resample,
    spec_augment,
    to_mono,
)

RATE, SAMPLES = 48000, 480000
LENGTHS = [3, 10, 10.5, 25]
SOURCES = pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (48000, 2), (44100, 2)])

FRONT_ENDS: dict[str, Callable[[], nn.Module]] = {
    "official": OfficialFbank,
    "crop": ClapNative,
    "fusion": lambda: ClapNative(long="fusion"),
}
every_front_end = pytest.mark.parametrize("name", FRONT_ENDS)


def sound(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> Tensor:
    """One clip (1, L) or (1, L, channels) of noise that falls off with frequency, as sounds do.

    On white noise Kaldi's own transform, in single precision, is off by up to 1e-4.
    """
    white = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    noise = 0.02 * lfilter([1.0], [1.0, -0.97], white, axis=0)
    wave = torch.from_numpy(noise).float()[None]
    return wave if channels > 1 else wave[..., 0]


def tone(seconds: float, hertz: float = 440.0) -> Tensor:
    return sine(hertz, RATE, round(seconds * RATE))


def sine(hertz: float, rate: int, count: int) -> Tensor:
    time = torch.arange(count, dtype=torch.float64) / rate
    return (0.5 * torch.sin(2 * math.pi * hertz * time)).float()[None]


def whole(wave: Tensor) -> Tensor:
    return torch.ones(wave.shape[:2], dtype=torch.bool)


def padded(*waves: Tensor, fill: float = 0.0, extra: int = 0) -> tuple[Tensor, Tensor]:
    """Clips (1, L) of several lengths as one batch."""
    longest = max(wave.shape[1] for wave in waves) + extra
    batch = torch.full((len(waves), longest), fill)
    mask = torch.zeros(batch.shape, dtype=torch.bool)
    for row, wave in enumerate(waves):
        batch[row, : wave.shape[1]] = wave[0]
        mask[row, : wave.shape[1]] = True
    return batch, mask


def mono(wave: Tensor, rate: int) -> Tensor:
    """A clip as one channel at 48 kHz, (L)."""
    return resample(to_mono(wave), whole(wave), rate, RATE)[0][0]


def fitted(wave: Tensor, samples: int = SAMPLES) -> Tensor:
    """Repeat-padding and the middle crop of one clip (L), as the specification states them."""
    if len(wave) > samples:
        start = (len(wave) - samples) // 2
        return wave[start : start + samples]
    times = samples // len(wave) if len(wave) else 0
    return torch.cat([wave.repeat(times), torch.zeros(samples - times * len(wave))])


def kaldi_fbank(wave: Tensor, rate: int = RATE, mels: int = 64, window: int = 21) -> Tensor:
    options = kaldi.FbankOptions()
    frame, mel = options.frame_opts, options.mel_opts
    frame.samp_freq, frame.frame_length_ms, frame.frame_shift_ms = rate, window, 10
    frame.dither, frame.window_type, frame.preemph_coeff = 0, "hanning", 0.97
    frame.remove_dc_offset = frame.snip_edges = frame.round_to_power_of_two = True
    mel.num_bins, mel.low_freq, mel.high_freq = mels, 20, 0
    options.use_energy, options.use_log_fbank, options.use_power = False, True, True
    bank = kaldi.OnlineFbank(options)
    bank.accept_waveform(rate, (wave - wave.mean()).tolist())
    bank.input_finished()
    rows = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
    return torch.from_numpy(np.stack(rows))


@pytest.fixture
def extractor(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tensor], Tensor]:
    """CLAP's own front end, (L) to (4, T, F); what it draws is the middle."""
    monkeypatch.setattr(np.random, "choice", lambda places: places[len(places) // 2])
    extract = ClapFeatureExtractor(frequency_min=50, frequency_max=14000, truncation="fusion")

    def features(wave: Tensor) -> Tensor:
        found = extract(wave.numpy(), sampling_rate=RATE, return_tensors="pt")
        return torch.as_tensor(found["input_features"][0])

    return features


# -- against the references ------------------------------------------------------------------------


@SOURCES
@pytest.mark.parametrize("seconds", LENGTHS)
def test_official_fbank_is_kaldis(seconds: float, rate: int, channels: int) -> None:
    wave = sound(seconds, rate, channels)
    ours = OfficialFbank(source_rate=rate).eval()(wave, whole(wave))
    expected = kaldi_fbank(fitted(mono(wave, rate)))
    assert expected.shape == (998, 64)
    assert ours.shape == (1, 1, 1024, 64)
    torch.testing.assert_close(ours[0, 0, :998], expected, atol=1e-4, rtol=0)


@SOURCES
@pytest.mark.parametrize("seconds", LENGTHS)
def test_clap_native_crop_is_claps(
    seconds: float, rate: int, channels: int, extractor: Callable[[Tensor], Tensor]
) -> None:
    wave = sound(seconds, rate, channels)
    ours = ClapNative(source_rate=rate).eval()(wave, whole(wave))
    expected = extractor(fitted(mono(wave, rate)))[:1]
    assert expected.shape == (1, 1001, 64)
    torch.testing.assert_close(ours[0], expected, atol=1e-4, rtol=0)


@SOURCES
@pytest.mark.parametrize("seconds", LENGTHS)
def test_clap_native_fusion_is_claps(
    seconds: float, rate: int, channels: int, extractor: Callable[[Tensor], Tensor]
) -> None:
    wave = sound(seconds, rate, channels)
    ours = ClapNative(source_rate=rate, long="fusion").eval()(wave, whole(wave))
    expected = extractor(mono(wave, rate))
    assert expected.shape == (4, 1001, 64)
    torch.testing.assert_close(ours[0], expected, atol=1e-4, rtol=0)
    assert _longer(ours).item() == (seconds > 10)


# A hop more than ten seconds is the first whole frame more.
@pytest.mark.parametrize("samples", [480001, 480479, 480480, 480960, 481440])
def test_fusion_of_slightly_longer_clips_is_claps(
    samples: int, extractor: Callable[[Tensor], Tensor]
) -> None:
    wave = sound(samples / RATE)
    ours = ClapNative(long="fusion").eval()(wave, whole(wave))
    torch.testing.assert_close(ours[0], extractor(wave[0]), atol=1e-4, rtol=0)
    assert _longer(ours).item() == (samples >= SAMPLES + 480)


def _longer(picture: Tensor) -> Tensor:
    """What the tower sees of it: the channels of a longer clip differ."""
    return (picture[:, 1:] != picture[:, :1]).flatten(1).any(1)


def test_clap_native_is_claps_where_a_pure_tone_leaves_bands_empty(
    extractor: Callable[[Tensor], Tensor],
) -> None:
    wave = tone(10)
    ours = ClapNative().eval()(wave, whole(wave))
    expected = extractor(wave[0])[:1]
    assert expected.max() - expected.min() > 100  # dB: more than single precision holds
    torch.testing.assert_close(ours[0], expected, atol=1e-4, rtol=0)


def test_official_fbank_of_a_pure_tone_is_kaldis_to_the_precision_of_its_transform() -> None:
    wave = tone(10)
    ours = OfficialFbank().eval()(wave, whole(wave))[0, 0, :998]
    expected = kaldi_fbank(wave[0])
    total = expected.exp().sum(1, keepdim=True)
    assert ((ours.exp() - expected.exp()).abs() / total).max() < 1e-6


def test_official_fbank_is_kaldis_at_other_rates() -> None:
    wave = sound(2, 16000)
    front = OfficialFbank(rate=16000, source_rate=16000, mels=40, seconds=1.5, frames=100).eval()
    expected = kaldi_fbank(fitted(wave[0], 24000), 16000, 40)
    assert len(expected) > 100  # rows, of which the picture takes the first 100
    torch.testing.assert_close(front(wave, whole(wave))[0, 0], expected[:100], atol=1e-4, rtol=0)


# -- the edges of the pictures ---------------------------------------------------------------------


def test_missing_rows_are_zero_as_in_the_official_code_or_silence() -> None:
    wave = sound(10)
    official = OfficialFbank().eval()(wave, whole(wave))[0, 0]
    silent = OfficialFbank(pad="silence").eval()(wave, whole(wave))[0, 0]
    torch.testing.assert_close(silent[:998], official[:998], rtol=0, atol=0)
    assert (official[:998] != 0).all()
    assert (official[998:] == 0).all()
    nothing = OfficialFbank().eval()(torch.zeros(1, 10), torch.ones(1, 10, dtype=torch.bool))
    assert (silent[998:] == nothing[0, 0, 0, 0]).all()


@every_front_end
def test_a_clip_without_sound_is_silence(name: str) -> None:
    front = FRONT_ENDS[name]().eval()
    wave, mask = padded(sound(1), sound(1, seed=1))
    mask[1] = False
    wave[1] = math.nan
    picture = front(wave, mask)
    silence = -100.0 if name != "official" else math.log(2**-23)
    rows = picture[1, :, :998]
    assert picture.isfinite().all()
    torch.testing.assert_close(rows, torch.full_like(rows, silence))
    nothing = front(torch.zeros(1, 0), torch.zeros(1, 0, dtype=torch.bool))
    torch.testing.assert_close(nothing, picture[1:])


@every_front_end
@pytest.mark.parametrize("seconds", [1, 10.5])
def test_gradients_are_finite_with_and_without_sound(name: str, seconds: float) -> None:
    wave, mask = padded(sound(seconds), sound(1))
    mask[1] = False
    wave.requires_grad_()
    FRONT_ENDS[name]()(wave, mask).sum().backward()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()
    assert (wave.grad[0] != 0).any()
    assert (wave.grad[1] == 0).all()


# -- batches, padding, chance ----------------------------------------------------------------------


@every_front_end
def test_a_clip_is_the_same_alone_and_beside_others(name: str) -> None:
    front = FRONT_ENDS[name]().eval()
    clips = [sound(seconds, seed=i) for i, seconds in enumerate(LENGTHS)]
    together = front(*padded(*clips, fill=math.nan, extra=1000))
    alone = torch.cat([front(clip, whole(clip)) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@every_front_end
def test_padding_beyond_ten_seconds_makes_no_clip_longer(name: str) -> None:
    front = FRONT_ENDS[name]().eval()
    clip = sound(3)
    made = front(*padded(clip, fill=math.nan, extra=SAMPLES))
    torch.testing.assert_close(made, front(clip, whole(clip)), atol=1e-5, rtol=0)


def test_what_is_masked_inside_a_clip_is_silence_of_its_length() -> None:
    wave = sound(2)
    mask, gap = whole(wave), slice(30000, 50000)
    mask[:, gap] = False
    silenced = wave.clone()
    silenced[:, gap] = 0
    wave[:, gap] = math.nan
    front = OfficialFbank(source_rate=16000).eval()
    torch.testing.assert_close(front(wave, mask), front(silenced, whole(wave)), rtol=0, atol=0)


@every_front_end
def test_evaluation_at_25_seconds_is_deterministic_and_training_is_not(name: str) -> None:
    wave = sound(25)
    front = FRONT_ENDS[name]()
    first, second = front.eval()(wave, whole(wave)), front(wave, whole(wave))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    drawn = [front.train()(wave, whole(wave)) for _ in range(3)]
    for a, b in itertools.combinations([first, *drawn], 2):
        assert not torch.equal(a, b)


@every_front_end
def test_training_draws_from_torchs_generator_alone(name: str) -> None:
    wave, front = sound(25), FRONT_ENDS[name]().train()
    pictures = []
    for _ in range(2):
        torch.manual_seed(1)
        pictures.append(front(wave, whole(wave)))
    assert torch.equal(*pictures)


def test_training_makes_each_clip_louder_or_softer() -> None:
    clip = sound(10)
    wave, front = clip.repeat(6, 1), OfficialFbank()
    plain = front.eval()(wave, whole(wave))[:, 0, :998]
    change = front.train()(wave, whole(wave))[:, 0, :998] - plain
    gain = (change.mean((1, 2)) / 2).exp()  # power is the square
    assert change.std((1, 2)).max() < 1e-4
    assert len(set(gain.tolist())) == 6
    assert 0.5 < gain.min() < 1 < gain.max() < 1.5
    still = OfficialFbank(gain=False).train()(wave, whole(wave))[:, 0, :998]
    torch.testing.assert_close(still, plain, rtol=0, atol=0)


@pytest.mark.parametrize("places", [1, 2, 3, 4, 5, 51, 1500])
def test_close_ups_start_in_their_third(places: int) -> None:
    front = ClapNative(long="fusion")
    count = torch.full((400, 1), front.frames + places - 1)
    thirds = [part.tolist() or [0] for part in np.array_split(np.arange(places), 3)]
    drawn = front.train()._starts(count)
    middle = front.eval()._starts(count)
    for i, third in enumerate(thirds):
        assert set(drawn[:, i].tolist()) <= set(third)
        assert {third[0], third[-1]} <= set(drawn[:, i].tolist()) or places > 100
        assert set(middle[:, i].tolist()) == {third[len(third) // 2]}


# -- waveforms -------------------------------------------------------------------------------------


def test_several_channels_become_their_mean() -> None:
    wave = torch.tensor([[[1.0, 3.0], [-1.0, 0.0]]])
    assert to_mono(wave).tolist() == [[2.0, -0.5]]
    assert to_mono(wave[..., 0]).tolist() == [[1.0, -1.0]]


def test_any_length_becomes_the_wanted_one() -> None:
    clips = [torch.arange(1.0, count + 1)[None] for count in (0, 1, 3, 4, 5, 9, 10, 11, 12, 25)]
    made = fit_length(*padded(*clips, fill=math.nan), 10, training=False)
    assert made.tolist() == [fitted(clip[0], 10).tolist() for clip in clips]


def test_training_crops_start_anywhere() -> None:
    wave = torch.arange(13.0).repeat(200, 1)
    made = fit_length(wave, whole(wave), 10, training=True)
    assert set(made[:, 0].tolist()) == {0, 1, 2, 3}
    assert (made - made[:, :1] == torch.arange(10.0)).all()


def test_the_same_rate_changes_nothing() -> None:
    wave = sound(0.1)
    made, mask = resample(wave, whole(wave), RATE, RATE)
    assert torch.equal(made, wave)
    assert mask.all()


@pytest.mark.parametrize(
    ("old", "new"),
    [(44100, 48000), (16000, 48000), (22050, 48000), (48000, 16000), (44101, 48000)],
)
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_a_resampled_sine_is_the_same_sine(old: int, new: int, share: float) -> None:
    hertz = share * min(old, new)
    wave = sine(hertz, old, old // 4)
    made, mask = resample(wave, whole(wave), old, new)
    assert made.shape == mask.shape == (1, math.ceil(wave.shape[1] * new / old))
    error = (made - sine(hertz, new, made.shape[1]))[:, 100:-100].abs()
    assert error.max() / wave.max() < 1e-3


def test_resampling_keeps_what_scipy_keeps_and_drops_what_does_not_fit() -> None:
    wave = sine(1000, RATE, RATE) + sine(15000, RATE, RATE)
    made, _ = resample(wave, whole(wave), RATE, 16000)
    expected = torch.from_numpy(resample_poly(wave[0].numpy(), 1, 3))
    assert (made[0] - expected)[100:-100].abs().max() < 2e-3
    assert (made[0] - sine(1000, 16000, 16000)[0])[100:-100].abs().max() < 2e-3


@pytest.mark.parametrize(("old", "new"), [(44100, 48000), (48000, 16000)])
def test_padding_does_not_change_what_is_resampled(old: int, new: int) -> None:
    clips = [sound(seconds, old, seed=i) for i, seconds in enumerate((0.05, 0.011, 0.2))]
    made, mask = resample(*padded(*clips, fill=math.nan, extra=77), old, new)
    for row, clip in enumerate(clips):
        alone, _ = resample(clip, whole(clip), old, new)
        count = alone.shape[1]
        assert mask[row].tolist() == [True] * count + [False] * (mask.shape[1] - count)
        assert torch.equal(made[row, :count], alone[0])
        assert (made[row, count:] == 0).all()


def test_nothing_resampled_is_nothing() -> None:
    made, mask = resample(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool), 44100, RATE)
    assert made.shape == mask.shape == (2, 0)


# -- the module itself -----------------------------------------------------------------------------


@every_front_end
def test_nothing_is_saved_and_nothing_is_lost_with_the_networks_weights(name: str) -> None:
    wave = sound(1)
    plain = FRONT_ENDS[name]().eval()
    with torch.device("meta"):
        built = FRONT_ENDS[name]().eval()
    assert not plain.state_dict()
    moved = built.to_empty(device="cpu").to(torch.bfloat16)
    assert torch.equal(moved(wave, whole(wave)), plain(wave, whole(wave)))


@every_front_end
def test_parts_of_the_work_give_the_same_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    front = FRONT_ENDS[name]().eval()
    batch = padded(sound(1), sound(10.5, seed=1))
    at_once = front(*batch)
    monkeypatch.setattr(audio, "_AT_ONCE", 2 * 1024 * 7)  # seven frames of each clip
    torch.testing.assert_close(front(*batch), at_once, atol=1e-5, rtol=0)


def test_spectra_are_as_precise_as_the_device_can() -> None:
    assert audio._wide(torch.device("cuda")) == torch.float64
    assert audio._wide(torch.device("mps")) == torch.float32


def test_misspelt_options_are_corrected() -> None:
    with pytest.raises(ConfigError, match="did you mean 'silence'"):
        OfficialFbank(pad="silent")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="did you mean 'fusion'"):
        ClapNative(long="fuse")  # type: ignore[arg-type]


def test_bands_without_frequencies_and_too_short_pictures_are_refused() -> None:
    with pytest.raises(ConfigError, match="mel bins"):
        ClapNative(rate=16000)
    with pytest.raises(ConfigError, match="mel bins"):
        OfficialFbank(mels=300)
    with pytest.raises(ConfigError, match="less than one frame"):
        OfficialFbank(seconds=0.02)


@pytest.mark.parametrize(
    ("wave", "mask"),
    [
        (torch.zeros(1, 9, dtype=torch.int16), torch.ones(1, 9, dtype=torch.bool)),
        (torch.zeros(9), torch.ones(9, dtype=torch.bool)),
        (torch.zeros(1, 2, 9), torch.ones(1, 9, dtype=torch.bool)),
        (torch.zeros(1, 9), torch.ones(1, 9)),
    ],
    ids=["integers", "no batch", "channels first", "mask of floats"],
)
def test_other_tensors_are_refused(wave: Tensor, mask: Tensor) -> None:
    with pytest.raises(DataError, match=r"not torch|the mask of"):
        ClapNative()(wave, mask)


# -- SpecAugment -----------------------------------------------------------------------------------


def runs(row: Tensor) -> list[int]:
    """Lengths of the runs of True."""
    return [len(list(group)) for value, group in itertools.groupby(row.tolist()) if value]


def test_stripes_are_zero_and_the_rest_is_as_it_was() -> None:
    x = torch.rand(32, 2, 200, 64) + 1
    made = spec_augment(x, time_width=20)
    gone = made == 0
    assert torch.equal(made[~gone], x[~gone])
    assert torch.equal(gone[:, 0], gone[:, 1])
    in_time, in_mel = gone[:, 0].all(2), gone[:, 0].all(1)  # (B, T), (B, F)
    assert torch.equal(gone[:, 0], in_time[:, :, None] | in_mel[:, None, :])
    for stripes, most in ((in_time, 19), (in_mel, 7)):
        assert all(len(runs(row)) <= 2 and sum(runs(row)) <= 2 * most for row in stripes)
        assert len({tuple(row.tolist()) for row in stripes}) > 16
    assert torch.equal(spec_augment(x, time_stripes=0, mel_stripes=0), x)


def test_every_width_and_place_of_a_stripe_occurs() -> None:
    made = spec_augment(torch.ones(2000, 1, 12, 6), 1, 4, mel_stripes=0)
    gone = (made[:, 0] == 0).all(2)  # (B, T)
    assert set(gone.sum(1).tolist()) == {0, 1, 2, 3}
    assert gone.any(0).all()
    widths = gone.sum(1).bincount(minlength=4) / 2000
    assert (widths - 0.25).abs().max() < 0.05


def test_a_stripe_is_no_longer_than_the_picture() -> None:
    made = spec_augment(torch.ones(50, 1, 3, 2))
    assert made.shape == (50, 1, 3, 2)
    assert (made == 0).all((1, 2, 3)).float().mean() > 0.9


def test_a_short_waveform_taken_for_a_vector_is_refused() -> None:
    vector = torch.zeros(1, 1, 6400)  # what a loader makes of a list of 6,400 numbers
    with pytest.raises(DataError, match=r"6400 channels.*\n.*\(S, 1\)"):
        to_mono(vector)


@pytest.mark.parametrize("samples", [40960, 41200, 45000, 9000, 400, 399, 0])
def test_a_clip_that_just_ends_is_kaldis_and_then_padding(samples: int) -> None:
    """128 bands at 16 kHz, padded before the normalisation: what HiCMAE reads."""
    mean, deviation = -4.2677393, 2 * 4.5689974
    front = OfficialFbank(
        rate=16000, source_rate=16000, mels=128, window=25, seconds=41200 / 16000, frames=256,
        short="end", gain=False, scale=(mean, deviation),
    )  # fmt: skip
    wave = torch.cat([sound(samples / 16000, 16000), torch.full((1, 500), 7.0)], 1)
    mask = torch.arange(wave.shape[1])[None] < samples
    expected = torch.zeros(256, 128)
    rows = max(0, (min(samples, 41200) - 400) // 160 + 1)
    if rows:
        expected[:rows] = kaldi_fbank(wave[0, : min(samples, 41200)], 16000, 128, 25)
    torch.testing.assert_close(
        front(wave, mask)[0, 0], (expected - mean) / deviation, atol=1e-4, rtol=0
    )
    padding = front(wave, mask)[0, 0, rows:]
    torch.testing.assert_close(padding, torch.full_like(padding, 0.467), atol=1e-3, rtol=0)
