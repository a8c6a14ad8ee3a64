"""The objects Tcl scripts hold: cells, pins, runs. A script sees only their handles."""

from dataclasses import dataclass, field


class CommandError(Exception):
    """What Vivado would refuse; the message is one line."""


@dataclass
class Thing:
    """One object: its kind, name and properties.

    ``allowed``: values a property may be set to; None allows any. ``computed``: read-only properties.
    """

    kind: str
    name: str
    properties: dict[str, str] = field(default_factory=dict)
    allowed: dict[str, tuple[str, ...] | None] = field(default_factory=dict)

    @property
    def handle(self) -> str:
        """What the script holds."""
        return f"{self.kind}:{self.name}"

    def get(self, name: str) -> str:
        """Value of a property; `CommandError` if this kind has none of that name."""
        if name not in self.properties:
            raise CommandError(f"{self.kind} {self.name} has no property {name}")
        return self.properties[name]

    def set(self, name: str, value: str) -> None:
        """Set a property; `CommandError` if it is unknown, read-only or the value is not allowed."""
        if name not in self.allowed:
            known = "is read-only" if name in self.properties else "is unknown"
            raise CommandError(f"property {name} of {self.kind} {self.name} {known}")
        allowed = self.allowed[name]
        if allowed is not None and value not in allowed:
            raise CommandError(
                f"property {name} of {self.kind} {self.name} is {value!r}; allowed: {', '.join(allowed)}"
            )
        self.properties[name] = value


def settable(kind: str, label: str, /, **properties: str) -> Thing:
    """An object all of whose properties may be set to anything."""
    return Thing(kind, label, dict(properties), dict.fromkeys(properties))
