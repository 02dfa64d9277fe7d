"""How numbers are printed: never more precise than their interval allows."""

from __future__ import annotations

import math

from privaudit.facts import Metric
from privaudit.results import Estimate

NBSP = "\u00a0"
MINUS = "\u2212"
DASH = "\u2013"

_RATES = frozenset(
    (
        "tpr",
        "detectable_tpr",
        "ppv",
        "attack_rate",
        "control_rate",
        "guess_rate",
        "prevalence_synthetic",
        "prevalence_real",
        "exact_copies",
        "near_copies",
        "closer_to_members",
        "observed_rate",
        "patients_at_risk",
        "patients_named_beyond",
        "patients_named",
        "members_named",
        "patients_beyond",
        "group_share_synthetic",
        "group_share_real",
        *("unique_share", "below_5", "below_10", "below_20", "max_risk", "average_risk"),
        *(
            "disclosed_share",
            "disclosed_large",
            "disclosed_nearly",
            "right_share",
            "right_without",
            "guess_share",
        ),
        *("best_right", "claimed_right", "claimed_false"),
    )
)
_DIFFERENCES = frozenset(
    (
        "attack_minus_control",
        "attack_minus_guess",
        "prevalence_gap",
        "exact_copies_excess",
        "near_copies_excess",
        *("right_minus_without", "claimed_difference"),
    )
)
_UNIT_SCORES = frozenset(
    (
        *("auc", "auroc", "auprc", "brier", "detectable_auc", "accuracy", "c_index"),
        *("kappa_linear", "concordance"),
        *("auroc_attacked", "auroc_shaken", "auroc_unchanged"),
    )
)


def is_rate(metric: Metric) -> bool:
    """Whether the number is a share or a difference of shares, to be printed in percent."""
    return metric.name in _RATES or is_difference(metric)


def is_difference(metric: Metric) -> bool:
    """Whether the number is a difference of two shares, with a sign."""
    return metric.name in _DIFFERENCES


def places(low: float | None, high: float | None, otherwise: int, most: int) -> int:
    """Decimals that the half-width of the interval supports.

    Two digits of it where it begins with 1, 2 or 3 (below 3.55), one where it is larger: the
    rounding rule of the Particle Data Group (Review of Particle Physics, Introduction, section
    5.3).
    """
    if low is None or high is None:
        return otherwise
    half = abs(high - low) / 2
    if half <= 0 or not math.isfinite(half):
        return otherwise
    power = math.floor(math.log10(half))
    return min(most, max(0, (1 if half / 10.0**power < 3.55 else 0) - power))


def fixed(value: float, decimals: int, sign: bool = False) -> str:
    """A number with this many decimals and thousands marked; minus zero is zero."""
    text = f"{value:,.{decimals}f}"
    if not float(text.replace(",", "")):
        return f"{0:.{decimals}f}"
    if value < 0:
        return MINUS + text[1:]
    return f"+{text}" if sign else text


def count(number: float) -> str:
    """A count, with thousands marked."""
    return f"{round(number):,}"


