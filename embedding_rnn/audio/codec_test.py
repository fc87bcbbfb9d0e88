import numpy as np
import pytest
import soundfile

from embedding_rnn.audio import codec as codec_lib
from embedding_rnn.audio import (
  harmonic_analysis,
  harmonic_synthesis,
  harmonics,
  metrics,
)
from embedding_rnn.audio.codec import Codec, HarmonicCodec, get_codec


@pytest.fixture(scope='module')
def codec():
  return get_codec('harmonic')


@pytest.fixture(scope='module')
def nsynth(testdata):
  """16 real notes: audio [16, 64000] and pitches [16]."""
  paths = sorted((testdata / 'nsynth').glob('*.flac'))
  assert len(paths) == 16
  audio = [soundfile.read(path, dtype='float32')[0] for path in paths]
  pitches = [int(path.stem.rsplit('_', 1)[1]) for path in paths]
  return np.stack(audio), np.array(pitches)


@pytest.fixture(scope='module')
def encoded(codec, nsynth):
  return codec.encode(*nsynth)


def _tone(midi_pitch, amplitudes, seconds=1.0):
  t = np.arange(int(seconds * 16000)) / 16000
  f0_hz = harmonics.midi_to_hz(midi_pitch)
  partials = [
    a * np.sin(2 * np.pi * k * f0_hz * t + k)
    for k, a in enumerate(amplitudes, start=1)
  ]
  return np.sum(partials, axis=0).astype(np.float32)


def test_get_codec():
  codec = get_codec('harmonic')
  assert isinstance(codec, Codec)
  assert codec.name == 'harmonic'
  assert (codec.sample_rate, codec.hop_length, codec.num_channels) == (
    16000,
    512,
    16,
  )
  with pytest.raises(
    ValueError, match=r"Unknown codec 'flac'; known: harmonic"
  ):
    get_codec('flac')


def test_shapes_and_types(codec, nsynth, encoded):
  assert encoded.shape == (16, 125, 16)
  assert encoded.dtype == np.float32
  audio = codec.decode(encoded, nsynth[1])
  assert audio.shape == (16, 64000)
  assert audio.dtype == np.float32
  assert np.abs(audio).max() <= 1.0


def test_real_notes_keep_their_spectrum(codec, nsynth, encoded):
  audio, pitches = nsynth
  decoded = codec.decode(encoded, pitches)
  distances = [
    metrics.log_spectral_distance(original, made)
    for original, made in zip(audio, decoded, strict=True)
  ]
  assert np.mean(distances) <= 1.98


def test_real_notes_keep_their_loudness(codec, nsynth, encoded):
  audio, pitches = nsynth
  decoded = codec.decode(encoded, pitches)
  for original, made in zip(audio, decoded, strict=True):
    assert metrics.loudness_error_db(original, made) < 3.0


def _level_db(audio):
  return 10 * np.log10(np.square(audio, dtype=np.float64).mean(axis=-1) + 1e-12)


def _pluck(midi_pitch, onset, fall_db_per_s=60.0):
  """A harmonic tone that begins at a sample and decays; silence before it."""
  tone = _tone(midi_pitch, [0.3, 0.15, 0.1, 0.05], seconds=2.0)
  tone *= 10 ** (-fall_db_per_s / 20 * np.arange(len(tone)) / 16000)
  return np.concatenate([np.zeros(onset, np.float32), tone])[: len(tone)]


@pytest.mark.parametrize('midi_pitch', [45, 60, 76])
@pytest.mark.parametrize('onset', [0, 32, 64])
def test_a_pluck_is_as_sharp_as_it_was(codec, midi_pitch, onset):
  pluck = _pluck(midi_pitch, onset)
  decoded = codec.decode(codec.encode(pluck, midi_pitch), midi_pitch)
  assert abs(_level_db(decoded[:320]) - _level_db(pluck[:320])) < 1.5
  # Out of nothing, and there after 4 ms.
  peak = np.abs(decoded).max()
  assert decoded[0] == 0 and np.abs(decoded[:4]).max() < 0.01 * peak
  assert abs(_level_db(decoded[64:320]) - _level_db(pluck[64:320])) < 1.5


