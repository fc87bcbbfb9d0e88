from embedding_rnn.evaluate import tables


def test_the_table_has_all_that_was_measured(result):
  table = tables.format_metrics(result)
  for label in tables.MEASURES.values():
    assert label in table
  assert f'{result["models"]["pca"]["mse"]:.3f}' in table
  assert '8 of 16 whitened principal components of frames' in table
  assert 'upper bound, from 2 latents a note' in table
