"""What arrays of any shape take of a part, by a model."""
