"""Taking a message out of every place that has it, under control (ARC-05)."""
