import numpy as np
import pytest

from embedding_rnn.data import lookup, metadata


def test_what_is_found_is_what_the_data_say(dataset):
  every = lookup.find_notes(dataset)
  np.testing.assert_array_equal(every.rows, np.arange(len(dataset.frames)))
  name = every[7].instrument
  found = lookup.find_notes(dataset, name[2:].upper())
  rows = np.arange(len(dataset.frames))
  names = dataset.names(metadata.INSTRUMENTS, rows)
  families = dataset.names(metadata.FAMILIES, rows)
  assert found.rows.tolist() == [i for i in rows if name[2:] in names[i]]
  pitches, velocities = dataset.midi_numbers(found.rows)
  for note, pitch, velocity in zip(found, pitches, velocities, strict=True):
    assert (note.pitch, note.velocity) == (pitch, velocity)
    assert note.family == families[note.row]
    assert note.row in dataset.rows[note.split]
  some = lookup.find_notes(dataset, f'{found[0].note} {name}')
  assert {note.pitch for note in some} == {found[0].pitch}
  assert set(some) <= set(found) and found[0] in some
  assert found[0].instrument in repr(found)
  assert f'<td style="text-align:left">{name}</td>' in found._repr_html_()
  assert repr(lookup.find_notes(dataset, 'no such')) == '0 notes'


def test_rows_by_name(dataset):
  note = lookup.find_notes(dataset)[5]
  rows = [3, f'{note.instrument} {note.note}']
  found = lookup.find_rows(dataset, rows)
  same = [
    n
    for n in lookup.find_notes(dataset)
    if (n.instrument, n.pitch) == (note.instrument, note.pitch)
  ]
  nearest = min(same, key=lambda n: abs(n.velocity - 100))
  assert found.tolist() == [3, nearest.row]
  assert lookup.find_rows(dataset, ()).shape == (0,)


def test_names_that_say_too_little_or_too_much(dataset):
  note = lookup.find_notes(dataset)[0]
  named = {(n.instrument, n.note) for n in lookup.find_notes(dataset, 'ass')}
  message = f'of {len(named)} instruments or pitches; give one of: .*bass'
  with pytest.raises(ValueError, match=message):
    lookup.find_rows(dataset, ['ass'])
  with pytest.raises(ValueError, match=f'no note.*{note.instrument} '):
    lookup.find_rows(dataset, [f'{note.instrument} C-1'])
  for row in (-1, len(dataset.frames)):
    with pytest.raises(ValueError, match=f'no note {row}: .* has the rows'):
      lookup.find_rows(dataset, [row])
