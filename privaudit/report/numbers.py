"""How numbers are printed: never more precise than their interval allows."""

from __future__ import annotations

import math
import re

from privaudit.results import Estimate

NBSP = "\u00a0"
MINUS = "\u2212"
DASH = "\u2013"

_RATES = ("tpr_at_fpr_", "ppv_at_prior_", "detectable_tpr_at_fpr_", "attack_", "control_", "guess_")
_DIFFERENCES = ("attack_minus_",)
_UNIT_SCORES = ("auc", "auroc", "auprc", "brier", "detectable_auc", "accuracy")


def stem(name: str) -> str:
    """The estimate's name without its budget: `attack_rate@0.1 sd` -> `attack_rate`."""
    return name.partition("@")[0]


def budget(name: str) -> str:
    """The budget alone, or nothing: `attack_rate@0.1 sd` -> `0.1 sd`."""
    return name.partition("@")[2].strip()


def amount(text: str) -> float:
    """The number that a budget begins with, for ordering; infinity where there is none."""
    found = re.match(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)", text)
    return float(found[1]) if found else math.inf


def fpr_of(name: str) -> float | None:
    """0.01 from `tpr_at_fpr_0.01`; None for a name that speaks of no false positive rate."""
    found = re.search(r"_at_(?:fpr|prior)_([0-9.e-]+)$", stem(name))
    try:
        value = float(found[1]) if found else None
    except ValueError:
        return None
    return value if value is not None and 0 < value < 1 else None


def is_rate(name: str) -> bool:
    """Whether the number is a share, to be printed in percent."""
    return stem(name).startswith(_RATES)


def is_difference(name: str) -> bool:
    """Whether the number is a difference of two shares, with a sign."""
    return stem(name).startswith(_DIFFERENCES)


def places(low: float | None, high: float | None, otherwise: int, most: int) -> int:
    """Decimals that the half-width of the interval supports.

    Two digits of it where it begins with 1, 2 or 3 (below 3.55), one where it is larger: the
    rounding rule of the Particle Data Group (Review of Particle Physics, Introduction, section 5.3).
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


def whole(number: float) -> str:
    """A count, with thousands marked."""
    return f"{round(number):,}"


def significant(value: float, digits: int = 3) -> str:
    """A number of unknown kind, to so many digits, never in powers of ten for ordinary sizes."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    power = math.floor(math.log10(abs(value)))
    if -7 <= power < 9:
        text = fixed(value, max(0, digits - 1 - power))
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits - 1}e}".replace("-", MINUS)


def share(value: float) -> str:
    """A share that is a setting, not a measurement: 0.01 -> 1 %."""
    digits = 3
    while digits < 9 and 0 < value < 1 and significant(value * 100, digits) == "100":
        digits += 1
    return f"{significant(value * 100, digits)}{NBSP}%"


def _scaled(e: Estimate) -> tuple[float, float | None, float | None, int, str]:
    """Value and interval in the printed unit, decimals, and the unit."""
    scale, unit = (100.0, f"{NBSP}%") if is_rate(e.name) else (1.0, "")
    if is_difference(e.name):
        unit = f"{NBSP}points"
    value = (e.value or 0.0) * scale
    low = None if e.low is None else e.low * scale
    high = None if e.high is None else e.high * scale
    known = is_rate(e.name) or stem(e.name) in _UNIT_SCORES
    otherwise, most = (1, 2) if unit else (3, 3)
    decimals = places(low, high, otherwise, most if known else 4)
    return value, low, high, decimals, unit


def value_text(e: Estimate) -> str:
    """The value alone: `7.0 %`, `0.842`."""
    if e.value is None:
        return "not stated"
    value, _, _, decimals, unit = _scaled(e)
    return fixed(value, decimals, is_difference(e.name)) + unit


def interval_text(e: Estimate) -> str:
    """The interval alone: `5.8 to 8.6`; empty where none is known."""
    _, low, high, decimals, _ = _scaled(e)
    sign = is_difference(e.name)
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


def chance_text(e: Estimate) -> str:
    """What guessing gives, in the same unit."""
    if e.chance is None:
        return ""
    return share(e.chance) if is_rate(e.name) else significant(e.chance)


def count_in(value: float, base: int, half: float | None = None) -> str:
    """The top of a natural frequency: 0.0702 of 100 -> `7`; `6.5` where the interval allows."""
    width = None if half is None else half * base
    decimals = places(
        0.0 if width is not None else None, width and 2 * width, int(value * base < 10), 1
    )
    return fixed(value * base, decimals).removesuffix(".0")


def base_of(rate: float) -> int:
    """The bottom of a natural frequency for a rate: 0.01 -> 100, 0.001 -> 1000, 0.5 -> 100."""
    return max(100, 10 ** math.ceil(-math.log10(rate) - 1e-9)) if 0 < rate < 1 else 100


def base_for(e: Estimate) -> int:
    """The bottom of a natural frequency that shows this rate as a number above one."""
    return base_of(e.value) if e.value else 100


def one_in(rate: float) -> str:
    """A false-alarm rate in words: 0.01 -> `1 in 100`; 0.05 -> `5 in 100`."""
    base = 10 ** math.ceil(-math.log10(rate) - 1e-9) if 0 < rate < 1 else 100
    if rate * base != 1 and base < 100:
        base = 100
    return f"{significant(rate * base)}{NBSP}in{NBSP}{base:,}"


def frequency(e: Estimate, base: int) -> str:
    """`7 in 100`, as a sentence begins."""
    half = None if e.low is None or e.high is None else (e.high - e.low) / 2
    return f"{count_in(e.value or 0.0, base, half)} in {base:,}"


def frequency_interval(e: Estimate, base: int) -> str:
    """`95 % interval 5.8 to 8.6`, in the same base as `frequency`."""
    sure = share(e.confidence)
    if e.low is None or e.high is None:
        bound = interval_text(e)
        return (
            f"{sure} bound: {bound}{NBSP}%" if bound and is_rate(e.name) else "no interval stated"
        )
    decimals = places(e.low * base, e.high * base, 1, 1)
    return f"{sure} interval {fixed(e.low * base, decimals)} to {fixed(e.high * base, decimals)}"


def p_text(p: float | None) -> str:
    """A p-value: two digits, never smaller than it can be told."""
    if p is None:
        return ""
    if p < 0.001:
        return "below 0.001"
    return fixed(p, 3 if p < 0.1 else 2)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
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
    """Bytes as a person says them (powers of 1000)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{significant(count, 3)} {unit}"
        count /= 1000
    return f"{significant(count, 3)} TB"
