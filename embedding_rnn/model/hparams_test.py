"""Tests of hparams.py and hparams_parsing.py."""

import copy
import json
import math
import pathlib
import pickle
import xml.etree.ElementTree

import numpy as np
import pytest

from embedding_rnn.model import hparams
from embedding_rnn.model.hparams import HParams
from embedding_rnn.utils import memory

DOCS = pathlib.Path(__file__).parents[2] / 'docs' / 'hyperparameters.md'

# The table of the 2017 defaults: names in order, with values of these types.
DEFAULTS_2017 = [
  ('num_steps', 10000000),
  ('save_every', 1000),
  ('max_seq_len', 125),
  ('seq_width', 16),
  ('rnn_size', 1024),
  ('num_layers', 1),
  ('model', 'lstm'),
  ('bidir', 1),
  ('enc_rnn_size', 256),
  ('enc_model', 'lstm'),
  ('z_size', 64),
  ('context_vec_size', 128),
  ('kl_weight', 1.0),
  ('kl_weight_start', 0.01),
  ('kl_tolerance', 0.2),
  ('batch_size', 128),
  ('grad_clip', 1.0),
  ('num_mixture', 5),
  ('clip_z_with_tanh', 0),
  ('learning_rate', 0.001),
  ('decay_rate', 0.9999),
  ('kl_decay_rate', 0.99995),
  ('min_learning_rate', 0.00001),
  ('use_recurrent_dropout', 0),
  ('recurrent_dropout_prob', 0.95),
  ('use_input_dropout', 0),
  ('input_dropout_prob', 0.95),
  ('use_output_dropout', 0),
  ('output_dropout_prob', 0.95),
  ('hyper_lstm_size', 256),
  ('hyper_embedding_size', 64),
  ('hyper_use_layer_norm', 1),
  ('data_set', 'train_z.npy'),
  ('pitch_set', 'train_pitch_one_hot.npy'),
  ('velocity_set', 'train_vels_one_hot.npy'),
  ('unconditional', 0),
  ('is_training', 1),
  ('trial', 0),
  ('overfit', 0),
  ('difference_input', 1),
  ('no_sample_vae', 0),
  ('pca_dim_reduce', 0),
  ('n_pca_components', 6),
]


def mixed_hps():
  return HParams(
    size=4, rate=0.5, flag=True, name='lstm', sizes=[1, 2, 3], rates=[0.5],
    flags=[True, False], names=('a', 'b'), nothing=None,
  )  # fmt: skip


def test_default_hps_has_names_order_values_and_types_of_2017():
  # Others came later, behind them.
  values = list(hparams.default_hps().values().items())[: len(DEFAULTS_2017)]
  assert values == DEFAULTS_2017
  assert [type(v) for _, v in values] == [type(v) for _, v in DEFAULTS_2017]
  assert hparams.default_hps() is not hparams.default_hps()


