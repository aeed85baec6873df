"""Long work: a row says what is wanted and how far it is, the worker does it, a page shows it."""
