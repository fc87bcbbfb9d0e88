"""Our model, and one of Keras' own layers, as processes that take turns.

See `peers.py`, which starts them with `ours` or `keras`.
"""

from __future__ import annotations

import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # Run from a clone, installed or not.

import numpy as np
import turns


def _hps(values):
  from embedding_rnn.model.hparams import default_hps

  return default_hps().override_from_dict(values)


class Ours:
  """This project's model, trained by its own step."""

  def build(self, values: dict, num_devices: int = 1) -> None:
    """Makes the model and a batch.

    Args:
      values: those of HParams.
      num_devices: of which all but one are virtual.
    """
    import tensorflow as tf

    from embedding_rnn.embedding_rnn import Model, make_optimizer
    from embedding_rnn.training.step import make_training_step
    from embedding_rnn.training.training import NoteObjective

    strategy = tf.distribute.get_strategy()
    if num_devices > 1:
      tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices('CPU')[0],
        [tf.config.LogicalDeviceConfiguration()] * num_devices,
      )
      strategy = tf.distribute.MirroredStrategy(
        [f'CPU:{i}' for i in range(num_devices)]
      )
    self.hps = hps = _hps(values)
    with strategy.scope():
      self.model = Model(hps)
      optimizer = make_optimizer(hps)
      optimizer.build(self.model.trainable_variables)
    self.step = make_training_step(
      NoteObjective(self.model, 0), optimizer, strategy
    )
    shape = [hps.batch_size, hps.max_seq_len + 1, hps.seq_width]
    self.batch = tf.random.stateless_normal(shape, [0, 0])
    self.pitches = tf.constant(_one_hots(hps, hps.batch_size))

  def operations(self) -> dict[str, float]:
    """GFLOP of a training step, see `peak.Operations`."""
    import peak

    return peak.training_operations(self.model, self.hps.max_seq_len)._asdict()

  def train(self) -> float:
    """Seconds of a step."""
    return turns.seconds_of(self._train)

  def _train(self):
    self.step.function(self.batch, self.pitches)
    self.step.totals.numpy()

  def sample(self, batch_size: int) -> float:
    """Seconds of a batch of notes."""
    pitches = _one_hots(self.hps, batch_size)
    return turns.seconds_of(lambda: self.model.sample(pitches, seed=0).numpy())

  def write_case(self, path: str) -> None:
    """Weights away from their first values, and all that follows from them."""
    from embedding_rnn.training import checkpoints

    rng, hps = np.random.default_rng(0), self.hps
    for v in self.model.weights:
      width = math.prod(v.shape[:-1]) if len(v.shape) > 1 else 100
      noise = rng.standard_normal(v.shape) / math.sqrt(width)
      v.assign_add(0.5 * noise.astype(np.float32))
    batch, noise = (
      rng.standard_normal(shape, np.float32)
      for shape in (
        (hps.batch_size, hps.max_seq_len + 1, hps.seq_width),
        (hps.batch_size, hps.z_size),
      )
    )
    pitches = _one_hots(hps, hps.batch_size)
    costs, gradients = self.model.costs_and_gradients(
      batch, pitches, noise, hps.kl_weight
    )
    sample = self.model.sample(pitches, noise, greedy='mean')
    weights = checkpoints.weights_of(self.model)
    variables, trained = self.model.weights, self.model.trainable_variables
    names = {id(v): n for n, v in zip(weights, variables, strict=True)}
    np.savez(
      path,
      batch=batch,
      pitches=pitches,
      noise=noise,
      cost=costs.cost,
      sample=sample,
      **{f'weight/{name}': x for name, x in weights.items()},
      **{
        f'gradient/{names[id(v)]}': g
        for v, g in zip(trained, gradients, strict=True)
      },
    )

  def memory_gb(self) -> float:
    """The most memory so far."""
    return turns.memory_gb()


def _one_hots(hps, batch_size):
  size = hps.context_vec_size
  one_hot = np.eye(size, dtype=np.float32)[np.arange(batch_size) % size]
  return np.tile(one_hot, 1 + hps.velocity_context)


