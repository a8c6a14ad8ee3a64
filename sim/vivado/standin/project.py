"""Projects, their files and file sets."""

from pathlib import Path
from typing import TYPE_CHECKING

from cpt.hw.vivado.tcl import split_list
from cpt.sim.vivado.standin.command import Arguments, command
from cpt.sim.vivado.standin.objects import CommandError, Thing, settable

if TYPE_CHECKING:
    from cpt.sim.vivado.standin.session import Session

_FILE_KINDS = {".v": "source", ".xdc": "constraints", ".bd": "diagram"}


class Project:
    """The open project: at most one at a time, as in the scripts."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.folder: Path | None = None
        self.name = ""
        self.files: dict[str, Path] = {}
        self.top = ""

    def require_open(self) -> Path:
        """Folder of the open project."""
        if self.folder is None:
            raise CommandError("no project is open")
        return self.folder

    @command("create_project", "-force -part=", least=2)
    def create_project(self, given: Arguments) -> str:
        """Open an empty project; the part must be the board's."""
        if self.folder is not None:
            raise CommandError(f"project {self.name} is still open")
        expected = self.session.build.board.part
        if given.need("-part") != expected:
            raise CommandError(f"part is {given.flags['-part']}; allowed: {expected}")
        self.name, self.folder = given.words[0], Path(given.words[1])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files, self.top = {}, ""
        self.session.add(settable("project", "current", ip_repo_paths="", source_mgmt_mode="All"))
        self.session.add(settable("fileset", "current", top=""))
        self.session.runs.prepare(self.folder / f"{self.name}.runs")
        return self.session.things["project:current"].handle

    @command("close_project")
    def close_project(self, given: Arguments) -> str:
        """Close it."""
        self.require_open()
        self.folder = None
        return ""

    @command("current_project")
    def current_project(self, given: Arguments) -> str:
        """Handle of the project."""
        self.require_open()
        return "project:current"

    @command("current_fileset")
    def current_fileset(self, given: Arguments) -> str:
        """Handle of the sources."""
        self.require_open()
        return "fileset:current"

    @command("add_files", "-norecurse -fileset=", least=1)
    def add_files(self, given: Arguments) -> str:
        """Add files that exist and have a known ending."""
        self.require_open()
        if given.flags.get("-fileset", "sources_1") not in ("sources_1", "constrs_1"):
            raise CommandError(f"no file set {given.flags['-fileset']}")
        for item in split_list(given.words[0]):
            path = self.session.path(item)
            kind = _FILE_KINDS.get(path.suffix)
            if kind is None or (kind == "constraints") != (given.flags.get("-fileset") == "constrs_1"):
                raise CommandError(
                    f"{path.name} does not belong into {given.flags.get('-fileset', 'sources_1')}"
                )
            self.files[path.name] = path
        return ""

    @command("get_files", least=1)
    def get_files(self, given: Arguments) -> str:
        """Handle of one file of the project."""
        name = given.words[0]
        if f"file:{name}" not in self.session.things and name not in self.files:
            raise CommandError(f"no file {name} in the project")
        if f"file:{name}" not in self.session.things:
            allowed: dict[str, tuple[str, ...] | None] = {}
            if name.endswith(".xdc"):
                allowed["used_in_synthesis"] = ("true", "false")
            self.session.add(Thing("file", name, dict.fromkeys(allowed, "true"), allowed))
        return f"file:{name}"

    @command("update_compile_order", "-fileset=")
    def update_compile_order(self, given: Arguments) -> str:
        """The top module must be one of the project's sources."""
        top = self.session.things["fileset:current"].properties["top"]
        text = "".join(path.read_text() for path in self.files.values() if path.suffix == ".v")
        if f"module {top}" not in text:
            raise CommandError(f"top module {top!r} is in none of the project's files")
        self.top = top
        return ""

    @command("update_ip_catalog", "-rebuild")
    def update_ip_catalog(self, given: Arguments) -> str:
        """Packaged IP becomes available if its folder is a repository of the project."""
        repository = self.session.things["project:current"].properties["ip_repo_paths"]
        if not self.session.packager.saved_in(Path(repository)):
            raise CommandError(f"no packaged IP in {repository!r}")
        return ""
