"""What a policy thinks of an episode is what its model thinks of each token that it could have drawn."""

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from tests.unit.engines.tiny_model import tiny_processor
from tests.unit.training.written import ASK, picture_of, prompt, rollout, saying, small_model, spec_of

from visionthink.engines import Sampling
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.driver import run_episode
from visionthink.training.local.policy import Policy, targets

ROLLOUTS = [
    rollout(prompt(0), [saying("A")], 1.0),
    rollout(prompt(0), [ASK, saying("C")], -1.0),
    rollout(prompt(1), ["the shape"], 0.0, is_cut=True),
]


def policy(temperature: float = 1.0) -> Policy:
    engine = TransformersEngine(small_model(), tiny_processor())
    return Policy(
        model=small_model(), encoder=engine.encoder, forbidden_ids=engine.forbidden_ids, temperature=temperature
    )


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_scores_are_the_log_probabilities_of_the_written_tokens(temperature: float) -> None:
    made = policy(temperature)
    batch = made.batch(ROLLOUTS)
    with torch.no_grad():
        got = made.score(batch)
        logits = cast("Any", made.model)(**batch.model_inputs()).logits
    allowed = [token for token in range(logits.shape[-1]) if token not in made.forbidden_ids]
    want = torch.log_softmax(logits[..., allowed] / temperature, dim=-1)
    num_compared = 0
    for row, place in batch.reply_mask.nonzero().tolist():
        token = allowed.index(int(batch.input_ids[row, place]))
        assert got.log_probs[row, place - 1].item() == pytest.approx(want[row, place - 1, token].item(), abs=1e-5)
        num_compared += 1
    assert num_compared == sum(item.finish.trace.num_reply_tokens for item in ROLLOUTS)


def test_targets_are_what_the_model_wrote_one_place_earlier() -> None:
    made = policy()
    batch = made.batch(ROLLOUTS)
    shown = targets(batch)
    assert shown.shape == made.score(batch).log_probs.shape
    for row, item in enumerate(ROLLOUTS):
        ids = batch.input_ids[row, 1:][shown[row]].tolist()
        turns = item.finish.trace.turns
        want = [token for turn in turns for token in (*(turn.reply.token_ids or ()), made.encoder.end_id)]
        is_cut = item is ROLLOUTS[2]
        assert ids == (want[:-1] if is_cut else want), "an end of turn counts where the model wrote one"


def test_a_rollout_scores_the_same_in_any_batch() -> None:
    made = policy()
    with torch.no_grad():
        together = made.batch(ROLLOUTS)
        scores, mask = made.score(together), targets(together)
        for row, item in enumerate(ROLLOUTS):
            alone = made.batch([item])
            want = made.score(alone).log_probs[targets(alone)]
            torch.testing.assert_close(scores.log_probs[row][mask[row]], want, rtol=1e-4, atol=1e-5)


def test_scores_and_gradients_are_finite_beside_image_pads_and_padding() -> None:
    made = policy()
    batch = made.batch(ROLLOUTS)
    scores = made.score(batch)
    assert scores.log_probs.isfinite().all() and scores.entropy.isfinite().all()
    (scores.log_probs * targets(batch)).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in made.model.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


async def test_no_other_token_was_likelier_than_one_of_a_greedy_reply() -> None:
    """Engine and policy look at one distribution: masks and ids agree."""
    made, asked = policy(), prompt(0)
    engine = TransformersEngine(made.model, tiny_processor())
    sampling = Sampling(temperature=0.0, max_tokens=6)
    ended = await run_episode(engine, spec_of(asked), picture_of(asked.sample), sampling)
    await engine.aclose()
    batch = made.batch([replace(ROLLOUTS[0], prompt=asked, picture=picture_of(asked.sample), finish=ended)])
    with torch.no_grad():
        logits = cast("Any", made.model)(**batch.model_inputs()).logits[:, :-1]
        got = made.score(batch).log_probs
    logits[..., list(made.forbidden_ids)] = -torch.inf
    best = torch.log_softmax(logits, dim=-1).max(dim=-1).values
    assert targets(batch).sum() == 6
    torch.testing.assert_close(got[targets(batch)], best[targets(batch)])
