"""Groups of people: who is in which, kept on the console, asked by rooms and whatever else grants something to a group."""
