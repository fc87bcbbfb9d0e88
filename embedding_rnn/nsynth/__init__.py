"""The NSynth WaveNet autoencoder (Engel et al. 2017, arXiv 1704.01279)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
  __name__,
  submodules=['mu_law'],
  submod_attrs={
    'autoencoder_run': ['load_autoencoder'],
    'wavenet': ['WaveNetAutoencoder'],
  },
)
