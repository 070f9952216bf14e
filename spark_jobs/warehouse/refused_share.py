"""Refused share: the least that a feed's share of refused rows or pictures may be.

Ingest and the audit hold the same figure against their limits.
"""

import math

# One-sided 95 %: a feed of 20 rows with 2 refused may well have a true share of 3 %.
_Z = 1.645


def lower_bound(part: int, whole: int) -> float:
    """Return the least that the share may be, with 95 % confidence (Wilson's interval).

    So that a feed of a handful of rows is not stopped by one bad row among them.
    """
    p, z2 = min(part / whole, 1.0), _Z**2
    centre = p + z2 / (2 * whole)
    spread = _Z * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole**2))
    return max(0.0, (centre - spread) / (1 + z2 / whole))
