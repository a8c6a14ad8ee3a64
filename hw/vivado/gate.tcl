# Lets a design pass only if it meets timing everywhere and no critical warning is left unexplained.

proc cpt::gate {} {
    variable output

    set problems [concat [cpt::slack_problems] [cpt::constraint_problems [file join $output timing.rpt]] \
        [cpt::message_problems]]
    if {[llength $problems]} {
        foreach line $problems {
            puts stderr "gate: $line"
        }
        error "the design did not pass: [llength $problems] problem(s); reports are in $output"
    }
}

# Setup and hold slack of the worst paths, and pulse widths, which belong to no path.
proc cpt::slack_problems {} {
    variable slack

    set problems {}
    foreach {kind delay} {setup max hold min} {
        set worst [get_timing_paths -delay_type $delay -max_paths 5 -nworst 1]
        if {![llength $worst]} {
            lappend problems "$kind: no timing path found; the clock is not constrained"
        }
        foreach path $worst {
            set value [get_property SLACK $path]
            if {![string is double -strict $value]} {
                lappend problems "$kind: a path without slack from [get_property STARTPOINT_PIN $path]"
                continue
            }
            if {![info exists slack($kind)] || $value < $slack($kind)} {
                set slack($kind) $value
            }
            if {$value < 0} {
                lappend problems "$kind slack is $value ns from [get_property STARTPOINT_PIN $path] to\
                    [get_property ENDPOINT_PIN $path]; allowed: 0 or more"
            }
        }
    }
    set pulse [get_property STATS.TPWS [get_runs impl_1]]
    if {$pulse < 0} {
        lappend problems "pulse width slack is $pulse ns in all; allowed: 0 or more"
    }
    return $problems
}

# The report's check_timing section counts beside the name of a check, "1. checking no_clock (0)"; where a
# version does not, in the sentence below its heading, "There are 0 register/latch pins with no clock."
proc cpt::constraint_problems {report} {
    set file [open $report]
    set text [read $file]
    close $file
    set problems {}
    foreach check {no_clock unconstrained_internal_endpoints multiple_clock generated_clocks loops latch_loops} {
        if {![regexp "checking $check \\((\\d+)\\)" $text all count] &&
                ![regexp "checking $check\\s+-+\\s+There are (\\d+)" $text all count]} {
            lappend problems "timing.rpt has no line for check $check"
        } elseif {$count != 0} {
            lappend problems "timing.rpt: checking $check ($count); allowed: 0"
        }
    }
    return $problems
}

proc cpt::message_problems {} {
    variable log
    variable waivers

    set files [list $log]
    foreach run [get_runs] {
        lappend files [file join [get_property DIRECTORY $run] runme.log]
    }
    set problems {}
    foreach name $files {
        if {![file exists $name]} {
            continue
        }
        set file [open $name]
        while {[gets $file line] >= 0} {
            if {[string match "CRITICAL WARNING:*" $line] && ![cpt::waived $line $waivers]} {
                lappend problems "[file tail $name]: $line"
            }
        }
        close $file
    }
    return [lsort -unique $problems]
}

proc cpt::waived {line waivers} {
    foreach {pattern reason} $waivers {
        if {[regexp -- $pattern $line]} {
            return 1
        }
    }
    return 0
}

# Copies the results beside the reports. Vivado moved the handoff from .srcs to .gen in 2020.2.
proc cpt::deliver {} {
    variable design
    variable output
    variable slack
    variable work

    set bit [file join [get_property DIRECTORY [get_runs impl_1]] ${design}_wrapper.bit]
    set handoffs [glob -nocomplain -directory [file join $work project] \
        cpt.{gen,srcs}/sources_1/bd/$design/hw_handoff/$design.hwh]
    if {![llength $handoffs]} {
        error "no $design.hwh below [file join $work project]; is $design generated?"
    }
    file copy -force [lindex $handoffs 0] [file join $output cpt.hwh]
    write_hw_platform -fixed -include_bit -force -file [file join $output cpt.xsa]
    set file [open [file join $output timing.txt] w]
    puts $file "setup_slack_ns $slack(setup)\nhold_slack_ns $slack(hold)\nvivado [version -short]"
    close $file
    file copy -force $bit [file join $output cpt.bit]
}
