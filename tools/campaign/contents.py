"""Contents of files that are not what a command expects."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

DEEP = b'[' * 200_000


class Damage(NamedTuple):
  """What becomes of a file.

  Attributes:
    name: in a word.
    apply: from its content to another.
    may_pass: whether the other could be what somebody meant.
  """

  name: str
  apply: Callable[[bytes], bytes]
  may_pass: bool = False


def damages(name: str, rng: random.Random) -> Iterator[Damage]:
  """Yields what is to be tried with a file of this name."""
  place = rng.random()
  yield Damage('empty', lambda _: b'')
  yield Damage('cut', lambda x: x[: int(place * (len(x) - 1))])
  yield Damage('text', lambda _: b'no input\n')
  yield Damage('zeros', lambda x: bytes(len(x)))
  yield Damage('noise', lambda x: rng.randbytes(len(x)))
  yield Damage('half noise', lambda x: x[: len(x) // 2] + rng.randbytes(999))
  yield Damage('flipped', lambda x: flip(x, place), may_pass=True)
  special = {
    'npy': _of_npy,
    'npz': _of_npz,
    'wav': _of_wav,
    'mid': _of_mid,
    'json': _of_json,
    'csv': _of_csv,
    'tfrecord': _of_tfrecord,
  }.get(name.rpartition('.')[2])
  if special:
    yield from special(rng)


def flip(content: bytes, place: float) -> bytes:
  """Flips a bit, `place` of the way from the first to the last."""
  if not content:
    return content
  result = bytearray(content)
  bit = int(place * (8 * len(content) - 1))
  result[bit // 8] ^= 1 << bit % 8
  return bytes(result)


def _npy(array: np.ndarray) -> bytes:
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


def _header(text: str) -> bytes:
  """An .npy file of this header, and nothing else."""
  line = text.encode().ljust(117) + b'\n'
  return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(line)) + line


def _of_npy(rng: random.Random) -> Iterator[Damage]:
  def changed(change):
    return lambda content: _npy(change(np.load(io.BytesIO(content))))

  def spoilt(value):
    def change(array):
      array = array.astype(np.float32)
      array.flat[rng.randrange(array.size)] = value
      return array

    return changed(change)

  for value in (np.nan, np.inf, -np.inf):
    yield Damage(f'with {value}', spoilt(value))
  for name, change in {
    'no rows': lambda x: x[:0],
    'texts': lambda x: x.astype('U5'),
    'complex': lambda x: x.astype(complex),
    'one more axis': lambda x: x[None, None],
    'scalar': lambda x: np.array(1.0),
    'dates': lambda x: np.zeros(x.shape, 'M8[s]'),
    'records': lambda x: np.zeros(len(x), [('a', float)]),
  }.items():
    yield Damage(name, changed(change))
  for name, change in {
    'flat': lambda x: x.reshape(-1),
    'one row less': lambda x: x[:-1],
    'all zero': np.zeros_like,
    'all huge': lambda x: np.full(x.shape, 1e38, np.float32),
    'all -1': lambda x: np.full(x.shape, -1.0),
    'big endian': lambda x: x.astype(x.dtype.newbyteorder('>')),
    'by columns': np.asfortranarray,
    'bools': lambda x: x > 0,
    'narrow': lambda x: x[..., :1],
    'half': lambda x: x.astype(np.float16),
    'ints': lambda x: x.astype(np.int64),
  }.items():
    yield Damage(name, changed(change), may_pass=True)
  for shape in ('(9000000000, 125, 16)', '(-1, 125, 16)', '(1e3,)', '()'):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    yield Damage(f'header of {shape}', lambda _, x=header: _header(x))
  yield Damage('code in it', lambda _: _header('__import__("os").getpid()'))
  yield Damage('brackets', lambda _: _header('(' * 110))

  def pickled(_):
    file = io.BytesIO()
    np.save(file, np.array([{'a': 1}], object), allow_pickle=True)
    return file.getvalue()

  yield Damage('pickled', pickled)


def _of_npz(rng: random.Random) -> Iterator[Damage]:
  def changed(change):
    def apply(content):
      with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
      change(arrays)
      result = io.BytesIO()
      np.savez(result, **arrays)
      return result.getvalue()

    return apply

  def with_(name, value):
    return changed(lambda arrays: arrays.update({name: value}))

  yield Damage('no frames', changed(lambda arrays: arrays.pop('frames')))
  yield Damage('no pitches', changed(lambda arrays: arrays.pop('midi_pitch')))
  nan = np.full((4, 125, 16), np.nan, np.float32)
  yield Damage('frames are NaN', with_('frames', nan))
  yield Damage('no notes', with_('frames', nan[:0]))
  yield Damage('too few pitches', with_('midi_pitch', np.array([60])))
  for value in (-1, 128, 60.5, np.nan, np.inf, 2**62):
    yield Damage(f'pitch {value}', with_('midi_pitch', np.full(4, value)))
  yield Damage('pitch of text', with_('midi_pitch', np.full(4, 'C4')))
  yield Damage('true as pitch', with_('midi_pitch', np.full(4, True)))
  yield Damage('velocity 300', with_('velocity', np.full(4, 300)))
  yield Damage('objects', lambda x: x.replace(b'<f4', b'|O4'))


def _of_wav(rng: random.Random) -> Iterator[Damage]:
  def put(offset, layout, value):
    def apply(content):
      result = bytearray(content)
      struct.pack_into(layout, result, offset, value)
      return bytes(result)

    return apply

  yield Damage('no channels', put(22, '<H', 0))
  yield Damage('no rate', put(24, '<I', 0))
  yield Damage('no bits', put(34, '<H', 0))
  yield Damage('cut in the middle', lambda x: x[: len(x) // 2])
  yield Damage('only a header', lambda x: x[:44])
  yield Damage('length of 4 GB', put(40, '<I', 0xFFFFFFF0))
  for name, apply in {
    'rate of 1 Hz': put(24, '<I', 1),
    'rate of 2 GHz': put(24, '<I', 2_000_000_000),
    '999 channels': put(22, '<H', 999),
    'no format': put(20, '<H', 77),
    'length of 0': put(40, '<I', 0),
  }.items():
    yield Damage(name, apply, may_pass=True)


def _of_mid(rng: random.Random) -> Iterator[Damage]:
  track = b'MTrk'

  def song(events: bytes, ticks: int = 100) -> bytes:
    header = b'MThd' + struct.pack('>IHHH', 6, 1, 1, ticks)
    return header + track + struct.pack('>I', len(events)) + events

  end = b'\x00\xff\x2f\x00'
  yield Damage('no notes', lambda _: song(end))
  yield Damage('no ticks', lambda x: x[:12] + b'\x00\x00' + x[14:])
  yield Damage('no tracks', lambda x: x[:14])
  yield Damage('another order', lambda x: x[::-1])
  yield Damage('bad meta', lambda _: song(b'\x00\xff\x51\x01\x00' + end))
  yield Damage(
    'a week long', lambda _: song(b'\x00\x90\x3c\x50\xff\xff\xff\x7f\x80\x3c\0')
  )
  yield Damage(
    'no tempo',
    lambda _: song(
      b'\x00\xff\x51\x03\x00\x00\x00\x00\x90\x3c\x50\x64\x80\x3c\x00' + end
    ),
    may_pass=True,
  )
  yield Damage('9999 tracks', lambda x: x[:10] + b'\x27\x0f' + x[12:], True)
  yield Damage('length lies', lambda x: x[:18] + b'\xff' + x[19:], True)


def _of_json(rng: random.Random) -> Iterator[Damage]:
  for text in (b'[]', b'null', b'3', b'"a"', b'{', b'{}{}', b'\xff', b'{a:1}'):
    yield Damage(f'is {text!r}', lambda _, text=text: text)
  yield Damage('an empty object', lambda _: b'{}', may_pass=True)
  yield Damage('brackets', lambda _: DEEP)
  yield Damage('brackets in it', lambda x: x.replace(b': ', b':' + DEEP, 1))
  yield Damage('twice', lambda x: x.rstrip()[:-1] + b',' + x.lstrip()[1:])
  yield Damage('surrogate', lambda x: x.replace(b'": "', b'": "\\ud800', 1))

  def replaced(value: Any):
    """Another value for a value of the file."""

    def apply(content):
      document = json.loads(content)
      place: Any = document
      for _ in range(5):
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
          break
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and rng.random() < 0.8:
          place = place[key]
          continue
        place[key] = value
        break
      return json.dumps(document).encode().replace(b'"1e999"', b'1e999')

    return apply

  for value in (
    None,
    True,
    -1,
    60.7,
    10**400,
    'x',
    [],
    {},
    '1e999',
    '\x1b[31m',
  ):
    yield Damage(f'a value is {str(value)[:9]!r}', replaced(value), True)


def _of_csv(rng: random.Random) -> Iterator[Damage]:
  def cell(row, column, value):
    def apply(content):
      rows = [line.split(b',') for line in content.splitlines()]
      rows[row][column] = value
      return b'\n'.join(b','.join(cells) for cells in rows) + b'\n'

    return apply

  yield Damage('no header', lambda x: x.partition(b'\n')[2])
  yield Damage('header twice', cell(0, 1, b'file'))
  yield Damage('NUL', cell(1, 1, b'\x00'))
  yield Damage('an open quote', cell(1, 0, b'"'))
  yield Damage('no UTF-8', cell(1, 0, b'\xff\xfe'))
  yield Damage('a long cell', cell(1, 0, b'x' * 200_000))
  for value in (b'../../x.wav', b'/etc/passwd', b'', b'.', b'no_such.wav'):
    yield Damage(f'file {value!r}', cell(1, 0, value))
  for value in (b'128', b'-1', b'nan', b'60.7', b'inf', b'true', b'9' * 5000):
    yield Damage(f'pitch {value[:9]!r}', cell(1, 1, value))
    yield Damage(f'velocity {value[:9]!r}', cell(1, 2, value))
  yield Damage('a note twice', lambda x: x + x.splitlines()[1] + b'\n')
  yield Damage('escape', cell(1, 3, b'\x1b[31mred'), may_pass=True)
  yield Damage('mathtext', cell(1, 3, b'$\\frac{$'), may_pass=True)


def _of_tfrecord(rng: random.Random) -> Iterator[Damage]:
  yield Damage('length lies', lambda x: b'\xff' * 8 + x[8:])
  yield Damage('flipped early', lambda x: flip(x, 0.0))
  yield Damage('flipped late', lambda x: flip(x, 1.0))
  yield Damage('cut in the middle', lambda x: x[: len(x) // 2])