def significant(value: float, digits: int = 3) -> str:
    """A number of unknown kind, to so many digits, never in powers of ten for ordinary sizes."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    decimals = _decimals(value, digits)
    if decimals is not None:
        text = fixed(value, decimals)
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits - 1}e}".replace("-", MINUS)


def _decimals(value: float, digits: int) -> int | None:
    """Decimals of so many digits; None for a size that is written in powers of ten."""
    power = math.floor(math.log10(abs(value)))
    return max(0, digits - 1 - power) if -7 <= power < 9 else None


def _round_as_printed(value: float, digits: int) -> float:
    """What `significant` prints, as a number."""
    if value == 0 or not math.isfinite(value):
        return value
    decimals = _decimals(value, digits)
    return float(f"{value:.{digits - 1}e}" if decimals is None else f"{value:.{decimals}f}")


WHOLE = 10
"""Digits of a number that a person set, such as a limit: all of them."""


def whole(value: float) -> str:
    """A number that a person set, such as a limit, with every digit that it has."""
    return significant(value, WHOLE)


def is_same_side(printed: float, value: float, limit: float) -> bool:
    """Whether a number that is printed for `value` stands to a limit as the value does."""
    return (printed > limit, printed < limit) == (value > limit, value < limit)


def beside(value: float, limit: float, digits: int = 3) -> str:
    """A number beside the limit that it is held against: to so many digits, and to as many more as
    it needs so that what is above the limit is never printed as the limit, or below it."""
    if abs(value - limit) <= 1e-9 * max(abs(value), abs(limit)):
        return whole(limit)
    set_limit = _round_as_printed(limit, WHOLE)
    while digits < WHOLE and not is_same_side(_round_as_printed(value, digits), value, set_limit):
        digits += 1
    return significant(value, digits)


def claimed(epsilon: float) -> str:
    """What is guaranteed at most, to three digits or as many more as keep it from being printed as
    less than it is."""
    digits = 3
    while digits < WHOLE and _round_as_printed(epsilon, digits) < epsilon * (1 - 1e-9):
        digits += 1
    return significant(epsilon, digits)


def share(value: float) -> str:
    """A share that is a setting, not a measurement: 0.01 -> 1 %."""
    digits = 3
    while digits < 9 and 0 < value < 1 and significant(value * 100, digits) == "100":
        digits += 1
    return f"{significant(value * 100, digits)}{NBSP}%"


def _scaled(e: Estimate) -> tuple[float, float | None, float | None, int, str]:
    """Value and interval in the printed unit, decimals, and the unit."""
    scale, unit = (100.0, f"{NBSP}%") if is_rate(e.metric) else (1.0, "")
    if is_difference(e.metric):
        unit = f"{NBSP}points"
    value = (e.value or 0.0) * scale
    low = None if e.low is None else e.low * scale
    high = None if e.high is None else e.high * scale
    known = is_rate(e.metric) or e.metric.name in _UNIT_SCORES
    otherwise, most = (1, 2) if unit else (3, 3)
    decimals = places(low, high, otherwise, most if known else 4)
    # Numbers that are shared are rounded already: no digit is printed that they do not have.
    least = 0 if unit else 2
    while decimals > least and all(_has(one, decimals - 1) for one in (value, low, high)):
        decimals -= 1
    return value, low, high, decimals, unit


def _has(number: float | None, decimals: int) -> bool:
    """Whether so many decimals write the number whole."""
    return number is None or abs(number - round(number, decimals)) < 1e-9


def value_text(e: Estimate) -> str:
    """The value alone: `7.0 %`, `0.842`."""
    if e.value is None:
        return "not stated"
    value, _, _, decimals, unit = _scaled(e)
    return fixed(value, decimals, is_difference(e.metric)) + unit


def interval_text(e: Estimate) -> str:
    """The interval alone: `5.8 to 8.6`; empty where none is known."""
    _, low, high, decimals, _ = _scaled(e)
    sign = is_difference(e.metric)
    if low is not None and high is not None:
        return f"{fixed(low, decimals, sign)} to {fixed(high, decimals, sign)}"
    if low is not None:
        return f"at least {fixed(low, decimals, sign)}"
    return "" if high is None else f"at most {fixed(high, decimals, sign)}"


def estimate_text(e: Estimate) -> str:
    """Value and interval: `7.0 % (5.8 to 8.6)`."""
    if e.value is None:
        return "not stated"
    inside = interval_text(e)
    if not inside:
        return value_text(e)
    inside = inside.replace(" ", NBSP)
    return f"{value_text(e)} ({inside})"


def cell_text(e: Estimate | None) -> str:
    """Value and interval for a table; empty where there is no estimate."""
    return "" if e is None else estimate_text(e)


def half_width(e: Estimate) -> float | None:
    """Half the interval; None where there is none."""
    return None if e.low is None or e.high is None else (e.high - e.low) / 2


def chance_text(e: Estimate) -> str:
    """What guessing gives, in the same unit."""
    if e.chance is None:
        return ""
    return share(e.chance) if is_rate(e.metric) else significant(e.chance)


def count_in(value: float, base: int, half: float | None = None) -> str:
    """The top of a natural frequency: 0.0702 of 100 -> `7`; `6.5` where the interval allows."""
    width = None if half is None else 2 * half * base
    decimals = places(None if width is None else 0.0, width, int(value * base < 10), 1)
    return fixed(value * base, decimals).removesuffix(".0")


def base_of(rate: float) -> int:
    """The bottom of a natural frequency for a rate: 0.01 -> 100, 0.001 -> 1000, 0.5 -> 100."""
    return max(100, 10 ** math.ceil(-math.log10(rate) - 1e-9)) if 0 < rate < 1 else 100


def base_for(e: Estimate) -> int:
    """The bottom of a natural frequency that shows this rate as a number above one."""
    return base_of(e.value) if e.value else 100


def one_in(rate: float) -> str:
    """A false positive rate in words: 0.01 -> `1 in 100`; 0.05 -> `5 in 100`."""
    base = 10 ** math.ceil(-math.log10(rate) - 1e-9) if 0 < rate < 1 else 100
    if rate * base != 1 and base < 100:
        base = 100
    return f"{significant(rate * base)}{NBSP}in{NBSP}{base:,}"


def frequency(e: Estimate, base: int) -> str:
    """`7 in 100`, as a sentence begins."""
    return f"{count_in(e.value or 0.0, base, half_width(e))} in {base:,}"


def frequency_interval(e: Estimate, base: int) -> str:
    """`95 % interval 5.8 to 8.6`, in the same base as `frequency`."""
    sure = share(e.confidence)
    if e.low is None or e.high is None:
        bound = interval_text(e)
        return (
            f"{sure} bound: {bound}{NBSP}%" if bound and is_rate(e.metric) else "no interval stated"
        )
    decimals = places(e.low * base, e.high * base, 1, 1)
    return f"{sure} interval {fixed(e.low * base, decimals)} to {fixed(e.high * base, decimals)}"


def p_text(p: float | None) -> str:
    """A p-value: two digits, never smaller than can be stated."""
    if p is None:
        return ""
    if p < 0.001:
        return "below 0.001"
    return fixed(p, 3 if p < 0.1 else 2)


def duration(seconds: float) -> str:
    """Seconds in the usual units."""
    if 0 < seconds < 1:
        return f"{significant(seconds * 1000, 2)} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def size(count: float) -> str:
    """Bytes in the usual units (powers of 1000)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{significant(count, 3)} {unit}"
        count /= 1000
    return f"{significant(count, 3)} TB"
