"""Embedding RNN: an RNN-VAE of how a note's embedding evolves in time.

A bidirectional encoder reads a note and gives a latent z; a decoder, told z and
the pitch, emits for each channel of each frame a Gaussian mixture, given the
frames before it. Frames are in the model's format (see `transforms`): `[B, T,
W]`, and a training batch is `[B, T + 1, W]`, a zero frame before the note.
"""

import html
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from embedding_rnn.model import cells, decoder, distribution, mixture, sampling
from embedding_rnn.model.hparams import (
  HParams,
  check_hparams,
  condition_size,
  default_hps,
  expect_enough_memory,
)
from embedding_rnn.model.schedules import (
  clip_gradients,
  kl_weight_at,
  make_optimizer,
)
from embedding_rnn.utils import cli

__all__ = [
  'Costs',
  'HParams',
  'Latent',
  'Model',
  'default_hps',
  'make_optimizer',
]


PRECISIONS = ('float32', 'bfloat16')
_OPEN_GATE = 2.0  # At first, the gates of errors are nearly open.
_FIRST_CORRELATION = 0.9  # of an error with that of the frame before


class Latent(NamedTuple):
  """What the encoder says of notes; each `[B, Z]`."""

  mean: tf.Tensor
  presig: tf.Tensor  # log variance, by its name of 2017
  z: tf.Tensor

  def draw(self, noise: tf.Tensor) -> tf.Tensor:
    """Samples `[..., B, Z]` of the posterior from standard normal noise."""
    return self.mean + tf.exp(self.presig / 2) * noise

  def kl_to_prior(self) -> tf.Tensor:
    """KL(posterior || N(0, I)) in each dimension, `[B, Z]` nats."""
    variance = tf.exp(self.presig)
    return -0.5 * (1 + self.presig - tf.square(self.mean) - variance)


class NoteCosts(NamedTuple):
  """Costs of each note; each `[B]`."""

  r_cost: tf.Tensor  # nats per value
  raw_kl: tf.Tensor  # nats per latent dimension
  squared_error: tf.Tensor  # of the free-running mean; 0 if it has no weight


class Costs(NamedTuple):
  """Costs of a batch, scalars.

  Attributes:
    cost: r_cost + kl_weight * kl_cost, what training minimises; and, with
      hps.free_running_weight, that times the squared error.
    r_cost: reconstruction, mean negative log density in nats per value.
    kl_cost: the KL divergence, at least kl_tolerance (Kingma et al.'s free
      bits, arXiv 1606.04934); 0 for an unconditional model.
    raw_kl: the KL divergence in nats per latent dimension.
  """

  cost: tf.Tensor
  r_cost: tf.Tensor
  kl_cost: tf.Tensor
  raw_kl: tf.Tensor

  def __repr__(self):
    values = (f'{k}={_shown(v)}' for k, v in self._asdict().items())
    return f'Costs({", ".join(values)})'

  def _repr_html_(self):
    return cli.html_table([{k: _shown(v) for k, v in self._asdict().items()}])


