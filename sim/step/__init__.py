"""The machine for whole training steps as one exact model: words in, memory out (docs/fabric.md)."""
