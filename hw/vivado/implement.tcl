# Synthesis, implementation and reports.

proc cpt::implement {} {
    variable jobs

    # The performance strategy spends area: it gives every small function a LUT of its own (-no_lc).
    set_property strategy Flow_AreaOptimized_high [get_runs synth_1]
    set_property strategy Performance_ExplorePostRoutePhysOpt [get_runs impl_1]
    launch_runs synth_1 -jobs $jobs
    cpt::await synth_1
    launch_runs impl_1 -to_step write_bitstream -jobs $jobs
    cpt::await impl_1
    open_run impl_1
    cpt::report
}

# Some versions of wait_on_run fail with the run, without saying how it ended.
proc cpt::await {name} {
    catch {wait_on_run $name}
    set run [get_runs $name]
    if {[get_property PROGRESS $run] ne "100%"} {
        error "run $name ended with [get_property STATUS $run]; see [get_property DIRECTORY $run]/runme.log"
    }
}

proc cpt::report {} {
    variable output

    report_utilization -file [file join $output utilization.rpt]
    report_utilization -hierarchical -hierarchical_depth 4 -file [file join $output hierarchy.rpt]
    report_timing_summary -delay_type min_max -report_unconstrained -check_timing_verbose -max_paths 10 \
        -file [file join $output timing.rpt]
    report_drc -file [file join $output drc.rpt]
    report_power -file [file join $output power.rpt]
}