class Model(keras.Model):
  """The Embedding RNN.

  Built, with initialised weights, as soon as it is made. Besides the methods
  below it is an ordinary Keras model: `model.compile(); model.fit(batches)`
  trains it on `(batch, pitches)` pairs.

  Wherever it takes pitches, one-hots `[B, 128]`, a model with
  hps.velocity_context takes them with velocities behind, `[B, 256]`.

  Args:
    hps: hyperparameters, see `default_hps`. Copied; later changes have no
      effect.
    precision: 'float32', or 'bfloat16' to round the operands of the large
      matrix products to bfloat16: those of the cells, of a frame's input and of
      the last output. Weights, states, sums over frames, layer normalisation,
      the latent, the head and the costs stay float32, as does sampling.

  Raises:
    ValueError: for hyperparameters that make no model, or another precision.
  """

  def __init__(self, hps: HParams, precision: str = 'float32', **kwargs: Any):
    super().__init__(**kwargs)
    check_hparams(hps)
    expect_enough_memory(hps, is_training=False)
    self.hps = hps.copy()
    if precision not in PRECISIONS:
      raise ValueError(
        f'precision={precision!r}: expected one of {", ".join(PRECISIONS)}.'
      )
    self.precision = precision
    self.width = hps.n_pca_components if hps.pca_dim_reduce else hps.seq_width
    self.conditional = not hps.unconditional
    self.condition_size = condition_size(hps)
    self.context_size = hps.z_size + self.condition_size
    # Values that the RNN writes in a step, and those that it hears.
    self.step_width = self.width * hps.frames_per_step
    self.heard_width = self.step_width if hps.feedback_keep_prob else 0
    self.encoder_cells: list[cells.Cell] = []
    self.decoder_cells: list[cells.Cell] = []
    self.state_layers: list[keras.layers.Dense] = []
    if self.conditional:
      self._build_encoder()
    self._build_decoder()
    self.built = True
    self._generate = {
      jit_compile: tf.function(
        lambda *arguments: decoder.Decoder(self).generate(*arguments),
        autograph=False,
        jit_compile=jit_compile,
      )
      for jit_compile in (False, True)
    }

  def _build_encoder(self):
    hps = self.hps
    directions = ('fw', 'bw') if hps.bidir else ('fw',)
    for direction in directions:
      cell = self._make_cell(
        hps.enc_model, hps.enc_rnn_size, f'encoder_{direction}'
      )
      cell.build((None, self.step_width))
      self.encoder_cells.append(cell)
    width = hps.enc_rnn_size * len(directions)
    self.mean_layer = _linear(width, hps.z_size, 'z_mean')
    self.presig_layer = _linear(width, hps.z_size, 'z_presig')
    if hps.no_sample_vae:
      self.projection_layer = _linear(width, hps.z_size, 'z_projection')

  def _build_decoder(self):
    hps = self.hps
    width = self.heard_width + (self.context_size if self.conditional else 0)
    for i in range(hps.num_layers):
      cell = self._make_cell(hps.model, hps.rnn_size, f'decoder_{i}')
      cell.build((None, width))
      self.decoder_cells.append(cell)
      width = hps.rnn_size
      if self.conditional:
        size = sum(cell.state_size)
        layer = _linear(self.context_size, size, f'initial_state_{i}')
        self.state_layers.append(layer)
    outputs = hps.num_mixture * 3 + (1 if hps.error_order else 0)
    self.head = keras.layers.Dense(self.step_width * outputs, name='head')
    self.head.build((None, hps.rnn_size))
    if hps.error_order:
      # In a layer, since Keras numbers the names of models.
      self.errors = keras.layers.Layer(name='errors')
      self.error_kernel = self.errors.add_weight(
        name='kernel',
        shape=(hps.error_order, self.width, self.width),
        initializer=_first_error_kernel,
      )
      self.errors.built = True

  def _make_cell(self, kind, units, name):
    hps = self.hps
    keep = hps.recurrent_dropout_prob if hps.use_recurrent_dropout else 1.0
    dtype = 'float32' if self.precision == 'float32' else 'mixed_bfloat16'
    if kind == 'hyper':
      return cells.HyperLSTMCell(
        units,
        hps.hyper_lstm_size,
        hps.hyper_embedding_size,
        hps.hyper_use_layer_norm,
        keep,
        name=name,
        dtype=dtype,
      )
    cell = cells.LSTMCell if kind == 'lstm' else cells.LayerNormLSTMCell
    return cell(units, keep, name=name, dtype=dtype)

  def encode(
    self,
    frames: tf.Tensor,
    noise: tf.Tensor | None = None,
    seed: tf.Tensor | None = None,
  ) -> Latent:
    """The latent of notes.

    Args:
      frames: `[B, T, W]`.
      noise: standard normal `[B, Z]`; zeros (z is the mean) if None.
      seed: of the recurrent dropout, int `[2]`; None outside training.

    Returns:
      Latent: z is mean + exp(presig / 2) * noise, or with no_sample_vae a
      projection of its own.

    Raises:
      ValueError: for frames of another width, or an unconditional model.
    """
    if not self.conditional:
      raise ValueError(
        'An unconditional model has no encoder: set unconditional=0 and train.'
      )
    frames = _frames(frames, self.width)
    steps = decoder.by_step(frames, self.hps.frames_per_step)
    x = tf.transpose(steps, [1, 2, 0])
    last = []
    for i, cell in enumerate(self.encoder_cells):
      cell_seed = None if seed is None else _fold(seed, i)
      _, state = cell.scan(x, reverse=i == 1, seed=cell_seed)
      last.append(state[0])
    h = tf.transpose(tf.concat(last, axis=0))
    mean, presig = self.mean_layer(h), self.presig_layer(h)
    if self.hps.no_sample_vae:
      return Latent(mean, presig, self.projection_layer(h))
    latent = Latent(mean, presig, mean)
    return latent if noise is None else latent._replace(z=latent.draw(noise))

  def context(self, pitches: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """What tells the decoder the note: `[Z + C, B]`, feature-major."""
    pitches = tf.convert_to_tensor(pitches)
    size = self.condition_size
    if pitches.shape.rank != 2 or pitches.shape[1] != size:
      raise ValueError(
        f'pitches of shape {tuple(pitches.shape)}: expected one-hots '
        f'[B, {size}].'
      )
    y = tf.tanh(z) if self.hps.clip_z_with_tanh else z
    return tf.transpose(tf.concat([y, tf.cast(pitches, y.dtype)], axis=1))

  def initial_states(self, context: Any, batch_size: Any) -> list:
    """First state of each decoder layer; zeros without a context."""
    if context is None:
      return [cell.zero_state(batch_size) for cell in self.decoder_cells]
    states = []
    for cell, layer in zip(self.decoder_cells, self.state_layers, strict=True):
      vector = tf.matmul(layer.kernel, context, transpose_a=True)
      vector = tf.tanh(vector + layer.bias[:, None])
      states.append(cell.split_state(vector))
    return states

  def predict_mixture(
    self,
    inputs: tf.Tensor,
    pitches: tf.Tensor | None = None,
    z: tf.Tensor | None = None,
    seed: tf.Tensor | None = None,
  ) -> mixture.Mixture:
    """The mixture of each frame given the frames before it.

    Args:
      inputs: `[B, T, W]`, for each frame the one before it.
      pitches: one-hot `[B, 128]`; None if unconditional.
      z: `[B, Z]`; None if unconditional.
      seed: of the dropouts, int `[2]`; None outside training.

    Returns:
      A Mixture of `[B, T, W, K]` tensors.

    Raises:
      ValueError: for inputs of another width, or a missing pitch or z.
    """
    return self._predict(inputs, pitches, z, seed)[0]

  def free_running_mean(self, frames: tf.Tensor, pitches: Any, z: Any) -> Any:
    """What greedy sampling gives, at once, `[B, T, W]`; see `hears_frames`.

    Args:
      frames: `[B, T, W]`; only their shape counts.
      pitches: one-hot `[B, 128]`.
      z: `[B, Z]`.
    """
    parts, _ = self._outputs(tf.zeros_like(frames), pitches, z)
    return tf.transpose(self._by_frame(parts.expectation(), frames.shape[1]))

  @property
  def hears_frames(self) -> bool:
    """Whether the RNN is fed the frames before, not z and pitch alone."""
    return self.heard_width > 0

  def _predict(self, inputs, pitches=None, z=None, seed=None):
    """-> mixtures, and their means as they are before errors move them."""
    inputs = _frames(inputs, self.width)
    num_frames = inputs.shape[1]
    parts, gate = self._outputs(inputs, pitches, z, seed)
    mean = self._by_frame(parts.expectation(), num_frames)
    parts = mixture.Components(*(self._by_frame(x, num_frames) for x in parts))
    if gate is not None:
      before = tf.transpose(inputs)[:, 1:] - mean[:, :-1]
      errors = tf.pad(before, [[0, 0], [0, 1], [0, 0]])
      parts = parts.moved(self._shift(gate, errors))
    by_note = (tf.transpose(x, [0, 3, 2, 1]) for x in parts)
    mix = mixture.Mixture.of(mixture.Components(*by_note))
    return mix, tf.transpose(mean)

  def _outputs(self, inputs, pitches=None, z=None, seed=None):
    """What the head says after inputs `[B, T, W]`.

    Returns:
      Components `[K, frames * W, S, B]` for S steps, and gates of errors
      `[frames * W, S, B]` or None.
    """
    inputs = _frames(inputs, self.width)
    context = None
    if self.conditional:
      if pitches is None or z is None:
        raise ValueError(
          f'A conditional model needs pitches [B, {self.condition_size}] and z '
          f'[B, {self.hps.z_size}]; got pitches={pitches!r}, z={z!r}.'
        )
      context = self.context(pitches, z)
    states = self.initial_states(context, tf.shape(inputs)[0])
    x = self._hear(inputs, seed)
    if seed is not None and self.hps.use_input_dropout:
      x = self._drop_input(x, context, _fold(seed, 100))
      context = None  # now part of x: each frame has its own mask
    for i, (cell, state) in enumerate(
      zip(self.decoder_cells, states, strict=True)
    ):
      cell_seed = None if seed is None else _fold(seed, 10 + i)
      x, _ = cell.scan(x, context, state, seed=cell_seed)
      context = None
    if seed is not None and self.hps.use_output_dropout:
      keep = self.hps.output_dropout_prob
      x *= cells.dropout_mask(_shape(x), keep, _fold(seed, 101))
    num_steps, units, batch_size = _shape(x)
    # One product for all frames, which is fastest.
    x = tf.reshape(tf.transpose(x, [1, 0, 2]), [units, num_steps * batch_size])
    outputs = tf.matmul(self.head.kernel, x, transpose_a=True)
    parts, gate = self.read_head(outputs + self.head.bias[:, None])

    def by_step(y):
      return tf.reshape(y, [*y.shape[:-1], num_steps, batch_size])

    return (
      mixture.Components(*map(by_step, parts)),
      None if gate is None else by_step(gate),
    )

  def _by_frame(self, x, num_frames):
    """`[..., frames * W, S, B]` of steps as `[..., W, T, B]`."""
    per_step = self.hps.frames_per_step
    if per_step > 1:
      *shape, _, num_steps, batch_size = _shape(x)
      x = tf.reshape(x, [*shape, per_step, self.width, num_steps, batch_size])
      order = [*range(len(shape))] + [len(shape) + i for i in (1, 2, 0, 3)]
      shape = [*shape, self.width, num_steps * per_step, batch_size]
      x = tf.reshape(tf.transpose(x, order), shape)
      if num_steps * per_step > num_frames:
        x = x[..., :num_frames, :]
    return x

  def _by_step(self, x):
    """`[W, T, B]` as `[frames * W, S, B]`, zeros after the last frame."""
    per_step = self.hps.frames_per_step
    if per_step > 1:
      _, num_frames, batch_size = _shape(x)
      x = tf.pad(x, [[0, 0], [0, -num_frames % per_step], [0, 0]])
      x = tf.reshape(x, [self.width, -1, per_step, batch_size])
      x = tf.transpose(x, [2, 0, 1, 3])
      x = tf.reshape(x, [self.step_width, x.shape[2], batch_size])
    return x

  def _shift(self, gate, errors):
    """How far errors `[W, T, B]` move the mixtures, likewise."""
    before = mixture.errors_before(errors, self.hps.error_order)
    weights = mixture.error_weights(tf.convert_to_tensor(self.error_kernel))
    gate = self._by_frame(gate, errors.shape[1])
    return mixture.error_shift(gate, before, weights)

  def _hear(self, inputs, seed):
    """What the RNN hears in each step, `[S, frames * W, B]`: the one before."""
    hps = self.hps
    if not self.heard_width:
      return tf.transpose(inputs[:, :: hps.frames_per_step, :0], [1, 2, 0])
    if hps.frames_per_step > 1:
      early = [[0, 0], [hps.frames_per_step - 1, 0], [0, 0]]
      whole = -(-inputs.shape[1] // hps.frames_per_step) * hps.frames_per_step
      inputs = tf.pad(inputs, early)[:, :whole]
      inputs = decoder.by_step(inputs, hps.frames_per_step)
    x = tf.transpose(inputs, [1, 2, 0])
    if seed is None:
      return x
    shape = _shape(x)
    if hps.feedback_noise:
      normal = tf.random.stateless_normal
      noise = distribution.draw(normal, shape, _fold(seed, 102), axis=-1)
      x += hps.feedback_noise * noise
    if hps.feedback_keep_prob < 1:
      # A whole step of a note at once, and never its context.
      shape, uniform = [shape[0], 1, shape[2]], tf.random.stateless_uniform
      chance = distribution.draw(uniform, shape, _fold(seed, 103), axis=-1)
      x *= tf.cast(chance < hps.feedback_keep_prob, x.dtype)
    return x

  def read_head(self, outputs):
    """-> Components `[K, frames * W, N]`, gates `[frames * W, N]` or None.

    Args:
      outputs: of the head, `[features, N]`.
    """
    width, gate = self.step_width, None
    if self.hps.error_order:
      sizes = [width * self.hps.num_mixture * 3, width]
      outputs, logits = tf.split(outputs, sizes)
      gate = tf.sigmoid(logits + _OPEN_GATE)
    return mixture.from_head(outputs, width), gate

  def _drop_input(self, x, context, seed):
    if context is not None:
      tiled = tf.repeat(context[None], x.shape[0], axis=0)
      x = tf.concat([x, tiled], axis=1)
    keep = self.hps.input_dropout_prob
    return x * cells.dropout_mask(_shape(x), keep, seed)

  def note_costs(
    self,
    batch: tf.Tensor,
    pitches: tf.Tensor | None,
    noise: tf.Tensor | None = None,
    seed: tf.Tensor | None = None,
  ) -> NoteCosts:
    """Costs of each note of a batch; arguments as in `compute_costs`."""
    inputs, target = batch[:, :-1], batch[:, 1:]
    raw_kl = tf.zeros_like(batch[:, 0, 0])
    if self.conditional:
      latent = self.encode(target, noise, seed)
      parts, gate = self._outputs(inputs, pitches, latent.z, seed)
      raw_kl = tf.reduce_mean(latent.kl_to_prior(), axis=1)
    else:
      parts, gate = self._outputs(inputs, seed=seed)
    num_frames = target.shape[1]
    values = tf.transpose(target)
    squared_error = tf.zeros_like(raw_kl)
    if gate is not None or self.hps.free_running_weight:
      errors = values - self._by_frame(parts.expectation(), num_frames)
      if self.hps.free_running_weight:
        squared_error = tf.reduce_mean(tf.square(errors), axis=[0, 1])
      if gate is not None:
        # Rather the values than the means of all components are moved.
        values -= self._shift(gate, errors)
    log_prob = parts.log_prob(self._by_step(values))
    if log_prob.shape[1] * self.hps.frames_per_step > num_frames:
      log_prob = self._by_frame(log_prob, num_frames)  # less what fills up
    r_cost = -tf.reduce_mean(log_prob, axis=[0, 1])
    return NoteCosts(r_cost, raw_kl, squared_error)

  def compute_costs(
    self,
    batch: tf.Tensor,
    pitches: tf.Tensor | None,
    noise: tf.Tensor | None = None,
    kl_weight: tf.Tensor | float | None = None,
    seed: tf.Tensor | None = None,
    whole_kl: tf.Tensor | None = None,
  ) -> Costs:
    """The costs of a batch.

    Args:
      batch: `[B, T + 1, W]`, a zero frame and then the note.
      pitches: one-hot `[B, 128]`; ignored if unconditional.
      noise: standard normal `[B, Z]` for z; zeros if None.
      kl_weight: weight of the KL term; hps.kl_weight if None.
      seed: of the dropouts, int `[2]`; None outside training.
      whole_kl: for a share of a larger batch, the raw KL of that. The floor
        applies where this is below it, and so the means over equal shares are
        the costs of the larger batch.
    """
    notes = self.note_costs(batch, pitches, noise, seed)
    return self.total_costs(
      tf.reduce_mean(notes.r_cost),
      tf.reduce_mean(notes.raw_kl),
      tf.reduce_mean(notes.squared_error),
      kl_weight,
      whole_kl,
    )

  def total_costs(
    self,
    r_cost: tf.Tensor,
    raw_kl: tf.Tensor,
    squared_error: tf.Tensor,
    kl_weight: tf.Tensor | float | None = None,
    whole_kl: tf.Tensor | None = None,
  ) -> Costs:
    """Costs from the means over notes of the three parts."""
    weight = self.hps.kl_weight if kl_weight is None else kl_weight
    floor = self.hps.kl_tolerance
    if not self.conditional:
      kl_cost = tf.zeros_like(raw_kl)
    elif whole_kl is None:
      kl_cost = tf.maximum(raw_kl, floor)
    else:
      kl_cost = tf.where(whole_kl < floor, floor, raw_kl)
    cost = r_cost + weight * kl_cost
    if self.hps.free_running_weight:
      cost += self.hps.free_running_weight * squared_error
    return Costs(cost, r_cost, kl_cost, raw_kl)

  def sample(
    self,
    pitches: tf.Tensor | None,
    z: tf.Tensor | None = None,
    num_frames: int | None = None,
    temperature: float = 1.0,
    temperature_2: float = 1.0,
    greedy: bool | str = False,
    seed: int | None = None,
    **more: Any,
  ) -> tf.Tensor:
    """New notes, frame by frame; see `sampling.sample`, also for `more`."""
    return sampling.sample(
      self,
      pitches,
      z,
      num_frames=num_frames,
      temperature=temperature,
      temperature_2=temperature_2,
      greedy=greedy,
      seed=seed,
      **more,
    )

  def generate(
    self,
    pitches: tf.Tensor,
    z: tf.Tensor | None,
    uniform: tf.Tensor,
    normal: tf.Tensor,
    *settings: Any,
  ) -> decoder.Drawn:
    """`Decoder.generate`, compiled: notes from given random numbers."""
    jit_compile = distribution.prefers_xla_for_sampling(
      uniform.shape[0], self.hps.frames_per_step
    )
    generate = self._generate[jit_compile]
    return generate(pitches, z, uniform, normal, *settings)

  # The Keras protocol.

  @tf.autograph.experimental.do_not_convert
  def call(self, inputs, training=False):
    """Mixtures of `(batch [B, T + 1, W], pitches [B, 128])`, z at its mean."""
    batch, pitches = self._pair(inputs)
    z = self.encode(batch[:, 1:]).z if self.conditional else None
    return self.predict_mixture(batch[:, :-1], pitches, z)

  def compile(self, optimizer=None, **kwargs):
    """As in Keras, with the 2017 optimiser unless another is given."""
    if optimizer is None:
      optimizer = make_optimizer(self.hps)
    kwargs.setdefault('jit_compile', distribution.prefers_xla())
    super().compile(optimizer=optimizer, **kwargs)

  def costs_and_gradients(
    self, batch, pitches, noise, kl_weight, seed=None, whole_kl=None
  ):
    """-> Costs, gradients in the order of `trainable_variables`.

    The arguments are as in `compute_costs`.
    """
    weights = [v.value for v in self.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      costs = self.compute_costs(
        batch, pitches, noise, kl_weight, seed, whole_kl
      )
    grads = tape.gradient(
      costs.cost, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return costs, grads

  def gradients_at_step(self, batch, pitches, seed, step, whole_kl=None):
    """`costs_and_gradients` as training uses them.

    Args:
      batch: `[B, T + 1, W]`, a zero frame and then the note.
      pitches: one-hot `[B, 128]`.
      seed: int; with the step it decides the noise and the dropouts.
      step: int, the steps before this one; it decides the KL weight.
      whole_kl: as in `compute_costs`.
    """
    seed = seed_at_step(seed, step)
    noise = self.draw_noise(batch, seed)
    kl_weight = kl_weight_at(self.hps, step)
    return self.costs_and_gradients(
      batch, pitches, noise, kl_weight, seed, whole_kl
    )

  @tf.autograph.experimental.do_not_convert
  def train_step(self, data):
    """One optimiser step; hps.trial is the seed."""
    batch, pitches = self._pair(data)
    costs, grads = self.gradients_at_step(
      batch, pitches, self.hps.trial, self.optimizer.iterations
    )
    grads = clip_gradients(grads, self.hps.grad_clip)
    self.optimizer.apply_gradients(
      zip(grads, self.trainable_variables, strict=True)
    )
    return costs._asdict()

  def draw_noise(self, batch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor | None:
    """Standard normal `[B, Z]` for the latent of a batch."""
    if not self.conditional:
      return None
    shape = [_shape(batch)[0], self.hps.z_size]
    normal = tf.random.stateless_normal
    return distribution.draw(normal, shape, _fold(seed, 1000), axis=0)

  @tf.autograph.experimental.do_not_convert
  def test_step(self, data):
    """Costs of a batch, z at its mean."""
    batch, pitches = self._pair(data)
    return self.compute_costs(batch, pitches)._asdict()

  @tf.autograph.experimental.do_not_convert
  def predict_step(self, data):
    """As `call`, of arrays `(batch, pitches)` or of a data set for training."""
    return self(self._pair(data), training=False)

  def _pair(self, data):
    """-> batch, pitches; ValueError for anything else."""
    if isinstance(data, tuple) and len(data) == 1:
      (data,) = data  # so Keras gives `predict((batch, pitches))`
    if isinstance(data, (tuple, list)) and len(data) > 1:
      return data[:2]
    raise ValueError(
      f'{_described(data)}: expected a pair (batch, pitches), frames '
      f'[B, T + 1, {self.width}], a zero frame before the note, and one-hots '
      f'[B, {self.condition_size}]. New notes are made by sample().'
    )

  def get_config(self):
    """What `from_config` makes the same model of, with fresh weights."""
    return {
      'name': self.name,
      'hps': self.hps.values(),
      'precision': self.precision,
    }

  @classmethod
  def from_config(cls, config, custom_objects=None):
    """The model of a `get_config`; hyperparameters it lacks are the default."""
    del custom_objects
    hps = default_hps()
    for name, value in config['hps'].items():
      hps.set_hparam(name, value)
    return cls(hps, config['precision'], name=config['name'])

  def save(self, filepath, *args, **kwargs):
    """Refused: see the error for what to do instead."""
    raise NotImplementedError(
      f'{filepath}: a Model is not saved whole. embedding_rnn.export writes a '
      'trained run as a SavedModel, to be used without this package; '
      'save_weights() keeps weights alone, for load_weights().'
    )

  def __repr__(self):
    shown = ('model', 'rnn_size', 'z_size')
    values = ', '.join(f'{name}={self.hps.get(name)}' for name in shown)
    return f'<Model {self.name}: {values}, {self.count_params():,} weights>'

  def _repr_html_(self):
    return f'<p>{html.escape(repr(self))}</p>{self.hps._repr_html_()}'


def _linear(width, size, name):
  layer = keras.layers.Dense(
    size,
    kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
    name=name,
  )
  layer.build((None, width))
  return layer


def _first_error_kernel(shape, dtype=None):
  """`[P, W, W]`: an error is like that of the frame before."""
  first = _FIRST_CORRELATION * tf.eye(shape[-1], dtype=dtype)
  return tf.pad(first[None], [[0, shape[0] - 1], [0, 0], [0, 0]])


def seed_at_step(seed: int, step: Any) -> tf.Tensor:
  """The seed `[2]` of a step's noise and dropouts."""
  return tf.stack([seed, tf.cast(step, tf.int32)])


def _fold(seed, number):
  """A seed `[2]` of its own for each use of one step's seed."""
  return tf.random.experimental.stateless_fold_in(seed, number)


def _shape(x):
  """The sizes of a tensor: ints, or tensors where they are not known yet."""
  return list(keras.ops.shape(x))


def _shown(value):
  """A number with four digits; whatever has no value yet as it is."""
  try:
    return f'{float(value):.4g}'
  except (TypeError, ValueError):
    return repr(value)


def _described(data):
  """What was given in place of a pair, in few words."""
  shape = getattr(data, 'shape', None)
  if shape is not None:
    return f'an array of shape {tuple(shape)}'
  is_sequence = isinstance(data, (tuple, list))
  return f'{type(data).__name__}' + (f' of {len(data)}' if is_sequence else '')


def _frames(frames, width):
  """Frames as a float32 tensor `[B, T, width]`, or ValueError."""
  frames = tf.convert_to_tensor(frames, tf.float32)
  if frames.shape.rank != 3 or frames.shape[-1] != width:
    raise ValueError(
      f'Frames of shape {tuple(frames.shape)}: expected [B, T, {width}] in the '
      "model's format (see Transforms.forward)."
    )
  return frames