@pytest.mark.parametrize(
  ('text', 'changed'),
  [
    ('', {}),
    ('   ', {}),
    ('size=512', {'size': 512}),
    ('size=-1', {'size': -1}),
    ('size=512,name=layer_norm', {'size': 512, 'name': 'layer_norm'}),
    ('size=512, name=x,', {'size': 512, 'name': 'x'}),
    (' size = 512 ,  name = x , ', {'size': 512, 'name': 'x'}),
    ('size=512,\nname=x\n', {'size': 512, 'name': 'x'}),
    ('rate=2', {'rate': 2.0}),
    ('rate=1e-3', {'rate': 0.001}),
    ('rate=-.5', {'rate': -0.5}),
    ('flag=true', {'flag': True}),
    ('flag=True', {'flag': True}),
    ('flag=1', {'flag': True}),
    ('flag=false', {'flag': False}),
    ('flag=False', {'flag': False}),
    ('flag=0', {'flag': False}),
    ('name=', {'name': ''}),
    ('name=/a/b=c/d.npy', {'name': '/a/b=c/d.npy'}),
    ('name=a b', {'name': 'a b'}),
    ('sizes=[7]', {'sizes': [7]}),
    ('sizes=[1,2]', {'sizes': [1, 2]}),
    ('sizes=[ 4, 5 6 ], size=1', {'sizes': [4, 5, 6], 'size': 1}),
    ('rates=[1,2.5]', {'rates': [1.0, 2.5]}),
    ('flags=[0,true]', {'flags': [False, True]}),
    ('names=[a=b,/c]', {'names': ['a=b', '/c']}),
    ('sizes[1]=9', {'sizes': [1, 9, 3]}),
    ('sizes[0]=7,sizes[2]=8', {'sizes': [7, 2, 8]}),
    ('names[ 1 ] = z', {'names': ['a', 'z']}),
    ('nothing=x', {'nothing': 'x'}),
  ],
)
def test_parse(text, changed):
  hps = mixed_hps()
  expected = {**hps.values(), **changed}
  assert hps.parse(text) is hps
  assert hps.values() == expected
  for name, value in changed.items():
    assert type(getattr(hps, name)) is type(value)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('sise=3', "Unknown hyperparameter 'sise'.*did you mean 'size'"),
    ('zzz=3', "Unknown hyperparameter 'zzz'.*there are: size, rate"),
    ('zzz[0]=3', "Unknown hyperparameter 'zzz'"),
    ('size=1.0', "Could not parse.*'size'.*'int'.*'1.0'.*write a int"),
    ('size=x', "Could not parse.*'x'"),
    ('size=', 'Could not parse'),
    ('size=true', 'Could not parse'),
    ('rate=x', "Could not parse.*'float'"),
    ('flag=2', "Could not parse.*'bool'"),
    ('flag=yes', 'Could not parse'),
    ('sizes=[1,2.0]', "Could not parse.*'2.0'"),
    ('sizes[0]=x', 'Could not parse'),
    ('sizes=3', 'Must pass a list'),
    ('size=[3]', 'Must not pass a list'),
    ('size=[]', 'Must not pass a list'),
    ('size[0]=3', 'Must not pass a list'),
    ('sizes[3]=1', 'out of range.*3 elements'),
    ('sizes[0]=[1]', 'list to a list index'),
    ('size=1,size=1', "Multiple assignments to variable 'size'"),
    ('sizes=[1],sizes=[1]', 'Multiple assignments to variable'),
    ('sizes=[1],sizes[0]=1', 'Multiple assignments to variable'),
    ('sizes[0]=1,sizes=[1]', 'Multiple assignments to variable'),
    ('sizes[0]=1,sizes[0]=2', 'Multiple assignments to variable'),
    ('size', "Malformed.*'size'"),
    ('=3', 'Malformed'),
    (',', 'Malformed'),
    ('size=3,,', 'Malformed'),
    ('3size=3', 'Malformed'),
    ('sizes=[1,2', 'Malformed'),
    ('sizes=[1]2', 'Malformed'),
    ('sizes[-1]=2', 'Malformed'),
    ('size:3', 'Malformed'),
  ],
)
@pytest.mark.parametrize('before', ['', 'name=x,rates=[3],flags[0]=0,'])
def test_parse_that_fails_changes_nothing(text, message, before):
  hps = mixed_hps()
  with pytest.raises(ValueError, match=message):
    hps.parse(before + text)
  assert hps == mixed_hps()
  with pytest.raises(ValueError, match=message):
    hps.parse(text + ',name=x' if 'Malformed' not in message else text)
  assert hps == mixed_hps()


def test_attributes_are_typed():
  hps = mixed_hps()
  hps.size = 5
  hps.rate = 1
  hps.flag = False
  hps.sizes = (4, 5)
  hps.nothing = 'anything'
  assert (hps.size, hps.flag, hps.sizes) == (5, False, [4, 5])
  assert hps.rate == 1.0 and type(hps.rate) is float
  hps.size = np.int64(6)
  hps.rate = np.float32(0.25)
  assert type(hps.size) is int and type(hps.rate) is float
  json.loads(hps.to_json())


@pytest.mark.parametrize(
  ('name', 'value', 'message'),
  [
    ('size', 1.0, "Could not cast.*'size'.*'int'.*1.0.*pass a int"),
    ('size', True, 'Could not cast'),
    ('size', '3', 'Could not cast'),
    ('size', None, 'Could not cast'),
    ('rate', '3.0', 'Could not cast'),
    ('rate', False, 'Could not cast'),
    ('flag', 1, 'Could not cast'),
    ('name', 2, 'Could not cast'),
    ('sizes', [1, 2.5], 'Could not cast'),
    ('sizes', 3, 'Must pass a list'),
    ('size', [3], 'Must not pass a list'),
  ],
)
def test_values_of_another_type_are_refused(name, value, message):
  hps = mixed_hps()
  setters = [
    lambda: setattr(hps, name, value),
    lambda: hps.set_hparam(name, value),
    lambda: hps.override_from_dict({'name': 'x', name: value}),
    lambda: hps.parse_json(json.dumps({'name': 'x', name: value})),
  ]
  for setter in setters:
    with pytest.raises(ValueError, match=message):
      setter()
    assert hps == mixed_hps()


