"""Commands of the stand-in: their flags are declared, everything undeclared is refused."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cpt.sim.vivado.standin.objects import CommandError


@dataclass
class Arguments:
    """One call's arguments. ``flags`` maps each flag given to its value (empty for a switch)."""

    flags: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def __contains__(self, flag: str) -> bool:
        return flag in self.flags

    def need(self, flag: str) -> str:
        """Value of a flag that must be there."""
        if flag not in self.flags:
            raise CommandError(f"{flag} is missing")
        return self.flags[flag]


@dataclass(frozen=True)
class Command:
    """One command: a function of the session, its flags and how many words may follow."""

    run: Callable[..., str]
    valued: frozenset[str]
    switches: frozenset[str]
    least: int
    most: int

    def parse(self, words: list[str]) -> Arguments:
        """Sort ``words`` into flags and the rest; `CommandError` for an unknown flag or a wrong count."""
        found = Arguments()
        rest = iter(words)
        for word in rest:
            if word in self.switches:
                found.flags[word] = ""
            elif word in self.valued:
                value = next(rest, None)
                if value is None:
                    raise CommandError(f"{word} needs a value")
                found.flags[word] = value
            elif word.startswith("-") and not word[1:2].isdigit():
                raise CommandError(f"unknown option {word}")
            else:
                found.words.append(word)
        if not self.least <= len(found.words) <= self.most:
            raise CommandError(f"{len(found.words)} arguments; allowed: {self.least}..{self.most}")
        return found


def command(name: str, spec: str = "", least: int = 0, most: int | None = None) -> Callable:
    """Mark a method as Tcl command ``name``; ``spec`` lists flags, those with ``=`` take a value."""
    flags = spec.split()

    def mark(function: Callable) -> Callable:
        function.tcl = (  # type: ignore[attr-defined]
            name,
            Command(
                function,
                frozenset(flag.rstrip("=") for flag in flags if flag.endswith("=")),
                frozenset(flag for flag in flags if not flag.endswith("=")),
                least,
                least if most is None else most,
            ),
        )
        return function

    return mark


def commands_of(owner: object) -> dict[str, tuple[object, Command]]:
    """Every marked method of ``owner`` by command name."""
    found = {}
    for attribute in dir(type(owner)):
        marked = getattr(getattr(type(owner), attribute), "tcl", None)
        if marked:
            found[marked[0]] = (owner, marked[1])
    return found
