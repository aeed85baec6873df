"""The pages of everybody: the landing page, signing in and out, and the web chat."""
