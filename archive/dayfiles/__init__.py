"""XML files of the archive, one for each day and user or room (ARC-06)."""
