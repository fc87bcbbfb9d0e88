import dataclasses

import numpy as np

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.training import training
from embedding_rnn.training.examples import Examples


def test_examples_are_six_validation_notes_and_their_reconstructions(
  run, dataset
):
  examples = Examples(dataset, run)
  originals, made = examples.originals(), examples.reconstructions()
  assert list(originals) == list(made)
  rows = [int(name.rsplit('row')[-1]) for name in originals]
  assert len(set(rows)) == 6 and set(rows) <= set(dataset.rows['valid'])
  notes, pitches = dataset.notes(rows)
  for sounds, frames in (
    (originals, notes),
    (made, run.reconstruct(notes, pitches)),
  ):
    expected = HarmonicCodec().decode(frames, pitches.argmax(axis=1))
    np.testing.assert_allclose(list(sounds.values()), expected, atol=1e-5)


def test_what_is_not_finite_is_not_heard(run, dataset):
  class Overflowing(type(run)):
    def reconstruct(self, notes, pitches):
      made = np.array(notes)
      made[1:, 0] = np.inf
      return made

  fields = dataclasses.fields(run)
  broken = Overflowing(**{x.name: getattr(run, x.name) for x in fields})
  examples = Examples(dataset, broken)
  names = list(examples.originals())
  assert list(examples.reconstructions()) == names[:1]


def test_only_frames_of_our_codec_are_heard(run, unconditional_run, dataset):
  def heard(model, **changes):
    data = dataclasses.replace(dataset, **changes)
    objective = training.NoteObjective(model, 0, data, run.transforms)
    return [*objective.original_sounds()], [*objective.made_sounds()]

  originals, made = heard(run.model)
  assert len(originals) == 6 and made == originals
  assert heard(run.model, metadata={}) == ([], [])
  assert heard(run.model, metadata={'codec': 'wavenet'}) == ([], [])
  assert heard(unconditional_run.model) == ([], [])
