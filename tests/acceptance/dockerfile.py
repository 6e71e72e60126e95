"""Runs the steps of a Dockerfile without a container engine, with a folder in place of `/`."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction and its stage. The first stage has number 0."""

    stage: int
    keyword: str
    arguments: str


def read_dockerfile(path: Path) -> list[Instruction]:
    """Return the instructions from the first FROM on."""
    instructions: list[Instruction] = []
    stage = -1
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    for line in filter(None, "\n".join(lines).replace("\\\n", " ").splitlines()):
        keyword, _, arguments = line.partition(" ")
        stage += keyword == "FROM"
        instructions.append(Instruction(stage, keyword, arguments.strip()))
    return instructions


@dataclass(slots=True)
class Stage:
    """The folders of a stage: `root` stands for `/`, `context` is the context of the build.

    `programs` maps a program of the stage's image to the program that is run instead.
    """

    root: Path
    context: Path
    programs: Mapping[str, list[str]]
    environment: Mapping[str, str]
    folder: str = "/"

    def follow(self, instruction: Instruction) -> None:
        """Run an instruction; raise ValueError if it is not supported."""
        match instruction.keyword:
            case "WORKDIR":
                self.folder = instruction.arguments
                self._inside(".").mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(*shlex.split(instruction.arguments))
            case "RUN":
                self._run(shlex.split(instruction.arguments))
            case "FROM":
                pass
            case keyword:
                raise ValueError(f"cannot follow {keyword}")

    def _copy(self, *paths: str) -> None:
        *sources, target = paths
        for source in sources:
            path = self.context / source
            if path.is_dir():
                shutil.copytree(path, self._inside(target), ignore=_compiled)
            else:
                shutil.copy(path, self._inside(target))

    def _run(self, words: list[str]) -> None:
        program, *arguments = words
        arguments = [str(self._inside(a)) if a.startswith("/") else a for a in arguments]
        start = [str(self._inside(program))] if program.startswith("/") else self.programs[program]
        subprocess.run(
            [*start, *arguments],
            cwd=self._inside("."),
            env=dict(self.environment),
            check=True,
        )

    def _inside(self, path: str) -> Path:
        """Return the path on this machine; a relative one starts at the working directory."""
        return self.root / str(Path(self.folder, path)).lstrip("/")


_compiled = shutil.ignore_patterns("__pycache__", "*.so")
