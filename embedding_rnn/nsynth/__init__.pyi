from . import mu_law as mu_law
from .runs import load_autoencoder as load_autoencoder
from .wavenet import WaveNetAutoencoder as WaveNetAutoencoder
