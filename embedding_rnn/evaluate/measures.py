"""How good a run is: its likelihood, its reconstructions and its samples.

Everything is measured on real notes that were held out, and for a few simple
baselines, too, without which the numbers would say little:

  run = embedding_rnn.load_run('logs/default_local')
  result = evaluate(run, run.open_dataset(), codec=get_codec('harmonic'))
  print(tables.format_metrics(result))
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from embedding_rnn.audio.codec import Codec
from embedding_rnn.data import checks
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.data.splits import SPLITS
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.evaluate import baselines, likelihood
from embedding_rnn.evaluate.reference import Reference
from embedding_rnn.evaluate.tables import HEADINGS, MEASURES
from embedding_rnn.model import sampling
from embedding_rnn.training.trained_run import Run
from embedding_rnn.utils import cli

_Steps = dict[str, partial[dict[str, Any]]]
_OTHER_KEYS = (
  *('likelihood', 'density', 'mse_per_note'),
  *('family_accuracies', 'prior', 'controls'),
)
_WIDE = {'temperature': 1.0, 'temperature_2': 1.0}
_BASELINES: dict[str, Any] = {
  'mean_frame': baselines.MeanFrame,
  'pca': baselines.NotePCA,
  'ar1': baselines.Autoregression,
}


def evaluate(
  run: Run,
  dataset: NoteDataset | None,
  *,
  notes: NoteDataset | None = None,
  split: str | None = None,
  num_importance_samples: int = 32,
  num_decoded_notes: int = 32,
  unconditional_run: Run | None = None,
  codec: Codec | None = None,
  controls: Mapping[str, Any] | None = None,
  seed: int = 0,
) -> dict[str, Any]:
  """Measures a run, and baselines to compare it with.

  Args:
    run: any run.
    dataset: its data, see `Run.open_dataset`. With other notes it may be None;
      then there are no baselines, and features are scaled by these notes.
    notes: others to measure on, see `provenance.open_notes`; those of the
      run's data if None.
    split: 'train', 'valid' or 'test'; for None, 'test' of the run's data, or
      all of other notes. Of more than 16384 notes, so many are chosen by
      chance.
    num_importance_samples: latents for each note in the bound on the
      likelihood; more of them make it tighter, and take longer.
    num_decoded_notes: how many notes to decode to audio, at most all.
    unconditional_run: a run of the same data to compare with.
    codec: of the data; None for no audio.
    controls: of `sampling.sample`, at which samples are drawn; what is left out
      is as `sampling.default_controls` says.
    seed: of all that is left to chance.

  Returns:
    What can be written as JSON: the settings, and under 'models' a dict for
    'run' and for each baseline. These are 'real' (the notes themselves: the
    distances are those of two halves of them), 'mean_frame' (each note's own,
    repeated), 'pca' (of whole notes, with the code size of the run), 'ar1' (a
    vector autoregression of the frames that the run sees) and 'unconditional'.
    Each has the keys of `tables.MEASURES` and these, None where one makes no
    sense or is not finite:

    - 'density': what 'nll_nats_per_value' is the density of, see
      `describe_density`; and 'likelihood', 'exact' or an upper 'bound'.
    - 'mse_per_note': of each note, in the order of 'rows'. Errors are in the
      format of the data. Reconstructions are from the mean of z, each value
      being the mean of its mixture; an unconditional run guesses all notes at
      once, by its mean note or by the mean of its samples, whichever is better.

    - 'family_accuracies': of each family, how many notes are taken for one of
      it by a classifier of real training notes, `families.FamilyClassifier`.
    - 'prior': of the samples, 'fitted' or 'standard', see `Run.sample`.
    - 'controls': of the samples.

    Samples are asked for with the pitches, velocities and families of the real
    notes, from the run's prior. One without a prior knows no families; it has z
    from N(0, I), which training with no_sample_vae=1 did not prepare for. Their
    distances to real notes are of `distances.NoteFeatures`.

    Of decoded notes, originals decoded like all others, the log-spectral
    distance is the mean of `metrics.log_spectral_distance`, the error of the
    attack the median of the absolute `metrics.attack_error_db`. Level jumps
    are means of `metrics.level_jump_db`, as a ratio to that of the real notes;
    only theirs is in dB. Reconstructions are drawn at the controls for it,
    since their means have hardly any. The loudness error of samples is that of
    their mean curve. Pitch accuracy is the share of notes within 50 cents of
    their pitch, pitch error the median of the absolute errors, to 10 cents.

  Raises:
    ValueError: for an argument out of range, or runs of other data.
  """
  check_settings(
    split, num_importance_samples, num_decoded_notes, seed, controls
  )
  reference = Reference(
    dataset,
    notes=notes,
    split=split,
    num_decoded_notes=num_decoded_notes,
    codec=codec,
    seed=seed,
  )
  return measure(
    run, reference, num_importance_samples, unconditional_run, controls
  )


def check_settings(
  split: str | None,
  num_importance_samples: int,
  num_decoded_notes: int,
  seed: int,
  controls: Mapping[str, Any] | None = None,
) -> None:
  """Raises ValueError for arguments of `evaluate` that are out of range."""
  sampling.check_controls(**(controls or {}))
  if split not in (None, *SPLITS):
    raise ValueError(
      f'split must be one of {", ".join(SPLITS)}, got {split!r}.'
    )
  for name, value, least in (
    ('num_importance_samples', num_importance_samples, 1),
    ('num_decoded_notes', num_decoded_notes, 0),
    ('seed', seed, 0),
  ):
    if value < least:
      raise ValueError(f'{name}={value}: expected at least {least}.')


def measure(
  run: Run,
  reference: Reference,
  num_importance_samples: int = 32,
  unconditional_run: Run | None = None,
  controls: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """As `evaluate`, against notes that were read already."""
  measure_run = partial(_measure_run, reference, controls or {})
  steps = {'run': partial(measure_run, run, num_importance_samples)}
  steps |= _baselines(run, reference)
  if unconditional_run is not None:
    check_unconditional(run, unconditional_run)
    steps['unconditional'] = partial(measure_run, unconditional_run)
  models = {}
  for name, step in (bar := cli.progress_bar(steps.items(), unit='model')):
    bar.set_description(f'Measuring {HEADINGS.get(name, name)}')
    keys = [*MEASURES, *_OTHER_KEYS]
    measured = dict.fromkeys(keys) | step()
    models[name] = {key: _plain(value) for key, value in measured.items()}
  return {
    'name': pathlib.Path(run.folder).resolve().name,
    'folder': run.folder,
    'step': run.step,
    'data_dir': reference.data_dir,
    'notes': reference.name,
    'split': reference.split,
    'num_notes': len(reference.rows),
    'num_importance_samples': num_importance_samples,
    'num_decoded_notes': len(reference.decoded),
    'codec': reference.codec.name if reference.codec else None,
    'seed': reference.seed,
    'rows': reference.rows.tolist(),
    'models': models,
  }


def _measure_run(
  reference: Reference,
  controls: Mapping[str, Any],
  run: Run,
  num_importance_samples: int = 1,
) -> dict[str, Any]:
  """What there is to say of any run."""
  model, seed = run.model, reference.seed
  notes, one_hots = reference.notes, reference.one_hots
  usual = sampling.default_controls(run.hps) | dict(controls)
  samples = _sample(run, reference, usual)
  wide = samples if usual == _WIDE else _sample(run, reference, _WIDE)
  asked = reference.family_measures(samples) if run.prior else {}
  if model.conditional:
    again = partial(
      run.sample,
      one_hots,
      run.encode(notes, one_hots).z,
      num_frames=notes.shape[1],
      seed=seed,
    )
    made, drawn = again(greedy='mean'), again(**usual)
  else:
    mean_note = run.sample(one_hots[:1], greedy='mean', seed=seed)[0]
    guesses = mean_note, wide.mean(axis=0)
    best = min(guesses, key=lambda g: np.square(notes - g).sum())
    made, drawn = np.broadcast_to(best, notes.shape), None
  return {
    'code_size': run.hps.z_size if model.conditional else 0,
    **_likelihood_measures(run, reference, num_importance_samples),
    **reference.reconstruction_measures(made, drawn),
    **reference.sample_measures(samples),
    'frechet_distance_at_temperature_1': reference.distances(wide).get(
      'frechet_distance'
    ),
    **asked,
    'prior': 'fitted' if run.prior else 'standard',
    'controls': usual,
  }


def _sample(
  run: Run, reference: Reference, controls: Mapping[str, Any]
) -> np.ndarray:
  """As many new notes, asked for as the real ones are."""
  families: list[str | None] | None = None
  if run.prior and reference.families:
    known = run.prior.families
    families = [x if x in known else None for x in reference.families]
  return run.sample(
    reference.pitches,
    family=families,
    velocity=reference.velocities,
    seed=reference.seed,
    **controls,
  )


def _likelihood_measures(
  run: Run, reference: Reference, num_importance_samples: int
) -> dict[str, Any]:
  """How likely the run finds the notes."""
  frames = run.transforms.forward(reference.notes)
  nats = likelihood.measure(
    run.model,
    frames,
    checks.conditions(reference.one_hots, None, run.hps),
    num_importance_samples,
    seed=reference.seed,
  )
  num_values = frames[0].size
  result = {
    'density': describe_density(run.transforms, frames.shape[1]),
    'reconstruction_nats_per_value': nats.reconstruction.mean() / num_values,
  }
  if nats.bound is not None:
    result['nll_nats_per_value'] = nats.bound.mean() / num_values
    result['likelihood'] = 'exact' if nats.kl is None else 'bound'
  if nats.kl is not None and nats.mean is not None:
    result |= {
      'negative_elbo_nats_per_value': nats.negative_elbo.mean() / num_values,
      'kl_nats_per_note': nats.kl.mean(),
      'kl_nats_per_latent': nats.kl.mean() / nats.mean.shape[1],
      'active_units': likelihood.active_units(nats.mean),
    }
  return result


def describe_density(transforms: Transforms, num_frames: int) -> dict[str, Any]:
  """What the likelihood of a run is the density of.

  Returns:
    'variables', in words: nats compare only between models of the same ones.
    'values_per_note', how many they are. 'log_scale_nats_per_value', what to
    add to a negative log likelihood for that of the same values before they
    were scaled: differences keep volumes, whitening does not. So with all of
    the components, or without PCA, the sum is the negative log likelihood of
    the note in the format of the data, with fewer that of its projection.
  """
  variables = 'steps between frames' if transforms.difference else 'frames'
  log_scale = 0.0
  if transforms.pca:
    variables = (
      f'{transforms.width} of {transforms.seq_width} whitened principal '
      f'components of {variables}'
    )
    log_scale = float(np.log(transforms.pca.variance).mean() / 2)
  if transforms.one_scale:
    variables = f'{variables} on one scale'
    log_scale = float(np.log(transforms.one_scale.scale))
  return {
    'variables': variables,
    'values_per_note': num_frames * transforms.width,
    'log_scale_nats_per_value': log_scale,
  }


def _baselines(run: Run, reference: Reference) -> _Steps:
  """What measures the baselines that need no run, if it was not done before."""
  once = reference.once
  steps = {'real': partial(once, 'real', Reference.real_measures)}
  size = min(reference.train_notes.shape[:2])
  for name, kind in _BASELINES.items():
    code_size = [run.hps.z_size] * kind.takes_code_size
    if size < kind.min_size or (code_size and not run.model.conditional):
      continue
    transforms = Transforms(run.hps.seq_width)
    if kind.in_model_format:
      transforms = run.transforms
    key = name, *code_size, describe_density(transforms, 1)['variables']
    steps[name] = partial(
      once, key, _measure_baseline, kind, transforms, *code_size
    )
  return steps


def _measure_baseline(
  reference: Reference, kind: Any, transforms: Transforms, *code_size: int
) -> dict[str, Any]:
  """What there is to say of a baseline of notes as `transforms` give them."""
  fitted = kind.fit(transforms.forward(reference.train_notes), *code_size)
  frames = transforms.forward(reference.notes)
  result = {'code_size': fitted.code_size}
  if (made := fitted.reconstruct(frames)) is not None:
    result |= reference.reconstruction_measures(transforms.inverse(made))
  if (samples := fitted.sample(len(frames), reference.seed)) is not None:
    result |= reference.sample_measures(transforms.inverse(samples))
  if (log_prob := fitted.log_prob(frames)) is not None:
    result |= {
      'nll_nats_per_value': -log_prob.mean() / frames[0].size,
      'likelihood': 'exact',
      'density': describe_density(transforms, frames.shape[1]),
    }
  return result


def check_unconditional(run: Run, unconditional_run: Run) -> None:
  """Raises ValueError if one run cannot be the baseline of another."""
  if unconditional_run.model.conditional:
    raise ValueError(
      f"unconditional_run '{unconditional_run.folder}' has unconditional=0; "
      'give one that was trained with unconditional=1.'
    )
  if unconditional_run.info['split_sha256'] != run.info['split_sha256']:
    raise ValueError(
      f"unconditional_run '{unconditional_run.folder}' was trained on other "
      'notes than the run; give one of the same data and split.'
    )


def _plain(value: Any) -> Any:
  """A number as JSON knows it, None if it is not finite; all else as it is."""
  if isinstance(value, float | np.floating):
    return float(value) if math.isfinite(value) else None
  return value
