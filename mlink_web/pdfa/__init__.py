"""PDF files that look the same in decades (ISO 19005): fonts, text of all scripts, conformance, signatures."""
