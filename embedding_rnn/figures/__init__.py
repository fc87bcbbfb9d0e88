"""Figures of notes and of experiments.

Each function takes arrays and returns a `matplotlib.figure.Figure`, without the
global state of pyplot, so that figures can be drawn in several processes at a
time; `figure.savefig(path)` writes it, 100 dots to the inch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
