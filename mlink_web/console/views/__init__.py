"""The console's pages, one file per subject. Each view checks input, calls a service, and says what happened."""
