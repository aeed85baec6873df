"""The console's pages of rooms."""
