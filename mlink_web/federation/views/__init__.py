"""The console's pages of federation, one file per subject."""
