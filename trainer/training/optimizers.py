"""The optimizer and the learning rate of a recipe's schedule."""

from __future__ import annotations

from typing import Any

from trainer.networks.shape import SCORES
from trainer.recipe import Schedule

PATIENCE_EPOCHS = 5
LOWEST_RATE = 1e-6


def build_optimizer(plan: Schedule, steps_per_epoch: int) -> Any:
    """The Keras optimizer of a schedule."""
    import keras

    rate: Any = plan.learning_rate
    if plan.rate == "cosine":
        warmup = int(plan.warmup_epochs * steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(
            1e-5 if warmup else plan.learning_rate,
            max(1, plan.epochs * steps_per_epoch - warmup),
            alpha=0.0,
            warmup_target=plan.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    if plan.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=plan.momentum, nesterov=plan.momentum > 0)
    if plan.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    if plan.optimizer == "muon":
        from trainer.training.muon import ConvolutionMuon

        decay = plan.weight_decay
        optimizer = ConvolutionMuon(
            rate, weight_decay=decay, adam_weight_decay=decay, exclude_layers=[SCORES]
        )
    else:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def rate_after(rate: float, scores: list[float]) -> float:
    """The learning rate after the validation accuracies so far: halved at the end of each plateau."""
    if not scores:
        return rate
    since_best = len(scores) - 1 - scores.index(max(scores))
    if since_best and since_best % PATIENCE_EPOCHS == 0:
        return max(LOWEST_RATE, rate / 2)
    return rate