def test_unknown_names():
  hps = mixed_hps()
  for error in (KeyError, ValueError):
    with pytest.raises(error, match=r"Unknown hyperparameter 'siz'.*'size'"):
      hps.set_hparam('siz', 1)
    with pytest.raises(error, match='Unknown hyperparameter'):
      hps.override_from_dict({'name': 'x', 'siz': 1})
  with pytest.raises(AttributeError, match='Unknown hyperparameter'):
    _ = hps.siz
  with pytest.raises(AttributeError, match='Unknown hyperparameter'):
    hps.siz = 1
  with pytest.raises(AttributeError, match='Unknown hyperparameter'):
    del hps.siz
  assert not hasattr(hps, 'siz')
  assert hps == mixed_hps()


def test_contains_and_get():
  hps = mixed_hps()
  assert 'size' in hps and 'siz' not in hps and 'parse' not in hps
  assert hps.get('size') == 4
  assert hps.get('siz') is None
  assert hps.get('siz', 'x') == 'x'
  assert hps.get('rate', 1) == 0.5
  with pytest.raises(ValueError, match='Could not cast'):
    hps.get('size', 'x')
  with pytest.raises(ValueError, match='Must pass a list'):
    hps.get('sizes', 1)


def test_add_and_delete():
  hps = HParams()
  hps.add_hparam('a', 1)
  hps.add_hparam('b', [0.5])
  assert hps.values() == {'a': 1, 'b': [0.5]}
  with pytest.raises(ValueError, match="reserved: 'a' is there already"):
    hps.add_hparam('a', 1)
  for name in ('parse', '_types', '__dict__'):
    with pytest.raises(ValueError, match='reserved'):
      hps.add_hparam(name, 1)
  with pytest.raises(ValueError, match='cannot be empty'):
    hps.add_hparam('c', [])
  with pytest.raises(ValueError, match='Could not cast'):
    hps.add_hparam('c', [1, 'x'])
  assert 'c' not in hps
  hps.del_hparam('a')
  hps.del_hparam('a')
  assert 'a' not in hps and not hasattr(hps, 'a')
  hps.add_hparam('a', 'text')
  del hps.b
  assert hps.values() == {'a': 'text'}


def test_json_round_trip_is_deterministic():
  hps = mixed_hps().parse('rate=1e-5,sizes=[5]')
  other = HParams(**{**mixed_hps().values(), 'nothing': None})
  assert other.parse_json(hps.to_json()) == hps
  assert other.to_json() == hps.to_json()
  assert list(json.loads(hps.to_json())) == list(hps.values())
  assert list(json.loads(hps.to_json(sort_keys=True))) == sorted(hps.values())
  assert json.loads(hps.to_json(indent=2)) == hps.values()
  assert type(mixed_hps().parse_json('{"rate": 3}').rate) is float


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{"size": 3', 'not JSON'),
    ('', 'not JSON'),
    ('[3]', 'must be a JSON object'),
    ('{"name": "x", "siz": 3}', 'Unknown hyperparameter'),
    ('{"size": 3, "size": 4}', 'Multiple assignments to variable'),
  ],
)
def test_bad_json_changes_nothing(text, message):
  hps = mixed_hps()
  with pytest.raises(ValueError, match=message):
    hps.parse_json(text)
  assert hps == mixed_hps()


@pytest.mark.parametrize(
  'duplicate',
  [
    HParams.copy,
    copy.copy,
    copy.deepcopy,
    lambda hps: pickle.loads(pickle.dumps(hps)),
  ],
)
def test_copies_share_nothing(duplicate):
  hps = mixed_hps()
  other = duplicate(hps)
  assert other == hps
  other.sizes[0] = 100
  other.size = 100
  other.add_hparam('more', 1)
  other.del_hparam('name')
  assert hps == mixed_hps()
  hps.values()['sizes'].append(3)
  assert hps == mixed_hps()


def test_equality():
  assert HParams(a=1, b=2) == HParams(b=2, a=1)
  assert HParams(a=1) != HParams(a=1.0)
  assert HParams(a=1) != HParams(a=2)
  assert HParams(a=1) != {'a': 1}
  with pytest.raises(TypeError, match='unhashable'):
    hash(HParams(a=1))


def test_str_is_sorted():
  hps = HParams(b='x', a=1)
  assert str(hps) == "[('a', 1), ('b', 'x')]"
  assert repr(hps) == "HParams([('a', 1), ('b', 'x')])"


def test_repr_makes_the_same_again():
  hps = hparams.default_hps()
  assert repr(hps) == 'default_hps()'
  hps.parse('rnn_size=12,model=hyper,learning_rate=1e-5')
  assert len(repr(hps)) < 80
  names = {'default_hps': hparams.default_hps}
  assert eval(repr(hps), names) == hps
  page = xml.etree.ElementTree.fromstring(hps._repr_html_())
  cells = [[cell.text for cell in row] for row in page][1:]
  shown = {name: (value, default) for name, value, default in cells}
  assert {name: value for name, (value, _) in shown.items()} == {
    name: repr(value)
    for name, value in hps.values().items()
    if value != hparams.default_hps().get(name)
  }
  assert hparams.default_hps()._repr_html_() == '<code>default_hps()</code>'


