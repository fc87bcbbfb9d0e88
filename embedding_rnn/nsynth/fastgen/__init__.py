"""Audio of the WaveNet, sample by sample, fast."""
