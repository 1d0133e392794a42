from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import draw, seeded

from sftok.decoding.schedule import MASK_SCHEDULES, DecodingConfig, masked_counts
from sftok.decoding.unmask import iterative_unmask

B, N, V = 3, 8, 5

schedules = st.sampled_from(sorted(MASK_SCHEDULES))
lengths = st.integers(1, 12)
seeds = st.integers(0, 2**31)


def constant(logits):
    return lambda ids, step: logits


@given(schedules, lengths, lengths, st.integers(2, 6), st.sampled_from([0.0, 1.0, 5.0]), seeds)
def test_unmasking_only_ever_fills_masked_codes(name, steps, length, vocabulary, temperature, seed):
    table = draw(vocabulary + 1, length, vocabulary, seed=seed)
    known, seen = torch.full((B, length), vocabulary), []

    def predict(ids, step):
        assert (step, ids.tolist()) == (len(seen), known.tolist()), "it sees its own earlier codes"
        # Least confident where codes are known: they stay even so.
        return table[ids.sum(1) % (vocabulary + 1)] - 100 * (ids != vocabulary).unsqueeze(-1)

    def check(step, before, logits, after):
        nonlocal known
        assert torch.equal(before, known)
        assert torch.equal(after[before != vocabulary], before[before != vocabulary])
        assert ((after == vocabulary).sum(1) == counts[step]).all()
        known = after
        seen.append(logits)

    counts = masked_counts(name, steps, length)
    config = DecodingConfig(steps=steps, temperature=temperature, schedule=name)
    out = iterative_unmask(predict, B, length, vocabulary, config, seeded(seed), on_step=check)
    assert len(seen) == steps
    assert torch.equal(out.ids, known)
    assert torch.equal(out.logits, seen[-1]), "the logits of the last step"
    assert ((out.ids >= 0) & (out.ids < vocabulary)).all()


@given(schedules, lengths, lengths, seeds)
def test_a_sure_model_is_believed_whatever_the_noise(name, steps, length, seed):
    targets = torch.randint(5, (2, length), generator=seeded(seed))
    model = constant(1e4 * torch.nn.functional.one_hot(targets, 5).float())
    config = DecodingConfig(steps=steps, temperature=1.0, schedule=name)
    assert torch.equal(iterative_unmask(model, 2, length, 5, config, seeded(seed)).ids, targets)


@pytest.mark.parametrize(("steps", "temperature"), [(1, 9), (4, 0)])
def test_one_step_and_temperature_zero_draw_nothing(steps, temperature):
    logits, generator = draw(B, N, V), seeded(1)
    before, config = generator.get_state(), DecodingConfig(steps=steps, temperature=temperature)
    unmasked = iterative_unmask(constant(logits), B, N, V, config, generator)
    assert torch.equal(unmasked.ids, logits.argmax(-1))
    assert torch.equal(generator.get_state(), before)


def test_the_most_confident_code_is_kept_first():
    logits, kept = torch.zeros(1, 4, 2), []
    logits[0, :, 1] = torch.tensor([1.0, 4.0, 2.0, 3.0])

    def observe(step, before, scores, after):
        kept.append((after != 2)[0].nonzero().flatten().tolist())

    config = DecodingConfig(steps=4, temperature=0, schedule="linear")
    iterative_unmask(constant(logits), 1, 4, 2, config, seeded(), on_step=observe)
    assert kept == [[1], [1, 3], [1, 2, 3], [0, 1, 2, 3]]


def test_equal_confidences_do_not_mask_more_than_scheduled():
    counts, config = [], DecodingConfig(steps=4, temperature=0)

    def observe(step, before, scores, after):
        counts.append((after == V).sum(1).tolist())

    flat = constant(torch.zeros(B, N, V, dtype=torch.bfloat16))
    iterative_unmask(flat, B, N, V, config, seeded(), on_step=observe)
    assert counts == [[count] * B for count in masked_counts("arccos", 4, N)]


def test_the_first_draw_follows_the_softmax_at_its_temperature():
    logits, samples = torch.tensor([0.0, 1.0, 2.0]), 20000
    first, config = [], DecodingConfig(steps=2, temperature=2.0, schedule="linear")
    model = constant(logits.expand(samples, 2, 3))
    iterative_unmask(model, samples, 2, 3, config, seeded(), on_step=lambda *seen: first.append(seen[-1]))
    revealed = first[0][first[0] != 3]
    # The temperature is annealed to 1 at step 1 of 2. Of two drawn codes, the one with the higher noisy logit
    # stays: compare with an independent simulation of exactly that.
    gumbel = -torch.empty(samples, 2, 3).exponential_(generator=seeded(5)).log()
    drawn = (logits + gumbel).argmax(-1)
    confidence = logits[drawn] - torch.empty(samples, 2).exponential_(generator=seeded(6)).log()
    expected = drawn.gather(1, confidence.argmax(1, keepdim=True)).flatten()
    actual, wanted = (torch.bincount(ids, minlength=3) / samples for ids in (revealed, expected))
    assert actual == pytest.approx(wanted, abs=0.015)
