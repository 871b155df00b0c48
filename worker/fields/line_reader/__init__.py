"""Read a line of digits whole: normalize it, transcribe it by networks, align its digits."""
