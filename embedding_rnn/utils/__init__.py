"""Files, locks and messages."""
