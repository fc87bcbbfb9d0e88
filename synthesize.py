"""Writes notes of a trained run: reconstructions and samples, .wav and .png.

Example:
  python synthesize.py --run_dir=logs/default_local --pitches=48,60,72 --seed=1

Held-out notes are reconstructed, and a new note is sampled for each pitch. The
files go to run_dir/synthesis, where summary.json lists them.
"""

import os

from absl import app

# TensorFlow reads it when it starts: warnings of its compiler are no news.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from embedding_rnn import commands, synthesize

if __name__ == '__main__':
  synthesize.define_flags()
  app.run(commands.report_errors(synthesize.main))
