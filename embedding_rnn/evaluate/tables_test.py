import json

import pytest

from embedding_rnn.evaluate import tables


def test_the_table_has_all_that_was_measured(result):
  table = tables.format_metrics(result)
  for label in tables.MEASURES.values():
    assert label in table
  assert f'{result["models"]["pca"]["mse"]:.3f}' in table
  assert '8 of 16 whitened principal components of frames' in table
  assert 'upper bound, from 2 latents a note' in table
  assert 'drawn at temperature 1 and temperature_2 1,' in table


def test_what_an_ear_would_say_comes_first_and_pitch_last(result):
  keys = list(tables.MEASURES)
  assert keys.index('reconstruction_attack_error_db') < keys.index(
    'frechet_distance'
  )
  assert all('pitch' in key for key in keys[-4:])
  assert 'Pitch comes last' in tables.format_metrics(result)
  assert 'Pitch' not in tables.format_metrics(result | {'codec': 'wavenet'})


def test_no_flipped_bit_of_the_metrics_goes_unseen(result, tmp_path):
  tables.write_metrics(tmp_path, result)
  path = tmp_path / tables.METRICS
  content = path.read_bytes()
  # The checksum is at the end; in what is before, one bit is as good as others.
  end = 8 * len(content)
  for i in (*range(0, end - 800, 999), *range(end - 800, end - 8)):
    flipped = bytearray(content)
    flipped[i // 8] ^= 1 << i % 8
    path.write_bytes(flipped)
    try:
      found = tables.read_metrics(path)
    except ValueError as error:
      assert str(path) in str(error)
    else:  # between two values, where it means nothing
      assert found == json.loads(json.dumps(result))


def test_metrics_of_versions_without_a_checksum_are_read(result, tmp_path):
  path = tmp_path / tables.METRICS
  path.write_text(json.dumps(result))
  assert tables.read_metrics(path) == json.loads(path.read_text())
  path.write_text(json.dumps(result | {'step': '7'}))
  with pytest.raises(ValueError, match="'step' is '7', expected a whole"):
    tables.read_metrics(path)
