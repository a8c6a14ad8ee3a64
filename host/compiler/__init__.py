"""From a network's description to the programs that train it on the fabric (docs/fabric.md)."""