class KerasLayers:
  """The LSTM model of Keras' own layers, trained by `train_on_batch`."""

  def build(self, values: dict) -> None:
    """Makes the model and a batch; values are those of HParams."""
    import keras
    from keras import layers, ops

    self.hps = hps = _hps(values)
    log_two_pi = math.log(2 * math.pi)

    class Model(keras.Model):
      """One step of the RNN is one frame, and there is no dropout."""

      def __init__(self):
        super().__init__()
        self.encoder = layers.Bidirectional(layers.LSTM(hps.enc_rnn_size))
        self.z_mean = layers.Dense(hps.z_size)
        self.z_presig = layers.Dense(hps.z_size)
        self.initial_state = layers.Dense(2 * hps.rnn_size, 'tanh')
        self.decoder = layers.LSTM(hps.rnn_size, return_sequences=True)
        self.head = layers.Dense(hps.seq_width * 3 * hps.num_mixture)

      def call(self, inputs):
        """What the head says, `[B, T, W * 3 * K]`."""
        batch, pitches, noise = inputs
        heard, target = batch[:, :-1], batch[:, 1:]
        last = self.encoder(target)
        mu, presig = self.z_mean(last), self.z_presig(last)
        kl = -0.5 * ops.mean(1 + presig - ops.square(mu) - ops.exp(presig))
        self.add_loss(hps.kl_weight * ops.maximum(kl, hps.kl_tolerance))
        z = mu + ops.exp(presig / 2) * noise
        context = ops.concatenate([z, pitches], -1)
        c, h = ops.split(self.initial_state(context), 2, -1)
        each = ops.repeat(context[:, None], heard.shape[1], axis=1)
        x = ops.concatenate([heard, each], -1)
        return self.head(self.decoder(x, initial_state=[h, c]))

    def r_cost(target, outputs):
      shape = [-1, *target.shape[1:], 3, hps.num_mixture]
      logits, mean, logstd = ops.unstack(ops.reshape(outputs, shape), axis=-2)
      normed = (target[..., None] - mean) * ops.exp(-logstd)
      log_prob = -0.5 * ops.square(normed) - logstd - 0.5 * log_two_pi
      log_prob += ops.log_softmax(logits)
      return -ops.mean(ops.logsumexp(log_prob, axis=-1))

    self.model, self.r_cost = Model(), r_cost
    self.model.compile(
      # XLA, which Keras takes by itself, would run all on one core.
      optimizer=keras.optimizers.Adam(hps.learning_rate, clipvalue=1.0),
      loss=r_cost,
      jit_compile=False,
    )
    rng, size = np.random.default_rng(0), hps.batch_size
    shape = size, hps.max_seq_len + 1, hps.seq_width
    batch = rng.standard_normal(shape, np.float32)
    noise = rng.standard_normal((size, hps.z_size), np.float32)
    self.inputs = batch, _one_hots(hps, size), noise

  def train(self) -> float:
    """Seconds of a step."""
    return turns.seconds_of(
      self.model.train_on_batch, self.inputs, self.inputs[0][:, 1:]
    )

  def check(self, path: str) -> dict[str, float]:
    """How far this is from what ours computed; see `peers.py`."""
    import tensorflow as tf

    model, case = self.model, np.load(path)
    inputs = [case[name] for name in ('batch', 'pitches', 'noise')]
    model(inputs)  # builds it
    weights = self._by_variable(case, 'weight', 1)
    for v in model.trainable_variables:
      v.assign(weights[id(v)])
    with tf.GradientTape() as tape:
      outputs = model(inputs)
      cost = self.r_cost(inputs[0][:, 1:], outputs) + sum(model.losses)
    gradients = tape.gradient(
      cost, [v.value for v in model.trainable_variables]
    )
    expected = self._by_variable(case, 'gradient', 0)
    return {
      'cost': abs(float(cost) - float(case['cost'])),
      'gradients': max(
        np.abs(g - expected[id(v)]).max() / np.abs(expected[id(v)]).max()
        for v, g in zip(model.trainable_variables, gradients, strict=True)
      ).item(),
    }

  def _by_variable(self, case, group, forget_bias):
    """Arrays of ours in the layout of Keras, by id of the variable."""
    model, found = self.model, {}
    for name, layer in (
      ('encoder_fw', model.encoder.forward_layer),
      ('encoder_bw', model.encoder.backward_layer),
      ('decoder_0', model.decoder),
    ):
      arrays = []
      for part in ('w_xh', 'w_hh', 'bias'):
        i, j, f, o = np.split(case[f'{group}/{name}/{part}'], 4, axis=-1)
        f = f + forget_bias * (part == 'bias')
        arrays.append(np.concatenate([i, f, j, o], axis=-1))
      cell = layer.cell
      variables = cell.kernel, cell.recurrent_kernel, cell.bias
      found |= {id(v): x for v, x in zip(variables, arrays, strict=True)}
    for name, layer in (
      ('z_mean', model.z_mean),
      ('z_presig', model.z_presig),
      ('initial_state_0', model.initial_state),
      ('head', model.head),
    ):
      found[id(layer.kernel)] = case[f'{group}/{name}/kernel']
      found[id(layer.bias)] = case[f'{group}/{name}/bias']
    return found

  def memory_gb(self) -> float:
    """The most memory so far."""
    return turns.memory_gb()


if __name__ == '__main__':
  turns.serve({'ours': Ours, 'keras': KerasLayers}[sys.argv[1]]())
