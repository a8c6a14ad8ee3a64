# Builds the bitstream of one board: vivado -mode batch -source build.tcl -tclargs settings.tcl
#
# `cpt bitstream` writes settings.tcl from the contract and calls this. Any error ends Vivado with a
# status other than 0; cpt.bit appears in the output folder only after the gate let the design pass.

namespace eval cpt {
    variable here [file dirname [file normalize [info script]]]
    variable oldest_vivado 2020.1
}

proc cpt::require_version {} {
    variable oldest_vivado
    if {[package vcompare [lindex [split [version -short] _] 0] $oldest_vivado] < 0} {
        error "Vivado is [version -short]; allowed: $oldest_vivado or later"
    }
}

foreach step {package design implement gate} {
    source [file join $cpt::here $step.tcl]
}
source [lindex $argv 0]

cpt::require_version
# What an earlier build left must not end up in this one.
file delete -force $cpt::work
cpt::package_ip
cpt::build_design
cpt::implement
cpt::gate
cpt::deliver
