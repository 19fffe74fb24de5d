import pytest

from visionthink.errors import ConfigError
from visionthink.training.node.place import NodePlace, place_of, settle_environment

WORKER = {
    "MASTER_ADDR": "job-master-0",
    "MASTER_PORT": "23456",
    "WORLD_SIZE": "32",
    "RANK": "2",
    "PET_MASTER_ADDR": "job-master-0",
    "PET_MASTER_PORT": "23456",
    "PET_NODE_RANK": "2",
    "PET_NNODES": "4",
    "PET_NPROC_PER_NODE": "8",
}


@pytest.mark.parametrize(
    ("env", "want"),
    [
        pytest.param(WORKER, NodePlace(rank=2, num_nodes=4, head_host="job-master-0"), id="a worker of a PyTorchJob"),
        pytest.param(
            {**WORKER, "RANK": "0", "PET_NODE_RANK": "0"},
            NodePlace(rank=0, num_nodes=4, head_host="job-master-0"),
            id="its master",
        ),
        pytest.param({}, NodePlace(rank=0, num_nodes=1, head_host="127.0.0.1"), id="no job at all"),
        pytest.param(
            {"RAY_ADDRESS": "ray:6379"},
            NodePlace(rank=0, num_nodes=1, head_host="127.0.0.1", ray_address="ray:6379"),
            id="a Ray that is there",
        ),
    ],
)
def test_place_is_what_the_job_says(env: dict[str, str], want: NodePlace) -> None:
    assert place_of(env) == want
    assert want.is_head is (want.rank == 0)


@pytest.mark.parametrize(
    ("env", "want"),
    [
        pytest.param({**WORKER, "PET_NNODES": "1:4"}, "PET_NNODES is '1:4'.*elasticPolicy", id="a number that changes"),
        pytest.param({**WORKER, "PET_NODE_RANK": "4"}, "node 4 of 4", id="a rank that no node has"),
        pytest.param({"PET_NNODES": "2", "RANK": "1"}, "MASTER_ADDR", id="nobody says where the first node is"),
    ],
)
def test_place_that_cannot_be_is_refused(env: dict[str, str], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        place_of(env)


def test_ranks_of_torchrun_do_not_reach_ray() -> None:
    env = {**WORKER, "HOME": "/home/x"}
    settle_environment(env)
    assert [name for name in env if name in WORKER] == [] and env["HOME"] == "/home/x"


@pytest.mark.parametrize(
    ("env", "want"),
    [
        pytest.param({}, "disabled", id="nothing said"),
        pytest.param({"RAY_AUTH_TOKEN": "secret"}, "token", id="a token"),
        pytest.param({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "secret"}, "disabled", id="said otherwise"),
    ],
)
def test_ray_is_told_whether_tokens_are_shown(env: dict[str, str], want: str) -> None:
    settle_environment(env)
    assert env["RAY_AUTH_MODE"] == want


def test_token_that_is_demanded_and_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="RAY_AUTH_TOKEN; take it from a Secret"):
        settle_environment({"RAY_AUTH_MODE": "token"})
