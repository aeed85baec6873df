"""What archive officers do: search in all archives, narrow, look around a record."""
