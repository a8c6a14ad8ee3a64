"""One run of the stand-in: passes commands to the parts that know them and keeps every object."""

from pathlib import Path

from cpt.hw.vivado.settings import Build
from cpt.hw.vivado.tcl import split_list
from cpt.sim.vivado.standin.command import Arguments, command, commands_of
from cpt.sim.vivado.standin.diagram import Diagram
from cpt.sim.vivado.standin.objects import CommandError, Thing
from cpt.sim.vivado.standin.packager import Packager
from cpt.sim.vivado.standin.project import Project
from cpt.sim.vivado.standin.runs import Runs
from cpt.sim.vivado.standin.scenario import Scenario


class Session:
    """A stand-in for one Vivado process building ``build``; call it with the words of a command.

    ``transcript`` lists every command it answered.
    """

    def __init__(self, build: Build, scenario: Scenario | None = None) -> None:
        self.build = build
        self.scenario = scenario or Scenario()
        self.things: dict[str, Thing] = {}
        self.transcript: list[str] = []
        self.project = Project(self)
        self.packager = Packager(self)
        self.diagram = Diagram(self)
        self.runs = Runs(self)
        self._commands = {}
        for part in (self, self.project, self.packager, self.diagram, self.runs):
            self._commands.update(commands_of(part))

    def __call__(self, words: list[str]) -> str:
        name = words[0].removeprefix("::")
        if name not in self._commands:
            raise CommandError(f"unknown command {name}")
        owner, known = self._commands[name]
        self.transcript.append(" ".join(words))
        try:
            return known.run(owner, known.parse(words[1:])) or ""
        except CommandError as error:
            raise CommandError(f"{name}: {error}") from None

    def say(self, text: str) -> None:
        """Add ``text`` to the log."""
        with self.build.log.open("a") as log:
            log.write(text + "\n")

    def add(self, thing: Thing) -> str:
        """Keep an object; returns its handle."""
        self.things[thing.handle] = thing
        return thing.handle

    def thing(self, handle: str, *kinds: str) -> Thing:
        """The object behind ``handle``; `CommandError` if it is none, or none of ``kinds``."""
        found = self.things.get(handle)
        if found is None or (kinds and found.kind not in kinds):
            raise CommandError(f"{handle!r} is no {' or '.join(kinds) or 'object'}")
        return found

    @command("version", "-short")
    def version(self, given: Arguments) -> str:
        """Version of the pretended Vivado."""
        return self.scenario.version

    @command("get_property", least=2)
    def get_property(self, given: Arguments) -> str:
        """Value of one property of one object."""
        return self.thing(given.words[1]).get(given.words[0])

    @command("set_property", "-dict=", least=1, most=3)
    def set_property(self, given: Arguments) -> str:
        """Set properties of one or more objects."""
        if "-dict" in given:
            pairs, targets = split_list(given.flags["-dict"]), given.words[0]
        else:
            pairs, targets = given.words[:2], given.words[2] if len(given.words) == 3 else ""
        handles = split_list(targets)
        if not handles or len(pairs) % 2:
            raise CommandError(f"no object, or a name without a value: {pairs}")
        for handle in handles:
            thing = self.thing(handle)
            for name, value in zip(pairs[::2], pairs[1::2], strict=True):
                thing.set(name, value)
                if thing.kind == "cell":
                    self.diagram.configured(thing)
        return ""

    def path(self, text: str) -> Path:
        """A file that must exist."""
        path = Path(text)
        if not path.is_file():
            raise CommandError(f"file {text} does not exist")
        return path
