"""Between memory and what lies on chip: words of scratch, local memory, planes of weights."""
