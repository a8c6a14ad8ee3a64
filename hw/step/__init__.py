"""The machine that does whole training steps, of all rooms' engines: its top level."""
