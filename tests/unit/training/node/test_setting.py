import pytest

from visionthink.errors import ConfigError
from visionthink.training.node.exit_code import is_permanent, of_program
from visionthink.training.node.setting import NodeSetting, check_cpus


@pytest.mark.parametrize(
    ("code", "want"),
    [(0, 0), (2, 2), (1, 200), (137, 200), (-9, 200), (143, 200)],
    ids=["done", "the user can mend it", "a traceback", "out of memory", "killed", "asked to go"],
)
def test_node_ends_as_its_program_did(code: int, want: int) -> None:
    assert of_program(code) == want


@pytest.mark.parametrize(("code", "want"), [(0, False), (2, True), (127, True), (128, False), (200, False)])
def test_codes_below_128_are_permanent(code: int, want: bool) -> None:
    assert is_permanent(code) is want


@pytest.mark.parametrize(
    ("cpus", "gpus", "nodes", "units", "is_enough"),
    [
        pytest.param(5, 1, 1, 1, False, id="one short"),
        pytest.param(6, 1, 1, 1, True, id="just enough"),
        pytest.param(15, 8, 4, 8, False, id="many nodes, too few each"),
        pytest.param(27, 8, 4, 8, True, id="many nodes"),
        pytest.param(1, 8, 1, 0, True, id="a program that is not veRL"),
    ],
)
def test_cpus_that_verl_would_wait_for_in_silence_are_missed_at_once(
    cpus: int, gpus: int, nodes: int, units: int, is_enough: bool
) -> None:
    setting = NodeSetting(num_cpus=cpus, num_gpus=gpus, num_storage_units=units)
    if is_enough:
        check_cpus(setting, nodes)
        return
    with pytest.raises(ConfigError, match=f"have {cpus * nodes}, but veRL takes .*num_storage_units"):
        check_cpus(setting, nodes)


@pytest.mark.parametrize(("grace", "want"), [(30.0, 20.0), (120.0, 110.0), (6.0, 4.0)])
def test_program_gets_the_grace_but_what_the_end_of_ray_takes(grace: float, want: float) -> None:
    assert NodeSetting(grace_s=grace).program_grace_s == want


def test_node_without_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one CPU"):
        NodeSetting(num_cpus=0)
