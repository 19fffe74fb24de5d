"""The matrix product embeds patches as the convolution does, forwards and backwards."""

from typing import Any, cast

import torch
from tests.unit.engines.tiny_model import tiny_model

from visionthink.model.patch_embedding import use_linear_patches

PATCHES = torch.randn(20, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(0))


def embedded(*, linear: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What becomes of the patches, and the gradient of the weights."""
    model = tiny_model()
    if linear:
        use_linear_patches(model)
    layer = cast("Any", model).model.visual.patch_embed
    made = layer(PATCHES)
    (made * torch.linspace(-1, 1, made.shape[1])).sum().backward()
    return made.detach(), layer.proj.weight.grad


def test_values_and_gradients_are_those_of_the_convolution() -> None:
    (want, want_gradient), (got, gradient) = embedded(linear=False), embedded(linear=True)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, want_gradient, rtol=1e-5, atol=1e-4)


def test_a_whole_tower_gives_the_same_features() -> None:
    grid = torch.tensor([[1, 4, 4]])
    plain, quick = tiny_model(), tiny_model()
    use_linear_patches(quick)
    want, got = (cast("Any", model).model.visual(PATCHES[:16], grid_thw=grid).pooler_output for model in (plain, quick))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_weights_keep_their_names_and_values() -> None:
    plain, quick = tiny_model(), tiny_model()
    use_linear_patches(quick)
    assert quick.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(quick.state_dict()[name], tensor) for name, tensor in plain.state_dict().items())


def test_patches_are_taken_in_the_number_format_of_the_weights() -> None:
    model = tiny_model().to(torch.bfloat16)  # type: ignore[arg-type]
    use_linear_patches(model)
    assert cast("Any", model).model.visual.patch_embed(PATCHES).dtype == torch.bfloat16
