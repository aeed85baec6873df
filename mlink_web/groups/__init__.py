"""Groups of people: who is in which, kept on the console, asked by rooms and whatever grants something to a group."""
