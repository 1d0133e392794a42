from __future__ import annotations

import pytest
import torch
from small_models import seeded

from sftok.decoding.schedule import DecodingConfig, masked_counts
from sftok.decoding.unmask import iterative_unmask

B, N, V = 3, 8, 5


def constant(logits):
    return lambda ids, step: logits


@pytest.mark.parametrize(("steps", "temperature"), [(1, 9), (4, 0)])
def test_one_step_and_temperature_zero_draw_nothing(steps, temperature):
    logits, generator = torch.randn(B, N, V, generator=seeded()), seeded(1)
    before, config = generator.get_state(), DecodingConfig(steps=steps, temperature=temperature)
    unmasked = iterative_unmask(constant(logits), B, N, V, config, generator)
    assert torch.equal(unmasked.ids, logits.argmax(-1))
    assert torch.equal(generator.get_state(), before)


def test_the_most_confident_code_is_kept_first():
    logits = torch.zeros(1, 4, 2)
    logits[0, :, 1] = torch.tensor([1.0, 4.0, 2.0, 3.0])
    kept = []

    def observe(step, before, scores, after):
        kept.append((after != 2)[0].nonzero().flatten().tolist())

    config = DecodingConfig(steps=4, temperature=0, schedule="linear")
    iterative_unmask(constant(logits), 1, 4, 2, config, seeded(), on_step=observe)
    assert kept == [[1], [1, 3], [1, 2, 3], [0, 1, 2, 3]]


def test_predict_sees_the_steps_and_its_own_earlier_codes():
    seen = []

    def predict(ids, step):
        seen.append((step, (ids == V).sum(1).tolist()))
        return torch.zeros(B, N, V)

    iterative_unmask(predict, B, N, V, DecodingConfig(steps=4, temperature=0), seeded())
    counts = [N, *masked_counts("arccos", 4, N)][:4]
    assert seen == [(step, [count] * B) for step, count in enumerate(counts)]


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_known_code_stays_even_if_the_model_is_more_confident_about_others(temperature):
    def predict(ids, step):
        logits = torch.randn(B, N, V, generator=seeded(step))
        return logits - 100 * (ids != V).unsqueeze(-1)  # least confident where codes are known

    known = torch.full((B, N), V)

    def check(step, before, logits, after):
        nonlocal known
        assert torch.equal(before, known)
        assert torch.equal(after[before != V], before[before != V])
        known = after

    config = DecodingConfig(steps=6, temperature=temperature)
    unmasked = iterative_unmask(predict, B, N, V, config, seeded(), on_step=check)
    assert torch.equal(unmasked.ids, known)
    assert (known < V).all()


def test_the_last_steps_logits_are_returned():
    unmasked = iterative_unmask(
        lambda ids, step: torch.full((B, N, V), float(step)), B, N, V, DecodingConfig(steps=3), seeded()
    )
    assert torch.equal(unmasked.logits, torch.full((B, N, V), 2.0))


def test_equal_confidences_do_not_mask_more_than_scheduled():
    counts, config = [], DecodingConfig(steps=4, temperature=0)

    def observe(step, before, scores, after):
        counts.append((after == V).sum(1).tolist())

    flat = constant(torch.zeros(B, N, V, dtype=torch.bfloat16))
    iterative_unmask(flat, B, N, V, config, seeded(), on_step=observe)
    assert counts == [[count] * B for count in masked_counts("arccos", 4, N)]


def test_noise_is_fixed_by_the_seed_and_changes_with_it():
    logits, config = torch.randn(B, N, V, generator=seeded()), DecodingConfig(steps=4, temperature=3.0)
    first, same, other = (
        iterative_unmask(constant(logits), B, N, V, config, seeded(seed)).ids for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


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
