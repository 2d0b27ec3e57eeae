"""The model itself: no interleaving breaks a promise, and each guard is there for a reason."""

import pytest

from tests.model.explorer import Broken, Explorer
from tests.model.specification import Specification

BOUNDS = [
    Specification(turns=3),
    Specification(turns=3, consents=True),
    Specification(turns=2, operations=2),
    Specification(turns=2, operations=2, consents=True),
    Specification(turns=2, losses=1),
    Specification(turns=2, losses=1, consents=True),
]

NOT_INTENDED = "I1: nothing is sent unless calling is stored"
NOT_CONSENTED = "I3: no second call without proof or consent"
NOT_TOLD = "I3: a second call is told for ever"
NOT_KEPT = "I4: a received answer is kept"
NOT_STABLE = "I5: a published id never changes"
NOT_HONEST = "created is false only where no chat can be"
NOT_OWNED = "a call is somebody's"

HOLD = Specification(turns=2)
RECREATE = Specification(turns=2, consents=True)
RECREATE_3 = Specification(turns=3, consents=True)
OPERATED = Specification(turns=2, operations=2)
LOSING = Specification(turns=2, losses=1)
CALLED = "accept, begin 1, take 1, send 1 created"
