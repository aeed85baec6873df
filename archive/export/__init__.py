"""Messages as files: PDF/A, XML, JSON lines."""
