from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from sftok.decoding.schedule import MASK_SCHEDULES, DecodingConfig, masked_counts, sample_mask
from sftok.decoding.unmask import iterative_unmask

schedules = st.sampled_from(sorted(MASK_SCHEDULES))
seeds = st.integers(0, 2**31)


@given(schedules, st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_a_schedule_falls_from_all_to_none(name, points):
    schedule = MASK_SCHEDULES[name]
    assert abs(schedule(0.0) - 1) < 1e-9
    assert abs(schedule(1.0)) < 1e-9
    fractions = [schedule(point) for point in sorted(points)]
    assert all(before >= after - 1e-12 for before, after in itertools.pairwise(fractions))
    assert all(-1e-12 <= fraction <= 1 + 1e-12 for fraction in fractions)


@given(schedules, st.integers(1, 40), st.integers(1, 300))
def test_masked_counts_fall_to_zero_and_never_stall_early(name, steps, length):
    counts = [length, *masked_counts(name, steps, length)]
    assert len(counts) == steps + 1
    assert counts[-1] == 0
    for before, after in itertools.pairwise(counts[:-1]):
        assert after == 1 if before == 1 else 1 <= after < before


@given(schedules, st.integers(1, 6), st.integers(1, 40), seeds)
def test_a_training_mask_masks_between_one_and_all(name, batch, length, seed):
    mask = sample_mask((batch, length), name, torch.Generator().manual_seed(seed))
    assert mask.shape == (batch, length)
    assert mask.dtype == torch.bool
    assert (mask.sum(1) >= 1).all()


def context_reader(length: int, vocabulary: int, seed: int):
    """A model whose logits depend on the codes it sees."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(vocabulary + 1, length, vocabulary, generator=generator)
    return lambda ids, step: table[ids.sum(1) % (vocabulary + 1)]


@given(
    schedules,
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(2, 6),
    st.sampled_from([0.0, 1.0, 5.0]),
    seeds,
)
def test_unmasking_only_ever_fills_masked_codes(name, steps, length, vocabulary, temperature, seed):
    states: list[tuple[torch.Tensor, torch.Tensor]] = []
    config = DecodingConfig(steps=steps, temperature=temperature, schedule=name)
    out = iterative_unmask(
        context_reader(length, vocabulary, seed),
        3,
        length,
        vocabulary,
        config,
        torch.Generator().manual_seed(seed),
        on_step=lambda step, before, logits, after: states.append((before, after)),
    )
    counts = masked_counts(name, steps, length)
    assert (states[0][0] == vocabulary).all()
    for (before, after), count in zip(states, counts, strict=True):
        known = before != vocabulary
        assert torch.equal(before[known], after[known])
        assert ((after == vocabulary).sum(1) == count).all()
    assert torch.equal(states[-1][1], out.ids)
    assert ((out.ids >= 0) & (out.ids < vocabulary)).all()


@given(schedules, st.integers(1, 12), st.integers(1, 12), seeds)
def test_a_sure_model_is_believed_whatever_the_noise(name, steps, length, seed):
    targets = torch.randint(5, (2, length), generator=torch.Generator().manual_seed(seed))
    logits = 1e4 * torch.nn.functional.one_hot(targets, 5).float()
    config = DecodingConfig(steps=steps, temperature=1.0, schedule=name)
    generator = torch.Generator().manual_seed(seed)
    assert torch.equal(
        iterative_unmask(lambda ids, step: logits, 2, length, 5, config, generator).ids, targets
    )
