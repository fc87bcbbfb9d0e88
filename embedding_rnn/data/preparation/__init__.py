"""From recordings to a data directory."""
