"""The NSynth WaveNet autoencoder (Engel et al. 2017, arXiv 1704.01279)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
