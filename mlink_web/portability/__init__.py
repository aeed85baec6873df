"""XEP-0227: whole accounts, domains and servers in and out; a person's own data, and their erasure."""
