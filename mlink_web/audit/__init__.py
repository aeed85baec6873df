"""The audit log: who did what, in a chain of hashes that shows what was changed or taken out afterwards."""
