# Packages the exported Verilog as an IP with its buses, clock, reset, interrupt and registers.

proc cpt::package_ip {} {
    variable part
    variable work
    variable verilog
    variable top
    variable identity

    create_project -force -part $part package [file join $work package]
    add_files -norecurse $verilog
    set_property top $top [current_fileset]
    update_compile_order -fileset sources_1

    ipx::package_project -root_dir [file join $work ip] -vendor [dict get $identity vendor] \
        -library [dict get $identity library] -taxonomy /UserIP -import_files -force
    set core [ipx::current_core]
    set_property name [dict get $identity name] $core
    set_property version [dict get $identity version] $core
    set_property display_name "Cyclic-precision training accelerator" $core
    set_property description "Contract [dict get $identity contract]" $core

    cpt::check_interfaces $core
    cpt::describe_registers $core
    cpt::describe_memory $core
    ipx::create_xgui_files $core
    ipx::update_checksums $core
    # Some versions answer with nothing when all is well.
    if {[string is false -strict [ipx::check_integrity $core]]} {
        error "the packaged IP fails ipx::check_integrity; its messages stand above"
    }
    ipx::save_core $core
    close_project
}

# Every bus of the contract was inferred from the port attributes, with the right role.
proc cpt::check_interfaces {core} {
    variable interfaces
    variable clock
    variable reset

    dict for {name wanted} $interfaces {
        set found [ipx::get_bus_interfaces $name -of_objects $core -quiet]
        if {[llength $found] != 1} {
            error "interface $name was not inferred from the ports of the Verilog"
        }
        foreach {property key} {interface_mode role bus_type_vlnv bus} {
            set value [get_property $property $found]
            if {$value ne [dict get $wanted $key]} {
                error "interface $name has $property $value; allowed: [dict get $wanted $key]"
            }
        }
        if {[dict get $wanted memory]} {
            ipx::associate_bus_interfaces -busif $name -clock $clock $core
        }
    }
    ipx::associate_bus_interfaces -clock $clock -reset $reset $core
}

# Names the registers, so that they appear in the handoff; the slots are left out, they are an array.
proc cpt::describe_registers {core} {
    variable registers
    variable register_bus
    variable register_bytes

    set map [ipx::get_memory_maps $register_bus -of_objects $core -quiet]
    if {$map eq ""} {
        set map [ipx::add_memory_map $register_bus $core]
        set_property slave_memory_map_ref $register_bus \
            [ipx::get_bus_interfaces $register_bus -of_objects $core]
    }
    # The name of an inferred block is the packager's choice; nothing here depends on it.
    set block [ipx::get_address_blocks -of_objects $map -quiet]
    if {[llength $block] > 1} {
        error "bus $register_bus has [llength $block] address blocks; allowed: one"
    }
    if {$block eq ""} {
        set block [ipx::add_address_block reg0 $map]
    }
    set_property range $register_bytes $block
    set_property usage register $block

    foreach register $registers {
        set entry [ipx::add_register [dict get $register name] $block]
        set_property address_offset [dict get $register offset] $entry
        set_property size 32 $entry
        set_property access [dict get $register access] $entry
        set_property description [dict get $register doc] $entry
        foreach field [dict get $register fields] {
            set bits [ipx::add_field [dict get $field name] $entry]
            set_property bit_offset [dict get $field offset] $bits
            set_property bit_width [dict get $field width] $bits
            set_property access [dict get $register access] $bits
            set_property description [dict get $field doc] $bits
        }
    }
}

# Every memory master sees 4 GB, whether or not its address space was inferred.
proc cpt::describe_memory {core} {
    variable interfaces

    dict for {name wanted} $interfaces {
        if {![dict get $wanted memory] || [dict get $wanted role] ne "master"} {
            continue
        }
        set space [ipx::get_address_spaces $name -of_objects $core -quiet]
        if {$space eq ""} {
            set space [ipx::add_address_space $name $core]
            set_property master_address_space_ref $name [ipx::get_bus_interfaces $name -of_objects $core]
        }
        set_property range 4G $space
        set_property width 32 $space
    }
}
