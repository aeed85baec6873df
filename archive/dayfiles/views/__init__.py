"""The console's pages of day files."""
