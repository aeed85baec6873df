"""Push registrations (XEP-0357): their store."""
