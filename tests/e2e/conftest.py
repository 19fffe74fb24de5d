from pathlib import Path

import pytest
from tests.e2e.program import Program


@pytest.fixture(scope="session")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model with which a whole run takes seconds."""
    from tests.fakes.parrot_model import save_parrot  # loads torch, which most of these tests leave to the program

    return save_parrot(tmp_path_factory.mktemp("parrot") / "model")


@pytest.fixture
def program(tmp_path: Path, parrot: Path) -> Program:
    """The program in an empty folder."""
    return Program(home=tmp_path / "home", base=parrot)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, parrot: Path) -> Program:
    """A run that nothing happened to."""
    made = Program(home=tmp_path_factory.mktemp("undisturbed"), base=parrot)
    ended = made.run("run", "--direct")
    assert ended.code == 0, ended.stderr
    return made
