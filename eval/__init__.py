"""What measures against gold: the only place, with the signal named `gold`, that opens references."""
