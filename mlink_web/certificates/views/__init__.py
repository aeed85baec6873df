"""Pages: those of certificates, of the ACME account, of the authority for labs, and what is open to everybody."""
