"""From files to notes to batches."""
