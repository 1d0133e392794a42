"""Numbers of the authors' code of LlamaGen and Open-MAGVIT2 with random weights (tests/data/reference)."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small_models import seeded
from torch.testing import assert_close

from sftok.decoding.drawing import filtered
from sftok.decoding.guidance import GenerationConfig
from sftok.models.llama import rotary_table

assert_parity = partial(assert_close, atol=1e-5, rtol=1e-5)

GREEDY = GenerationConfig(temperature=0.0)


def test_the_rotary_table_has_a_row_of_zeros_for_the_class(llamagen_numbers, open_magvit2_numbers):
    table = rotary_table(4, 16)
    assert not table[0].any()
    assert_parity(table, llamagen_numbers["out.freqs_cis"])
    assert_parity(table, open_magvit2_numbers["out.ar.freqs_cis"])


def test_llamagens_hidden_states_logits_and_loss(released_llamagen, llamagen_numbers):
    model, numbers, hidden = released_llamagen, llamagen_numbers, []
    hooks = [
        block.register_forward_hook(lambda _, given, made: hidden.append(made)) for block in model.blocks
    ]
    [logits] = model(numbers["in.ids"], numbers["in.classes"])
    for hook in hooks:
        hook.remove()
    assert_parity(hidden[0], numbers["out.hidden0"])
    assert_parity(hidden[1], numbers["out.hidden1"])
    assert_parity(logits, numbers["out.logits"])
    assert_parity(F.cross_entropy(logits.flatten(0, 1), numbers["in.ids"].flatten()), numbers["out.loss"])


@pytest.mark.parametrize(("scale", "guided"), [(1, 16), (2, 16), (4, 16), (2, 7)])
def test_llamagens_greedy_ids(released_llamagen, llamagen_numbers, scale, guided):
    """Their scale is ours and 1; with a `cfg_interval` of 5, they guide the first 7 ids."""
    name = f"out.generate_cfg{scale}" + ("_interval5" if guided == 7 else "")
    scales = [[float(scale - 1) if place < guided else 0.0] for place in range(16)]
    found: list[torch.Tensor] = []
    ids = released_llamagen.sample_guided(
        llamagen_numbers["in.generate_classes"], scales, GREEDY, seeded(), lambda *seen: found.append(seen[2])
    )
    assert torch.equal(ids, llamagen_numbers[f"{name}.ids"])
    if guided == 16:
        assert_close(torch.stack(found, dim=1), llamagen_numbers[f"{name}.logits"], atol=4e-5, rtol=1e-5)


def test_llamagens_filter(llamagen_numbers):
    prefix = "out.filter.probs_"
    names = [name for name in llamagen_numbers if name.startswith(prefix)]
    assert names
    for name in names:
        top_k, top_p, temperature = (part[1:] for part in name.removeprefix(prefix).split("_"))
        config = GenerationConfig(top_k=int(top_k), top_p=float(top_p), temperature=float(temperature))
        found = filtered(llamagen_numbers["in.filter.logits"], config).softmax(-1)
        assert_parity(found, llamagen_numbers[name])


def test_open_magvit2s_context_logits_and_losses(released_open_magvit2, open_magvit2_numbers):
    model, numbers, hidden = released_open_magvit2, open_magvit2_numbers, []
    hook = model.blocks[-1].register_forward_hook(lambda _, given, made: hidden.append(made))
    parts = torch.stack([numbers["in.ar.ids_pre"], numbers["in.ar.ids_post"]], dim=-1)
    ids = model.join(parts)
    assert torch.equal(ids, parts[..., 0] + 16 * parts[..., 1])
    logits = model(ids, numbers["in.ar.classes"])
    hook.remove()
    assert_parity(hidden[0], numbers["out.ar.context"])
    for place, name in enumerate(("pre", "post")):
        assert_parity(logits[place], numbers[f"out.ar.logits_{name}"])
        loss = F.cross_entropy(logits[place].flatten(0, 1), parts[..., place].flatten())
        assert_parity(loss, numbers[f"out.ar.loss_{name}"])


@pytest.mark.parametrize(
    ("name", "scales"), [("none", (0.0, 0.0)), ("2_2", (1.0, 1.0)), ("1.9_3", (0.9, 2.0))]
)
def test_open_magvit2s_greedy_ids(released_open_magvit2, open_magvit2_numbers, name, scales):
    classes = open_magvit2_numbers["in.ar.generate_classes"]
    ids = released_open_magvit2.sample_guided(classes, [scales] * 16, GREEDY, seeded())
    for place, part in enumerate(("pre", "post")):
        expected = open_magvit2_numbers[f"out.ar.generate_cfg_{name}.ids_{part}"]
        assert torch.equal(released_open_magvit2.split(ids)[..., place], expected)
