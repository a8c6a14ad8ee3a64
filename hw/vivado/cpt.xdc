# All clocks come from the processor, whose IP constrains them; no pin is the accelerator's own.
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
