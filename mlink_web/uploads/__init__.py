"""Files that people share (XEP-0363): their store, the HTTP endpoint, quotas and expiry."""