@pytest.mark.parametrize('midi_pitch', [57, 69])
@pytest.mark.parametrize(
  ('exponent', 'tolerance_db'),
  # The later a note rises, the more its first frame hears of what follows.
  [(0.5, 2.0), (1.0, 2.0), (2.0, 6.0)],
)
def test_a_slow_attack_rises_from_its_start(
  codec, midi_pitch, exponent, tolerance_db
):
  tone = _tone(midi_pitch, [0.3, 0.1], seconds=1.0)
  tone *= (np.minimum(np.arange(16000) / 4000, 1) ** exponent).astype('f4')
  decoded = codec.decode(codec.encode(tone, midi_pitch), midi_pitch)
  for part in (slice(320), slice(160, 480)):
    assert abs(_level_db(decoded[part]) - _level_db(tone[part])) < tolerance_db


def test_the_onset_is_the_power_of_time_through_two_frames():
  levels = np.full([20, harmonics.NUM_FEATURES], -120.0)
  levels[1:, 0] = -20.0
  levels[0, 0] = -20.0 - 20 * np.log10(3.0)  # amplitude as time
  audio = harmonic_synthesis.synthesise(levels, 93)  # 9 samples to a period
  steady = levels.copy()
  steady[0] = steady[1]
  steady = harmonic_synthesis.synthesise(steady, 93)
  time = np.arange(64, 768)
  np.testing.assert_allclose(
    audio[64:768], steady[64:768] * time / 768, atol=1e-5
  )


@pytest.mark.parametrize('num_frames', [1, 2, 3, 125])
@pytest.mark.parametrize('midi_pitch', [21, 60, 127])
def test_any_frames_begin_and_end_with_nothing(codec, num_frames, midi_pitch):
  for seed in range(5):
    frames = np.random.RandomState(seed).normal(size=[num_frames, 16]) * 5.0
    audio = codec.decode(frames.astype(np.float32), midi_pitch)
    peak = np.abs(audio).max()
    assert audio[0] == audio[-1] == 0 and peak > 0
    assert np.abs(audio[:4]).max() < 0.02 * peak
    assert np.abs(audio[-4:]).max() < 0.02 * peak


def test_only_the_edges_are_shaped(monkeypatch, encoded):
  levels = codec_lib.frames_to_features(encoded[6], 60, codec_lib._load_map())
  shaped = harmonic_synthesis.synthesise(levels, 60)
  monkeypatch.setattr(harmonic_synthesis, '_shape_edges', lambda *_: None)
  plain = harmonic_synthesis.synthesise(levels, 60)
  np.testing.assert_array_equal(shaped[256:-64], plain[256:-64])
  assert (np.abs(shaped) <= np.abs(plain)).all()


def test_real_notes_keep_their_attacks(codec, nsynth, encoded):
  audio, pitches = nsynth
  decoded = codec.decode(encoded, pitches)
  errors = _level_db(decoded[:, :320]) - _level_db(audio[:, :320])
  assert np.median(np.abs(errors)) <= 3.0


@pytest.mark.parametrize('midi_pitch', [28, 45, 60, 76, 103])
def test_decodes_at_the_pitch_asked_for(codec, encoded, midi_pitch):
  audio = codec.decode(encoded[6, :60], midi_pitch)
  assert abs(metrics.pitch_error_cents(audio, midi_pitch)) < 5.0


def test_batch_and_single_notes_give_the_same_bytes(codec, nsynth, encoded):
  audio, pitches = nsynth
  decoded = codec.decode(encoded, pitches)
  for row in (0, 7, 15):
    frames = codec.encode(audio[row], int(pitches[row]))
    assert frames.tobytes() == encoded[row].tobytes()
    one = codec.decode(encoded[row], pitches[row])
    assert one.tobytes() == decoded[row].tobytes()
  order = np.arange(16)[::-1]
  again = codec.decode(encoded[order], pitches[order])
  assert again[order].tobytes() == decoded.tobytes()


