"""EXEC: the order of plane pairs, and the array that counts them."""
