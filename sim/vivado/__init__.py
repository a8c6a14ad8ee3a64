"""The bitstream without Vivado: a stand-in that runs its scripts, and checks of everything it is given."""
