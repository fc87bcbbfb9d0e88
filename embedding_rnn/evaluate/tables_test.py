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
