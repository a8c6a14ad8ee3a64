# Written by `python -m cpt.hw.vivado.floorplan`; reasons: docs/board.md, "Timing by rule".
# pynq-z2, preset z7020: 4 array columns of 4 units and sums
# to a block, 20 DSPs each. Not run on hardware, site names not checked against Vivado.
create_pblock units_0
resize_pblock [get_pblocks units_0] -add {DSP48_X2Y0:DSP48_X2Y19}
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_0/* || NAME =~ */array/col_sum_0/*)}]
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_1/* || NAME =~ */array/col_sum_1/*)}]
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_2/* || NAME =~ */array/col_sum_2/*)}]
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_3/* || NAME =~ */array/col_sum_3/*)}]
create_pblock units_1
resize_pblock [get_pblocks units_1] -add {DSP48_X3Y0:DSP48_X3Y19}
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_4/* || NAME =~ */array/col_sum_4/*)}]
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_5/* || NAME =~ */array/col_sum_5/*)}]
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_6/* || NAME =~ */array/col_sum_6/*)}]
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_7/* || NAME =~ */array/col_sum_7/*)}]
