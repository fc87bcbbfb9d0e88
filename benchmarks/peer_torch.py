"""The model of this project as one writes it in PyTorch; see `peers.py`.

`nn.LSTM` where the cell is an LSTM, which PyTorch runs as one operation, and a
loop over the frames where the cell is layer-normalised, which it has not; the
products of the inputs of all frames are one ahead of that loop. (torch.compile
would fuse the loop's small operations, but unrolls it: 125 frames take minutes
to compile.)

Runs in an environment with PyTorch and NumPy, as a process that takes turns.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import turns
from torch import nn
from torch.nn import functional

EPSILON = 1e-3  # of layer normalisation
# Of ours, the gates are i, j, f, o; of nn.LSTM i, f, g, o, and without a bias
# of 1 for the forget gate.
GATES, FORGET = [0, 2, 1, 3], 1


class LayerNormLSTM(nn.Module):
  """Called like nn.LSTM; gates and cell are layer-normalised."""

  def __init__(self, width: int, units: int):
    super().__init__()
    self.units = units
    self.inputs = nn.Linear(width, 4 * units, bias=False)
    self.recurrent = nn.Linear(units, 4 * units, bias=False)
    self.gamma = nn.Parameter(torch.ones(4, units))
    self.beta = nn.Parameter(torch.zeros(4, units))
    self.cell_norm = nn.LayerNorm(units, eps=EPSILON)

  def forward(self, x, state=None):
    """`[S, B, width]` -> `[S, B, units]`, state after the last step."""
    if state is None:
      zeros = x.new_zeros(x.shape[1], self.units)
      state = zeros, zeros
    else:
      state = state[0][0], state[1][0]
    (h, c), outputs = state, []
    for from_input in self.inputs(x):
      gates = (from_input + self.recurrent(h)).unflatten(-1, (4, self.units))
      normed = functional.layer_norm(gates, [self.units], eps=EPSILON)
      i, g, f, o = (normed * self.gamma + self.beta).unbind(1)
      c = c * (f + 1).sigmoid() + i.sigmoid() * g.tanh()
      h = self.cell_norm(c).tanh() * o.sigmoid()
      outputs.append(h)
    return torch.stack(outputs), (h[None], c[None])


def make_rnn(kind: str, width: int, units: int) -> nn.Module:
  """One layer in one direction."""
  if kind not in ('lstm', 'layer_norm'):
    raise ValueError(f'cell {kind!r}: expected lstm or layer_norm.')
  return (nn.LSTM if kind == 'lstm' else LayerNormLSTM)(width, units)


class Model(nn.Module):
  """The conditional model without dropout; tensors in `[B, T, W]`."""

  def __init__(self, hps: Any):
    super().__init__()
    self.hps = hps
    self.width = hps.seq_width
    step_width = self.width * hps.frames_per_step
    self.hears = bool(hps.feedback_keep_prob)
    context = hps.z_size + hps.context_vec_size * (1 + hps.velocity_context)
    self.bidirectional = hps.enc_model == 'lstm'
    if self.bidirectional:
      self.encoder = nn.LSTM(step_width, hps.enc_rnn_size, bidirectional=True)
    else:
      self.forward_encoder, self.backward_encoder = (
        make_rnn(hps.enc_model, step_width, hps.enc_rnn_size) for _ in 'fb'
      )
    self.mean = nn.Linear(2 * hps.enc_rnn_size, hps.z_size)
    self.presig = nn.Linear(2 * hps.enc_rnn_size, hps.z_size)
    width = step_width * self.hears + context
    self.layers, self.states = nn.ModuleList(), nn.ModuleList()
    for _ in range(hps.num_layers):
      self.layers.append(make_rnn(hps.model, width, hps.rnn_size))
      self.states.append(nn.Linear(context, 2 * hps.rnn_size))
      width = hps.rnn_size
    gates = 1 if hps.error_order else 0
    self.head = nn.Linear(width, step_width * (3 * hps.num_mixture + gates))
    if hps.error_order:
      shape = hps.error_order, self.width, self.width
      self.error_kernel = nn.Parameter(0.1 * torch.randn(shape))

  def by_step(self, frames):
    """`[B, T, W]` -> `[S, B, frames * W]`."""
    per_step = self.hps.frames_per_step
    frames = functional.pad(frames, (0, 0, 0, -frames.shape[1] % per_step))
    return frames.unflatten(1, (-1, per_step)).flatten(2).transpose(0, 1)

  def encode(self, frames):
    """-> mean and log variance of the latent, `[B, Z]`."""
    x = self.by_step(frames)
    if self.bidirectional:
      last = self.encoder(x)[1][0]
    else:
      last = torch.cat(
        [
          self.forward_encoder(x)[1][0],
          self.backward_encoder(x.flip(0))[1][0],
        ]
      )
    last = last.transpose(0, 1).flatten(1)
    return self.mean(last), self.presig(last)

  def initial_states(self, context):
    """States of each layer before the note; context is z and the pitch."""
    return [
      tuple(x[None].contiguous() for x in layer(context).tanh().chunk(2, -1))
      for layer in self.states
    ]

  def decode(self, heard, context, states):
    """Steps from what they hear `[S, B, .]` -> mixtures and gates by frame."""
    each = context.expand(len(heard), -1, -1)
    x = torch.cat([heard, each], -1) if self.hears else each
    new_states = []
    for layer, state in zip(self.layers, states, strict=True):
      x, new_state = layer(x, state)
      new_states.append(new_state)
    outputs = self.head(x).transpose(0, 1)
    hps, gate = self.hps, None
    count = self.width * hps.frames_per_step
    if hps.error_order:
      outputs, logits = outputs.split([outputs.shape[-1] - count, count], -1)
      gate = torch.sigmoid(logits + 2).reshape(len(outputs), -1, self.width)
    parts = outputs.unflatten(-1, (count, 3, hps.num_mixture))
    shape = len(outputs), -1, self.width, hps.num_mixture
    logits, mean, logstd = (x.reshape(shape) for x in parts.unbind(-2))
    return logits.log_softmax(-1), mean, logstd, gate, new_states

  def shift(self, gate, errors):
    """What errors `[..., P * W]` of the frames before add to the means."""
    weights = self.error_kernel.flatten(0, 1)
    weights = weights / weights.abs().sum(0).clamp(min=1)
    return gate * (errors @ weights)

  def costs(self, batch, pitches, noise):
    """-> the costs that training minimises, of `[B, T + 1, W]`."""
    hps, target = self.hps, batch[:, 1:]
    num_frames = target.shape[1]
    mu, presig = self.encode(target)
    z = mu + (presig / 2).exp() * noise
    context = torch.cat([z, pitches], -1)
    heard = functional.pad(batch[:, :-1], (0, 0, hps.frames_per_step - 1, 0))
    heard = self.by_step(heard[:, :num_frames])
    logmix, mean, logstd, gate, _ = self.decode(
      heard, context, self.initial_states(context)
    )
    logmix, mean, logstd = (x[:, :num_frames] for x in (logmix, mean, logstd))
    cost = 0.0
    if hps.error_order or hps.free_running_weight:
      expected = (logmix.exp() * mean).sum(-1)
      cost = hps.free_running_weight * (target - expected).square().mean()
    if hps.error_order:
      order = hps.error_order
      errors = functional.pad((target - expected)[:, :-1], (0, 0, order, 0))
      starts = reversed(range(order))
      before = [errors[:, i : i + num_frames] for i in starts]
      shift = self.shift(gate[:, :num_frames], torch.cat(before, -1))
      mean = mean + shift[..., None]
    normed = (target[..., None] - mean) * (-logstd).exp()
    log_prob = -0.5 * normed.square() - logstd - 0.5 * math.log(2 * math.pi)
    r_cost = -(logmix + log_prob).logsumexp(-1).mean()
    kl = -0.5 * (1 + presig - mu.square() - presig.exp()).mean()
    return cost + r_cost + hps.kl_weight * kl.clamp(min=hps.kl_tolerance)

  @torch.inference_mode()
  def sample(self, pitches, z, greedy=False):
    """New notes, frame by frame; greedy takes the means of the mixtures."""
    hps, batch_size = self.hps, len(pitches)
    context = torch.cat([z, pitches], -1)
    states, steps = self.initial_states(context), []
    values = z.new_zeros(batch_size, hps.frames_per_step, self.width)
    errors = z.new_zeros(batch_size, hps.error_order * self.width)
    for _ in range(-(-hps.max_seq_len // hps.frames_per_step)):
      logmix, mean, logstd, gate, states = self.decode(
        values.flatten(1)[None], context, states
      )
      expected = (logmix.exp() * mean).sum(-1)
      if greedy:
        values = expected
      else:
        weights = logmix.exp().flatten(0, -2)
        index = torch.multinomial(weights, 1).view(*mean.shape[:-1], 1)
        mean, std = mean.gather(-1, index), logstd.gather(-1, index).exp()
        values = (mean + std * torch.randn_like(mean)).squeeze(-1)
      if hps.error_order:
        frames = []
        for i in range(hps.frames_per_step):
          frame = values[:, i] + self.shift(gate[:, i], errors)
          recent = errors[:, : -self.width]
          errors = torch.cat([frame - expected[:, i], recent], -1)
          frames.append(frame)
        values = torch.stack(frames, 1)
      steps.append(values)
    return torch.cat(steps, 1)[:, : hps.max_seq_len]


def from_ours(model: Model, arrays: Any, are_weights: bool) -> dict:
  """Our weights, or their gradients, by the names of the parameters here."""
  bias = float(are_weights)
  named = {}

  def lstm(prefix, cell, suffix=''):
    def reordered(array):
      blocks = np.split(np.asarray(array), 4, axis=-1)
      return np.concatenate([blocks[i] for i in GATES], axis=-1)

    b = reordered(arrays[f'{cell}/bias']).copy()
    units = len(b) // 4
    b[FORGET * units : (FORGET + 1) * units] += bias
    # Two biases that are added have the same gradient.
    zero = np.zeros_like(b) if are_weights else b
    named[f'{prefix}.weight_ih_l0{suffix}'] = reordered(
      arrays[f'{cell}/w_xh']
    ).T
    named[f'{prefix}.weight_hh_l0{suffix}'] = reordered(
      arrays[f'{cell}/w_hh']
    ).T
    named[f'{prefix}.bias_ih_l0{suffix}'] = b
    named[f'{prefix}.bias_hh_l0{suffix}'] = zero

  def rnn(prefix, cell, kind):
    if kind == 'lstm':
      lstm(prefix, cell)
      return
    named[f'{prefix}.inputs.weight'] = arrays[f'{cell}/w_xh'].T
    named[f'{prefix}.recurrent.weight'] = arrays[f'{cell}/w_hh'].T
    for name in ('gamma', 'beta'):
      named[f'{prefix}.{name}'] = arrays[f'{cell}/ln_all_{name}'].reshape(4, -1)
    named[f'{prefix}.cell_norm.weight'] = arrays[f'{cell}/ln_c_gamma']
    named[f'{prefix}.cell_norm.bias'] = arrays[f'{cell}/ln_c_beta']

  def linear(name, layer, swapped=False):
    kernel, b = arrays[f'{layer}/kernel'].T, arrays[f'{layer}/bias']
    if swapped:  # Ours is the state c, h of 2017.
      kernel, b = (np.roll(x, len(x) // 2, axis=0) for x in (kernel, b))
    named[f'{name}.weight'], named[f'{name}.bias'] = kernel, b

  hps = model.hps
  if model.bidirectional:
    lstm('encoder', 'encoder_fw')
    lstm('encoder', 'encoder_bw', '_reverse')
  else:
    rnn('forward_encoder', 'encoder_fw', hps.enc_model)
    rnn('backward_encoder', 'encoder_bw', hps.enc_model)
  linear('mean', 'z_mean')
  linear('presig', 'z_presig')
  for i in range(hps.num_layers):
    rnn(f'layers.{i}', f'decoder_{i}', hps.model)
    linear(f'states.{i}', f'initial_state_{i}', swapped=hps.model == 'lstm')
  linear('head', 'head')
  if hps.error_order:
    named['error_kernel'] = arrays['errors/kernel']
  return {k: torch.tensor(np.ascontiguousarray(v)) for k, v in named.items()}


class Peer:
  """Answers to what `peers.py` asks."""

  def build(self, hps: dict) -> None:
    """Makes the model and a batch; hps are all values of our HParams."""
    self.hps = hps = SimpleNamespace(**hps)
    torch.manual_seed(0)
    self.model = Model(hps)
    # Adam's step as one operation, faster than PyTorch's default.
    self.optimizer = torch.optim.Adam(
      self.model.parameters(), hps.learning_rate, fused=True
    )
    shape = hps.batch_size, hps.max_seq_len + 1, hps.seq_width
    self.batch = torch.randn(shape)
    self.pitches = self._pitches(hps.batch_size)

  def _pitches(self, batch_size):
    size = self.hps.context_vec_size
    one_hot = functional.one_hot(torch.arange(batch_size) % size, size).float()
    return one_hot.repeat(1, 1 + self.hps.velocity_context)

  def train(self) -> float:
    """Seconds of a step."""
    return turns.seconds_of(self._train)

  def _train(self):
    self.optimizer.zero_grad()
    noise = torch.randn(self.hps.batch_size, self.hps.z_size)
    cost = self.model.costs(self.batch, self.pitches, noise)
    cost.backward()
    nn.utils.clip_grad_value_(self.model.parameters(), self.hps.grad_clip)
    self.optimizer.step()
    cost.item()

  def sample(self, batch_size: int) -> float:
    """Seconds of a batch of notes."""
    z = torch.randn(batch_size, self.hps.z_size)
    return turns.seconds_of(self.model.sample, self._pitches(batch_size), z)

  def check(self, path: str) -> dict[str, float]:
    """How far this is from what ours computed; see `peers.py`."""
    model, case = self.model, np.load(path)

    def group(prefix):
      return {
        k.removeprefix(prefix): case[k] for k in case if k.startswith(prefix)
      }

    model.load_state_dict(from_ours(model, group('weight/'), True))
    batch, pitches, noise = (
      torch.tensor(case[name]) for name in ('batch', 'pitches', 'noise')
    )
    cost = model.costs(batch, pitches, noise)
    cost.backward()
    expected = from_ours(model, group('gradient/'), False)
    gradients = {k: p.grad for k, p in model.named_parameters()}
    sample = model.sample(pitches, noise, greedy=True)
    return {
      'cost': abs(cost.item() - float(case['cost'])),
      'gradients': max(
        float((g - expected[k]).abs().max() / expected[k].abs().max())
        for k, g in gradients.items()
      ),
      'samples': float((sample - torch.tensor(case['sample'])).abs().max()),
    }

  def memory_gb(self) -> float:
    """The most memory so far."""
    return turns.memory_gb()


if __name__ == '__main__':
  turns.serve(Peer())
