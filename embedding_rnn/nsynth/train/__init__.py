"""The training of an NSynth WaveNet autoencoder."""
