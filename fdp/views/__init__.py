"""The console's pages of forms."""