@pytest.mark.parametrize('samples', [1, 511, 512, 513, 5000])
def test_any_length(codec, nsynth, samples):
  frames = codec.encode(nsynth[0][2, :samples], 76)
  assert frames.shape == (-(-samples // 512), 16)
  assert codec.decode(frames, 76).shape == (len(frames) * 512,)


def test_audio_is_padded_with_zeros(codec, nsynth):
  audio = nsynth[0][0, :1000]
  padded = np.pad(audio, (0, 24))
  np.testing.assert_array_equal(
    codec.encode(audio, 32), codec.encode(padded, 32)
  )


def test_other_float_types(codec, nsynth, encoded):
  frames = codec.encode(nsynth[0][3].astype(np.float64), 42)
  np.testing.assert_array_equal(frames, encoded[3])
  audio = codec.decode(encoded[3].astype(np.float16), np.int64(42))
  assert audio.dtype == np.float32


def test_silence_stays_silent(codec):
  audio = codec.decode(codec.encode(np.zeros(64000, np.float32), 60), 60)
  assert np.abs(audio).max() < 1e-3


def test_empty_batch(codec):
  frames = codec.encode(np.zeros([0, 1024], np.float32), np.zeros(0, int))
  assert frames.shape == (0, 2, 16)
  assert codec.decode(frames, np.zeros(0, int)).shape == (0, 1024)


@pytest.mark.parametrize('midi_pitch', [0, 21, 60, 108, 119, 127])
@pytest.mark.parametrize('scale', [1.0, 30.0, 1e30])
def test_made_up_frames_give_sound_within_full_scale(codec, midi_pitch, scale):
  frames = np.random.RandomState(0).normal(size=[40, 16]) * scale
  audio = codec.decode(frames.astype(np.float32), midi_pitch)
  assert np.isfinite(audio).all()
  assert np.abs(audio).max() <= 1.0
  # Turned down, not clipped: almost nothing lies at full scale.
  assert (np.abs(audio) > 0.999).mean() < 1e-3


def test_a_louder_note_differs_by_its_gain():
  tone = _tone(57, [0.05, 0.03, 0.02])
  quiet = harmonic_analysis.analyse(tone[:15872], 57)
  loud = harmonic_analysis.analyse(4.0 * tone[:15872], 57)
  np.testing.assert_allclose(
    (loud - quiet)[:, :3], 20 * np.log10(4.0), atol=0.01
  )


@pytest.mark.parametrize('midi_pitch', [40, 57, 69, 90])
def test_analysis_measures_the_power_of_each_harmonic(midi_pitch):
  amplitudes = np.array([0.2, 0.1, 0.05])
  tone = _tone(midi_pitch, amplitudes)
  levels = harmonic_analysis.analyse(tone[:15872], midi_pitch)[5:-5]
  power_db = 10 * np.log10(amplitudes**2 / 2)
  np.testing.assert_allclose(levels[:, :3] - power_db, 0.0, atol=1.0)
  assert levels[:, 6 : harmonics.NUM_HARMONICS].max() < power_db[2] - 25


def test_analysis_follows_a_detuned_note():
  amplitudes = np.full(20, 0.02)
  tuned = harmonic_analysis.analyse(_tone(57, amplitudes)[:15872], 57)
  sharp = harmonic_analysis.analyse(_tone(57.3, amplitudes)[:15872], 57)
  np.testing.assert_allclose(sharp[5:-5, :20], tuned[5:-5, :20], atol=1.5)


def test_analysis_measures_noise():
  noise = 0.1 * np.random.RandomState(1).normal(size=64000)
  levels = harmonic_analysis.analyse(noise, 57)[:, -harmonics.NUM_BANDS :]
  np.testing.assert_allclose(levels.mean(axis=0)[1:], -20.0, atol=1.5)


@pytest.mark.parametrize('midi_pitch', [33, 60, 84])
def test_synthesis_gives_back_the_levels(midi_pitch):
  levels = np.full([60, harmonics.NUM_FEATURES], -120.0)
  levels[:, [0, 1, 4]] = [-20.0, -26.0, -32.0]
  audio = harmonic_synthesis.synthesise(levels, midi_pitch)
  measured = harmonic_analysis.analyse(audio, midi_pitch)[3:-3, [0, 1, 4]]
  np.testing.assert_allclose(measured, levels[3:-3, [0, 1, 4]], atol=0.5)


def test_the_map_is_an_isometry_of_its_frames():
  linear_map = codec_lib.load_linear_map()
  components = linear_map.components
  np.testing.assert_allclose(components @ components.T, np.eye(16), atol=1e-5)
  # Levels -> frames -> levels -> frames: at a low pitch, where all features
  # exist, the frames come back.
  frames = np.random.RandomState(0).normal(size=[9, 16]).astype(np.float32)
  frames *= 0.05
  levels = codec_lib.frames_to_features(frames, 21, linear_map)
  assert levels.max() < 0 and levels.min() > -100
  again = codec_lib.features_to_frames(levels, 21, linear_map)
  np.testing.assert_allclose(again, frames, atol=1e-4)


def _bad(array, where, value):
  array = np.array(array)
  array[where] = value
  return array


_AUDIO = np.zeros([3, 1024], np.float32)
_FRAMES = np.zeros([3, 2, 16], np.float32)


@pytest.mark.parametrize(
  ('audio', 'midi_pitch', 'message'),
  [
    (
      _bad(_AUDIO, (1, 7), np.nan),
      [60] * 3,
      'audio has nan at row 1, sample 7; expected finite',
    ),
    (
      _bad(_AUDIO, (2, 0), -np.inf),
      [60] * 3,
      'audio has -inf at row 2',
    ),
    (
      _bad(_AUDIO, (2, 0), 99.0),
      [60] * 3,
      'audio reaches 99 at row 2, sample 0; .* Divide',
    ),
    (_AUDIO.astype(np.int16), [60] * 3, 'floating point, got int16'),
    (_bad(_AUDIO[0], 7, np.nan), 60, 'audio has nan at sample 7; '),
    (_AUDIO[:, :0], [60] * 3, 'at least one sample'),
    (_AUDIO[None], [60] * 3, r'got shape \(1, 3, 1024\)'),
    (np.float32(0), 60, 'audio must be'),
    (_AUDIO, [60, 60], r'shape \(3,\), one pitch a note; got shape \(2,\)'),
    (_AUDIO, 60, r'got shape \(\)'),
    (_AUDIO[0], [60], r'shape \(\), one pitch a note; got shape \(1,\)'),
    (_AUDIO, [60.5, 60, 60], 'must be integers in 0..127'),
    (_AUDIO, [60, 128, 60], 'midi_pitch of row 1 is 128'),
    (_AUDIO, [60, 60, -1], 'midi_pitch of row 2 is -1'),
  ],
)
def test_encode_refuses(codec, audio, midi_pitch, message):
  with pytest.raises(ValueError, match=message):
    codec.encode(audio, midi_pitch)


@pytest.mark.parametrize(
  ('frames', 'midi_pitch', 'message'),
  [
    (
      _bad(_FRAMES, (1, 1, 3), np.nan),
      [60] * 3,
      'frames has nan at row 1, frame 1, channel 3; expected finite',
    ),
    (_FRAMES[..., :15], [60] * 3, r'\[B, T, 16\].* got shape \(3, 2, 15\)'),
    (_FRAMES[:, :0], [60] * 3, 'at least one frame'),
    (_FRAMES[0, 0], 60, 'frames must be'),
    (_FRAMES, [60] * 4, r'got shape \(4,\)'),
    (_FRAMES, [60, 60, 200], 'midi_pitch of row 2 is 200'),
    (_FRAMES, [True] * 3, 'must be integers'),
  ],
)
def test_decode_refuses(codec, frames, midi_pitch, message):
  with pytest.raises(ValueError, match=message):
    codec.decode(frames, midi_pitch)


def test_another_codec_needs_only_two_methods():
  class Halves(Codec):
    name, sample_rate, hop_length, num_channels = 'halves', 8, 2, 2

    def _encode(self, audio, midi_pitch):
      return audio.reshape(len(audio), -1, 2)

    def _decode(self, frames, midi_pitch):
      return frames.reshape(len(frames), -1)

  frames = Halves().encode(np.array([0.1, 0.2, 0.3]), 60)
  np.testing.assert_allclose(frames, [[0.1, 0.2], [0.3, 0.0]])
  np.testing.assert_allclose(Halves().decode(frames, 60), [0.1, 0.2, 0.3, 0.0])
  assert issubclass(HarmonicCodec, Codec)
