"""What administrators have decided of single people's and rooms' archives: forced on, forced off, or not at all."""
