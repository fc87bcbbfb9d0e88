"""Embedding RNN: models how a sound evolves in time."""

import os

import lazy_loader

__version__ = '0.1.0'

# Every command comes by here before TensorFlow reads it: 2 for errors alone,
# since warnings of its compiler are no news. Its first lines, of oneDNN and of
# CUDA, are written while its libraries are loaded, before it reads anything.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

# TensorFlow takes seconds to import, and much of the package works without it.
# The names stand in __init__.pyi, where type checkers look for them, too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
