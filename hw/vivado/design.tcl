# The block design: processor, accelerator, one interconnect per bus, one clock, one reset.
#
#   GP0 --> axi_gp0 --> s_axil        m0_axi --> axi_hp0 --> HP0        m1_axi --> axi_hp2 --> HP2
#   FCLK_CLK0 clocks all of it; irq goes straight to IRQ_F2P[0]

proc cpt::build_design {} {
    variable part
    variable work
    variable design

    create_project -force -part $part cpt [file join $work project]
    set_property ip_repo_paths [file join $work ip] [current_project]
    update_ip_catalog -rebuild
    create_bd_design $design

    cpt::add_processor
    cpt::add_fabric
    cpt::connect_buses
    cpt::connect_clock_and_reset
    cpt::assign_addresses
    validate_bd_design
    save_bd_design
    cpt::wrap
}

proc cpt::add_processor {} {
    variable ps
    variable processor
    variable clock_mhz

    set cell [create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7:5.5 $ps]
    # The board first: a preset overwrites everything set before it.
    foreach {key value} $processor {
        set_property CONFIG.$key $value $cell
    }
    set_property -dict [list \
        CONFIG.PCW_USE_M_AXI_GP0 1 \
        CONFIG.PCW_USE_S_AXI_HP0 1 \
        CONFIG.PCW_USE_S_AXI_HP2 1 \
        CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64 \
        CONFIG.PCW_S_AXI_HP2_DATA_WIDTH 64 \
        CONFIG.PCW_USE_FABRIC_INTERRUPT 1 \
        CONFIG.PCW_IRQ_F2P_INTR 1 \
        CONFIG.PCW_EN_CLK0_PORT 1 \
        CONFIG.PCW_EN_RST0_PORT 1 \
        CONFIG.PCW_FCLK0_PERIPHERAL_CLKSRC "IO PLL" \
        CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $clock_mhz] $cell

    set reached [get_property CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ $cell]
    if {abs($reached - $clock_mhz) > 0.001 * $clock_mhz} {
        error "the processor's dividers give FCLK0 $reached MHz; allowed: $clock_mhz"
    }
    apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
        -config {make_external "FIXED_IO, DDR" apply_board_preset "0" Master "Disable" Slave "Disable"} $cell
}

proc cpt::add_fabric {} {
    variable ip
    variable identity

    create_bd_cell -type ip -vlnv [join [dict values [dict remove $identity contract]] :] $ip
    create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 reset_0
    foreach name {axi_gp0 axi_hp0 axi_hp2} {
        set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 1] \
            [create_bd_cell -type ip -vlnv xilinx.com:ip:axi_interconnect:2.1 $name]
    }
}

proc cpt::connect_buses {} {
    variable ps
    variable ip

    foreach {from through to} [list \
        $ps/M_AXI_GP0 axi_gp0 $ip/s_axil \
        $ip/m0_axi axi_hp0 $ps/S_AXI_HP0 \
        $ip/m1_axi axi_hp2 $ps/S_AXI_HP2] {
        connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $through/S00_AXI]
        connect_bd_intf_net [get_bd_intf_pins $through/M00_AXI] [get_bd_intf_pins $to]
    }
    connect_bd_net [get_bd_pins $ip/irq] [get_bd_pins $ps/IRQ_F2P]
}

proc cpt::connect_clock_and_reset {} {
    variable ps
    variable ip
    variable clock
    variable reset

    set clocked [list $ip/$clock reset_0/slowest_sync_clk \
        $ps/M_AXI_GP0_ACLK $ps/S_AXI_HP0_ACLK $ps/S_AXI_HP2_ACLK]
    foreach name {axi_gp0 axi_hp0 axi_hp2} {
        lappend clocked $name/ACLK $name/S00_ACLK $name/M00_ACLK
        connect_bd_net [get_bd_pins reset_0/interconnect_aresetn] [get_bd_pins $name/ARESETN]
        foreach side {S00 M00} {
            connect_bd_net [get_bd_pins reset_0/peripheral_aresetn] [get_bd_pins $name/${side}_ARESETN]
        }
    }
    foreach pin $clocked {
        connect_bd_net [get_bd_pins $ps/FCLK_CLK0] [get_bd_pins $pin]
    }
    connect_bd_net [get_bd_pins $ps/FCLK_RESET0_N] [get_bd_pins reset_0/ext_reset_in]
    # The accelerator's reset is active high.
    connect_bd_net [get_bd_pins reset_0/peripheral_reset] [get_bd_pins $ip/$reset]
}

proc cpt::assign_addresses {} {
    variable ps
    variable segments

    foreach segment $segments {
        dict with segment {
            assign_bd_address -offset $base -range $bytes \
                -target_address_space [get_bd_addr_spaces $space] [get_bd_addr_segs $target]
        }
    }
}

# Synthesise as one design: Vivado then optimises across the interconnects, and one log holds all messages.
proc cpt::wrap {} {
    variable here
    variable design
    variable floorplan

    set source [get_files $design.bd]
    set_property synth_checkpoint_mode None $source
    generate_target all $source
    add_files -norecurse [make_wrapper -files $source -top]
    add_files -norecurse -fileset constrs_1 [file join $here cpt.xdc]
    if {$floorplan ne ""} {
        # Placement only: the cells it names do not exist before synthesis.
        add_files -norecurse -fileset constrs_1 [file join $here $floorplan]
        set_property used_in_synthesis false [get_files $floorplan]
    }
    set_property top ${design}_wrapper [current_fileset]
    update_compile_order -fileset sources_1
}
