"""How long messages are kept: policies, holds, and what carries them out."""
