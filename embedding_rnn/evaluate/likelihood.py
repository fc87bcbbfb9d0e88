"""How likely a model finds notes, in nats.

The density is that of a note in the model's format, `[T, W]`. An unconditional
model gives it exactly. A variational autoencoder bounds it from below:

  log p(x) >= E log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x),  z_k ~ q(z | x),

the importance-weighted bound (Burda et al., arXiv 1509.00519), which is the
evidence lower bound for K = 1 and rises to the truth with K. A model with
no_sample_vae has no p(z), and so only a reconstruction cost.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from embedding_rnn.embedding_rnn import Model
from embedding_rnn.model import distribution
from embedding_rnn.model.decoder import with_first_input
from embedding_rnn.utils import cli

_ACTIVE_VARIANCE = 0.01


class NoteTerms(NamedTuple):
  """Of B notes, with K latents each.

  Attributes:
    log_likelihood: log p(x | z_k), `[K, B]` nats a note.
    log_ratio: log p(z_k) - log q(z_k | x), `[K, B]`.
    kl: KL(q(z | x) || p(z)), `[B]` nats a note.
    mean: the mean of q(z | x), `[B, Z]`.
  """

  log_likelihood: tf.Tensor
  log_ratio: tf.Tensor | None
  kl: tf.Tensor | None
  mean: tf.Tensor | None


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """What is known of the likelihood of N notes, in nats a note.

  Attributes:
    reconstruction: mean over the latents of -log p(x | z), `[N]`.
    bound: an upper bound on -log p(x), or that itself if the model is
      unconditional, `[N]`; None with no_sample_vae.
    kl: KL(q(z | x) || p(z)), `[N]`; None if there is no such term.
    mean: the mean of q(z | x), `[N, Z]`; None likewise.
  """

  reconstruction: np.ndarray
  bound: np.ndarray | None
  kl: np.ndarray | None = None
  mean: np.ndarray | None = None

  @property
  def negative_elbo(self) -> Any:
    """Reconstruction and KL, the evidence lower bound's negative, `[N]`."""
    return None if self.kl is None else self.reconstruction + self.kl


def importance_bound(log_weights: np.ndarray) -> np.ndarray:
  """The importance-weighted bound on log p(x), `[...]`.

  It is the log of the mean over k of weights `[K, ...]`, of which the log is
  log p(x, z_k) - log q(z_k | x).
  """
  log_weights = np.asarray(log_weights, np.float64)
  return np.logaddexp.reduce(log_weights, axis=0) - np.log(len(log_weights))


def active_units(means: np.ndarray) -> int:
  """How many latent dimensions say anything about the note.

  Their means, of those `[N, Z]` of q(z | x), have a variance over the notes
  above 0.01 (Burda et al., 2015).
  """
  variance = np.var(np.asarray(means, np.float64), axis=0)
  return int(np.sum(variance > _ACTIVE_VARIANCE))


def note_terms(
  model: Model, batch: tf.Tensor, pitches: tf.Tensor, noise: tf.Tensor
) -> NoteTerms:
  """The terms of the bounds, teacher-forced.

  Args:
    model: any; only a variational autoencoder uses all of the noise, others
      give one "latent", K = 1.
    batch: `[B, T + 1, W]`, a zero frame and then the note.
    pitches: one-hot `[B, 128]`.
    noise: standard normal `[K, B, Z]`.
  """
  inputs, target = batch[:, :-1], batch[:, 1:]

  def log_likelihood(z: Any = None) -> Any:
    mix = model.predict_mixture(inputs, pitches, z)
    return tf.reduce_sum(mix.log_prob(target), axis=[1, 2])

  if not model.conditional:
    return NoteTerms(log_likelihood()[None], None, None, None)
  latent = model.encode(target)
  if model.hps.no_sample_vae:
    return NoteTerms(log_likelihood(latent.z)[None], None, None, None)
  z = latent.draw(noise)
  # One after another, so that memory does not grow with K.
  likelihoods = tf.map_fn(log_likelihood, z, parallel_iterations=1)
  ratio = (tf.square(noise) - tf.square(z) + latent.presig) / 2
  return NoteTerms(
    likelihoods,
    tf.reduce_sum(ratio, -1),
    tf.reduce_sum(latent.kl_to_prior(), -1),
    latent.mean,
  )


def measure(
  model: Model,
  frames: np.ndarray,
  pitches: np.ndarray,
  num_samples: int,
  *,
  seed: int = 0,
  batch_size: int = 128,
) -> Likelihood:
  """The likelihood of notes.

  Args:
    model: any.
    frames: notes in the model's format, `[N, T, W]`.
    pitches: one-hot `[N, 128]`.
    num_samples: K, latents drawn for each note.
    seed: of the latents.
    batch_size: notes at a time; it has a part in the choice of the latents.
  """
  num_notes = len(frames)
  batch_size = min(batch_size, num_notes)
  compiled = tf.function(
    functools.partial(note_terms, model),
    autograph=False,
    jit_compile=distribution.prefers_xla(),
  )
  parts = []
  starts = range(0, num_notes, batch_size)
  for start in cli.progress_bar(
    starts, 'Likelihood', leave=False, unit='batch'
  ):
    # The last batch is filled up, so that there is only one shape to compile.
    rows = np.minimum(np.arange(start, start + batch_size), num_notes - 1)
    batch = with_first_input(frames[rows])
    # Drawn out here, for XLA has generators of its own.
    shape = [num_samples, batch_size, model.hps.z_size]
    number = tf.constant([seed, start], tf.int64)
    noise = tf.random.stateless_normal(shape, number)
    parts.append(compiled(batch, pitches[rows], noise))
  return _summarise(model, parts, num_notes)


def _summarise(
  model: Model, parts: Sequence[NoteTerms], num_notes: int
) -> Likelihood:
  def joined(name: str, axis: int) -> np.ndarray:
    arrays = [getattr(terms, name) for terms in parts]
    joint = np.concatenate(arrays, axis).astype(np.float64)
    return np.take(joint, np.arange(num_notes), axis)

  log_likelihood = joined('log_likelihood', 1)
  reconstruction = -log_likelihood.mean(axis=0)
  if not model.conditional:
    return Likelihood(reconstruction, reconstruction)
  if model.hps.no_sample_vae:
    return Likelihood(reconstruction, None)
  log_weights = log_likelihood + joined('log_ratio', 1)
  return Likelihood(
    reconstruction,
    -importance_bound(log_weights),
    joined('kl', 0),
    joined('mean', 0),
  )
