"""Lanes: words of scratch and products to codes and words, with what they need per channel."""
