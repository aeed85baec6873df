"""The console's pages of publish-subscribe."""
