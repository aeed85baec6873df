"""Bad input from outside against a real node: each gets the error that the RFC names, is logged once, frees its memory
and disturbs nobody."""
