"""Shorter Verilog for memories that start as zero."""

import re

_BLOCK = re.compile(
    r"^  initial begin\n"
    r"    (?P<name>\w+|\\\S+ )\[0\] = (?P<zero>\d+'[hd]0+);\n"
    r"(?:    (?P=name)\[\d+\] = (?P=zero);\n)*"
    r"  end\n",
    re.M,
)


def compact(verilog: str) -> str:
    """The same source with one loop instead of an assignment per word wherever a memory starts as zero.

    Yosys writes every word out; for the operand buffers that is most of the file, and simulators compile
    each line.
    """
    count = 0

    def loop(match: "re.Match[str]") -> str:
        nonlocal count
        count += 1
        index, words = f"init_{count}", match.group().count("=")
        return (
            f"  integer {index};\n"
            f"  initial for ({index} = 0; {index} < {words}; {index} = {index} + 1) "
            f"{match['name']}[{index}] = {match['zero']};\n"
        )

    return _BLOCK.sub(loop, verilog)
