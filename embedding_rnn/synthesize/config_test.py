import dataclasses
import types

import pytest

from embedding_rnn.model import sampling
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.synthesize.config import SynthesisConfig
from embedding_rnn.utils import dataclass_flags


def define_flags():
  dataclass_flags.define(SynthesisConfig)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'pitches': (60, 128)}, 'pitch 128: expected a MIDI pitch from 0 to 127'),
    ({'pitches': (-1,)}, 'pitch -1'),
    ({'pitches': (60.5,)}, r'pitch 60\.5'),
    ({'pitch': 200}, 'pitch 200'),
    ({'pitch': 'H2'}, "pitch 'H2': expected a note"),
    ({'sweep_pitches': (60, '6.5')}, r"pitch '6\.5'"),
    ({'sweep_pitches': (12, 128)}, 'pitch 128'),
    ({'temperature': 0.0}, r'temperature=0\.0: expected more than 0'),
    ({'temperature': float('nan')}, 'temperature=nan'),
    ({'temperature_2': -1.0}, r'temperature_2=-1\.0: expected at least 0'),
    ({'greedy': 'yes'}, "greedy='yes'"),
    ({'top_p': 0.0}, r'top_p=0\.0'),
    ({'alphas': (0.5, 1.5)}, r'alpha 1\.5: expected a share'),
    ({'alphas': (float('nan'),)}, 'alpha nan'),
    ({'alphas': (0.5, 0.501)}, 'two digits'),
    ({'seed': -1}, 'seed=-1'),
    ({'num_notes': -1}, 'num_notes=-1'),
    ({'num_notes': 0, 'pitches': ()}, 'at least one note'),
    ({'num_given': -1}, 'num_given=-1'),
    ({'num_steps': 1}, 'num_steps=1: expected at least 2'),
    ({'num_frames': 0}, 'num_frames=0'),
    ({'num_candidates': 0}, 'num_candidates=0'),
    (
      {'num_candidates': 10**8, 'gap': (1, 2)},
      'num_candidates=100000000: expected at most 1000',
    ),
    ({'num_frames': 10**9}, 'num_frames=1000000000: expected at most'),
    ({'num_steps': 10**9}, 'num_steps=1000000000: expected at most'),
    ({'temperature_2': 1e38}, 'temperature_2=.*at most 1000'),
    ({'interpolate': (1, 2, 3)}, r'interpolate=\(1, 2, 3\): expected 2'),
    ({'combine': (1, 2)}, 'expected 3 notes'),
    ({'gap': (1,)}, 'expected 2 numbers'),
    ({'interpolation': 'curved'}, "interpolation='curved'"),
    ({'gap': (1, 2), 'num_notes': 0}, r'gap=\(1, 2\) .* with num_notes=0'),
    ({'num_given': 2, 'num_notes': 0}, 'num_given=2 .* with num_notes=0'),
    ({'num_candidates': 2}, 'num_candidates=2 has no effect with gap=None'),
    ({'sweep': 1, 'sweep_pitches': ()}, r'sweep=1 .* sweep_pitches=\(\)'),
    ({'prior': 'x'}, "prior='x': expected one of fitted, standard"),
    ({'families': ('a', 'b')}, 'a family for each pitch, or one for all'),
    ({'families': ('a',), 'pitches': ()}, 'families=.* has no effect'),
    ({'seed': 2**63}, 'seed=9223372036854775808: expected at most'),
    ({'temperature': 1e-50}, 'temperature=1e-50'),
    ({'temperature_2': 1e39}, r'temperature_2=1e\+39'),
  ],
)
def test_refuses_what_no_run_could_do(change, message):
  with pytest.raises(ValueError, match=message):
    SynthesisConfig(**change)


def test_flags_give_the_configuration(parse_flags):
  parse_flags(
    define_flags,
    '--num_notes=3 --pitches=40,41 --families=flute,organ --prior=standard '
    '--pitch=50 --alphas=0.25,1 --num_given=9 '
    '--gap=3,8 --num_candidates=2 --interpolate=1,2 --num_steps=4 '
    '--interpolation=straight --combine=1,2,3 --sweep=5 --sweep_pitches=60 '
    '--num_frames=200 --temperature=0.5 --temperature_2=0.25 --greedy=mean '
    '--top_p=0.9 --seed=7 --keep_levels'.split(),
  )
  config = dataclass_flags.read(SynthesisConfig)
  assert config == SynthesisConfig(
    num_notes=3,
    pitches=(40, 41),
    families=('flute', 'organ'),
    prior='standard',
    pitch=50,
    alphas=(0.25, 1.0),
    num_given=9,
    gap=(3, 8),
    num_candidates=2,
    interpolate=(1, 2),
    num_steps=4,
    interpolation='straight',
    combine=(1, 2, 3),
    sweep=5,
    sweep_pitches=(60,),
    num_frames=200,
    temperature=0.5,
    temperature_2=0.25,
    greedy='mean',
    top_p=0.9,
    keep_levels=True,
    seed=7,
  )
  # None was forgotten.
  for field in dataclasses.fields(SynthesisConfig):
    assert getattr(config, field.name) != field.default


def test_names_of_pitches_and_notes(parse_flags):
  named = SynthesisConfig(
    pitches=('C4', 'F#3', 60), pitch='Bb2', interpolate=('koto C4', '12')
  )
  assert named.pitches == (60, 54, 60) and named.pitch == 46
  assert named.interpolate == ('koto C4', 12)
  parse_flags(
    define_flags,
    ['--pitches=C4,F#3,60', '--pitch=Bb2', '--interpolate=koto C4, 12'],
  )
  assert dataclass_flags.read(SynthesisConfig) == named


def test_without_flags_it_is_the_default(parse_flags):
  parse_flags(define_flags, [])
  assert dataclass_flags.read(SynthesisConfig) == SynthesisConfig()


@pytest.mark.parametrize('error_order', [0, 4])
def test_what_is_not_said_is_left_to_the_run(error_order):
  hps = default_hps().parse(f'error_order={error_order}')
  run, usual = types.SimpleNamespace(hps=hps), sampling.default_controls(hps)
  assert (usual['temperature_2'] < 1) == bool(error_order)
  config = SynthesisConfig(greedy=True).completed(run)
  assert config.controls == {'greedy': True, 'top_p': 1.0, **usual}
  config = SynthesisConfig(temperature_2=0.0, top_p=0.5).completed(run)
  assert config.controls == {
    'greedy': False,
    'top_p': 0.5,
    'temperature': usual['temperature'],
    'temperature_2': 0.0,
  }
