"""FETCH: tiles of codes from memory into the window memories, which give the array a word of every column."""
