"""The short key of a finding: how an operator names one, today and tomorrow.

A key is a hash of what the finding is about and of nothing that changes while it stands, such as
an age. So it is the same in each audit, on each machine and at each operator.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable

LENGTH = 5
_LETTERS = "23456789bcdfghjkmnpqrstvwxz"
"""Without what reads like something else, and without vowels, so that no key is a word."""


def keys_of(identities: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the key of each finding; where two would be the same, both are longer.

    Parameters
    ----------
    identities
        What each is about: check, server, app, secret, subject. Of findings about the very same,
        each has a number of its own.
    """
    seen: Counter[Hashable] = Counter()
    whole: list[str] = []
    for identity in identities:
        seen[identity] += 1
        number = seen[identity]
        whole.append(_letters("\0".join(identity if number == 1 else (*identity, str(number)))))
    return _shortened(whole, LENGTH)


def _shortened(whole: list[str], length: int) -> list[str]:
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for one in whole:
        alike[one[:length]].add(one)
    longer = {one for group in alike.values() if len(group) > 1 for one in group}
    if not longer:
        return [one[:length] for one in whole]
    more = dict(zip(longer, _shortened(list(longer), length + 1), strict=True))
    return [more.get(one, one[:length]) for one in whole]


def _letters(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest())
    found: list[str] = []
    while number:
        number, at = divmod(number, len(_LETTERS))
        found.append(_LETTERS[at])
    return "".join(found)
