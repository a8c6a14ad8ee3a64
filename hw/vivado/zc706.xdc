# Written by `python -m cpt.hw.vivado.floorplan`; reasons: docs/board.md, "Timing by rule".
# zc706, preset zc706: 4 array columns of 16 units and sums
# to a block, 68 DSPs each. Not run on hardware, site names not checked against Vivado.
create_pblock units_0
resize_pblock [get_pblocks units_0] -add {DSP48_X2Y0:DSP48_X2Y69}
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_0/* || NAME =~ */array/col_sum_0/*)}]
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_1/* || NAME =~ */array/col_sum_1/*)}]
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_2/* || NAME =~ */array/col_sum_2/*)}]
add_cells_to_pblock -quiet [get_pblocks units_0] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_3/* || NAME =~ */array/col_sum_3/*)}]
create_pblock units_1
resize_pblock [get_pblocks units_1] -add {DSP48_X2Y70:DSP48_X2Y139}
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_4/* || NAME =~ */array/col_sum_4/*)}]
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_5/* || NAME =~ */array/col_sum_5/*)}]
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_6/* || NAME =~ */array/col_sum_6/*)}]
add_cells_to_pblock -quiet [get_pblocks units_1] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_7/* || NAME =~ */array/col_sum_7/*)}]
create_pblock units_2
resize_pblock [get_pblocks units_2] -add {DSP48_X3Y0:DSP48_X3Y69}
add_cells_to_pblock -quiet [get_pblocks units_2] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_8/* || NAME =~ */array/col_sum_8/*)}]
add_cells_to_pblock -quiet [get_pblocks units_2] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_9/* || NAME =~ */array/col_sum_9/*)}]
add_cells_to_pblock -quiet [get_pblocks units_2] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_10/* || NAME =~ */array/col_sum_10/*)}]
add_cells_to_pblock -quiet [get_pblocks units_2] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_11/* || NAME =~ */array/col_sum_11/*)}]
create_pblock units_3
resize_pblock [get_pblocks units_3] -add {DSP48_X3Y70:DSP48_X3Y139}
add_cells_to_pblock -quiet [get_pblocks units_3] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_12/* || NAME =~ */array/col_sum_12/*)}]
add_cells_to_pblock -quiet [get_pblocks units_3] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_13/* || NAME =~ */array/col_sum_13/*)}]
add_cells_to_pblock -quiet [get_pblocks units_3] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_14/* || NAME =~ */array/col_sum_14/*)}]
add_cells_to_pblock -quiet [get_pblocks units_3] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_15/* || NAME =~ */array/col_sum_15/*)}]
create_pblock units_4
resize_pblock [get_pblocks units_4] -add {DSP48_X4Y0:DSP48_X4Y69}
add_cells_to_pblock -quiet [get_pblocks units_4] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_16/* || NAME =~ */array/col_sum_16/*)}]
add_cells_to_pblock -quiet [get_pblocks units_4] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_17/* || NAME =~ */array/col_sum_17/*)}]
add_cells_to_pblock -quiet [get_pblocks units_4] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_18/* || NAME =~ */array/col_sum_18/*)}]
add_cells_to_pblock -quiet [get_pblocks units_4] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_19/* || NAME =~ */array/col_sum_19/*)}]
create_pblock units_5
resize_pblock [get_pblocks units_5] -add {DSP48_X4Y70:DSP48_X4Y139}
add_cells_to_pblock -quiet [get_pblocks units_5] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_20/* || NAME =~ */array/col_sum_20/*)}]
add_cells_to_pblock -quiet [get_pblocks units_5] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_21/* || NAME =~ */array/col_sum_21/*)}]
add_cells_to_pblock -quiet [get_pblocks units_5] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_22/* || NAME =~ */array/col_sum_22/*)}]
add_cells_to_pblock -quiet [get_pblocks units_5] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_23/* || NAME =~ */array/col_sum_23/*)}]
create_pblock units_6
resize_pblock [get_pblocks units_6] -add {DSP48_X5Y0:DSP48_X5Y69}
add_cells_to_pblock -quiet [get_pblocks units_6] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_24/* || NAME =~ */array/col_sum_24/*)}]
add_cells_to_pblock -quiet [get_pblocks units_6] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_25/* || NAME =~ */array/col_sum_25/*)}]
add_cells_to_pblock -quiet [get_pblocks units_6] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_26/* || NAME =~ */array/col_sum_26/*)}]
add_cells_to_pblock -quiet [get_pblocks units_6] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_27/* || NAME =~ */array/col_sum_27/*)}]
create_pblock units_7
resize_pblock [get_pblocks units_7] -add {DSP48_X5Y70:DSP48_X5Y139}
add_cells_to_pblock -quiet [get_pblocks units_7] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_28/* || NAME =~ */array/col_sum_28/*)}]
add_cells_to_pblock -quiet [get_pblocks units_7] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_29/* || NAME =~ */array/col_sum_29/*)}]
add_cells_to_pblock -quiet [get_pblocks units_7] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_30/* || NAME =~ */array/col_sum_30/*)}]
add_cells_to_pblock -quiet [get_pblocks units_7] [get_cells -quiet -hierarchical -filter {REF_NAME == DSP48E1 && (NAME =~ */array/unit_*_31/* || NAME =~ */array/col_sum_31/*)}]