def test_declarations():
  names = [h.name for h in hparams.HYPERPARAMETERS]
  assert len(set(names)) == len(names)
  for h in hparams.HYPERPARAMETERS:
    assert h.group in hparams.GROUPS and {*h.shapes} <= {'model', 'costs'}
  model = hparams.names_that_shape('model')
  assert {'rnn_size', 'hyper_use_layer_norm', 'pca_dim_reduce'} <= {*model}
  assert not {'data_set', 'kl_weight', 'learning_rate', 'trial'} & {*model}
  hparams.check_hparams(hparams.default_hps())


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('model=gru', "model='gru': expected lstm, layer_norm or hyper"),
    ('num_steps=0', 'num_steps=0: expected more than 0'),
    ('grad_clip=nan', 'grad_clip=nan: expected more than 0'),
    ('learning_rate=-1', r'learning_rate=-1\.0: expected more than 0'),
    ('learning_rate=inf', 'learning_rate=inf: .* and finite'),
    ('min_learning_rate=-1', 'expected at least 0'),
    ('decay_rate=1.1', r'decay_rate=1\.1: expected from 0 to 1'),
    ('kl_decay_rate=nan', 'kl_decay_rate=nan: expected from 0 to 1'),
    ('kl_weight=inf', 'kl_weight=inf'),
    ('kl_tolerance=nan', 'expected a finite number'),
    ('bidir=2', 'bidir=2: expected 0 or 1'),
    ('use_input_dropout=1,input_dropout_prob=nan', 'keep probability'),
    ('rnn_size=10000000', 'rnn_size=10000000: .*, at most 65,536'),
    ('num_layers=100000', 'at most 64'),
    ('z_size=1000000000', 'at most 65,536'),
    ('num_mixture=100000000', 'at most 1,024'),
    (f'num_steps={10**25}', 'at most 1,000,000,000'),
    (f'batch_size={10**9}', 'at most 1,000,000'),
    ('error_order=-1', 'expected at least 0'),
    ('kl_weight_start=nan', 'kl_weight_start=nan: expected at least 0'),
    ('feedback_noise=inf', 'feedback_noise=inf'),
    ('pca_dim_reduce=1,n_pca_components=17', 'at most seq_width=16'),
  ],
)
def test_values_that_make_no_training_are_refused(text, message):
  with pytest.raises(ValueError, match=message):
    hparams.check_hparams(hparams.default_hps().parse(text))


def test_every_number_has_a_bound():
  free = {h.name for h in hparams.HYPERPARAMETERS if h.bound is None}
  numbers = {
    h.name for h in hparams.HYPERPARAMETERS if not isinstance(h.default, str)
  }
  # Those that have no effect but with another, or that a sum bounds.
  assert numbers & free == {
    'recurrent_dropout_prob',
    'input_dropout_prob',
    'output_dropout_prob',
    'trial',
  }
  for h in hparams.HYPERPARAMETERS:
    if h.bound and isinstance(h.default, int | float):
      assert not h.bound.holds(math.nan)
      if isinstance(h.default, int):
        assert not h.bound.holds(10**25) and not h.bound.holds(-1)


def test_what_no_memory_could_hold_is_refused(monkeypatch):
  hps = hparams.default_hps()
  hparams.expect_enough_memory(hps, is_training=True)
  weights = 4 * hparams.num_weights(hps)
  monkeypatch.setattr(memory, 'available_bytes', lambda: 2 * weights)
  hparams.expect_enough_memory(hps, is_training=False)
  with pytest.raises(ValueError, match=r'Training with rnn_size=.*batch_size'):
    hparams.expect_enough_memory(hps, is_training=True)
  hps.num_layers = 5
  with pytest.raises(ValueError, match=r'The model with .* GB of memory'):
    hparams.expect_enough_memory(hps, is_training=False)


@pytest.mark.parametrize(
  'text',
  [
    'grad_clip=inf',
    'decay_rate=1,min_learning_rate=0,kl_weight_start=0,kl_tolerance=-1',
    'input_dropout_prob=0,n_pca_components=17',  # without effect
  ],
)
def test_values_that_are_good(text):
  hparams.check_hparams(hparams.default_hps().parse(text))


@pytest.mark.skipif(not DOCS.exists(), reason='not in a clone')
def test_documented():
  table = hparams.markdown_table()
  text = DOCS.read_text(encoding='utf-8')
  assert table in text, f'{DOCS} should have this table:\n{table}'
