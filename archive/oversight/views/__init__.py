"""The console's pages of archive officers. What a page shows is recorded before it is looked up."""
