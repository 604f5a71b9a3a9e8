"""The four clinical variables of the pCR model, and the rule that makes a pCR label.

Source: [B] Table 1 and Methods (papers.md B2, B3, B18).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError

Subtype = Literal["HR+/HER2-", "HR+/HER2+", "TN", "HR-/HER2+"]
Er = Literal["negative", "low", "positive"]
Regimen = Literal["taxane", "anthracycline+taxane", "taxane+platinum", "anti-HER2"]

SUBTYPES: tuple[Subtype, ...] = get_args(Subtype)
"""In the order of how often they reach pCR in the pooled trials of CTNeoBC (Cortazar et al., Lancet
2014): what was known before any cohort at hand, whose labels must not choose their own inputs."""
ER_LEVELS: tuple[Er, ...] = get_args(Er)
"""By the share of stained nuclei: below 1 %, 1 to 10 %, above (ASCO/CAP 2020)."""
REGIMENS: tuple[Regimen, ...] = get_args(Regimen)
"""In the order in which classes of agents are added; anti-HER2 agents are given with a taxane."""

NAMES = ("subtype", "er", "ki67", "regimen")
"""The variables in the order of `PcrClinical.vector`."""

_UNKNOWN = ("", "na", "n/a", "unknown")
_RECEPTORS = re.compile(r"hr([+-])her2([+-])|her2([+-])hr([+-])")
_TRIPLE = ("tn", "tnbc", "triple-", "triple-breastcancer", "triple-cancer")
_ER: dict[str, Er] = {
    "-": "negative",
    "low": "low",
    "low+": "low",
    "-low": "low",
    "-low+": "low",
    "+": "positive",
}
_AGENTS = {
    "anthracycline": "anthracycline",
    "anthracyclines": "anthracycline",
    "doxorubicin": "anthracycline",
    "epirubicin": "anthracycline",
    "taxane": "taxane",
    "taxanes": "taxane",
    "paclitaxel": "taxane",
    "nabpaclitaxel": "taxane",
    "docetaxel": "taxane",
    "platinum": "platinum",
    "carboplatin": "platinum",
    "cisplatin": "platinum",
    "antiher2": "anti-HER2",
    "antiher2agents": "anti-HER2",
    "trastuzumab": "anti-HER2",
    "pertuzumab": "anti-HER2",
}
_ACRONYMS = {
    "act": "anthracycline+taxane",
    "ect": "anthracycline+taxane",
    "fect": "anthracycline+taxane",
    "tac": "anthracycline+taxane",
    "tec": "anthracycline+taxane",
    "tcb": "taxane+platinum",
    "th": "anti-HER2",
    "thp": "anti-HER2",
    "tcbh": "anti-HER2",
    "tcbhp": "anti-HER2",
    "tch": "anti-HER2",
    "tchp": "anti-HER2",
    "acth": "anti-HER2",
    "acthp": "anti-HER2",
    "ecth": "anti-HER2",
    "ecthp": "anti-HER2",
}
_CLASSES: dict[frozenset[str], Regimen] = {
    frozenset(["taxane"]): "taxane",
    frozenset(["anthracycline", "taxane"]): "anthracycline+taxane",
    frozenset(["taxane", "platinum"]): "taxane+platinum",
}


@dataclass(frozen=True)
class PcrClinical:
    """The clinical variables of a patient; None where not known.

    Attributes:
        subtype: by hormone receptors (ER or PR) and HER2, one of SUBTYPES.
        er: one of ER_LEVELS.
        ki67: percent of stained nuclei, 0 to 100.
        regimen: of the whole neoadjuvant treatment, one of REGIMENS.

    Raises:
        InputError: a value that is none of these; `parse` takes other spellings.
    """

    subtype: Subtype | None = None
    er: Er | None = None
    ki67: float | None = None
    regimen: Regimen | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("subtype", self.subtype, SUBTYPES),
            ("er", self.er, ER_LEVELS),
            ("regimen", self.regimen, REGIMENS),
        ):
            if value is not None and value not in known:
                raise InputError(f"{name} is {value!r}", remedy=f"Use one of {', '.join(known)}")
        if self.ki67 is not None and not (0 <= self.ki67 <= 100):  # NaN is neither
            raise InputError(f"ki67 is {self.ki67:g}", remedy="Use percent, from 0 to 100")

    @classmethod
    def parse(
        cls,
        subtype: str | None = None,
        er: str | None = None,
        ki67: str | float | None = None,
        regimen: str | None = None,
    ) -> PcrClinical:
        """From what people type; see `parse_subtype`, `parse_er`, `parse_ki67`, `parse_regimen`.

        Raises:
            InputError: a value that cannot be understood; the first one.
        """
        return cls(parse_subtype(subtype), parse_er(er), parse_ki67(ki67), parse_regimen(regimen))

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the variables that are not known."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is None)

    def vector(self) -> NDArray[np.float32]:
        """Four numbers in [0, 1], in the order of NAMES (reference/models.md §A).

        Subtype, ER and regimen are their place in SUBTYPES, ER_LEVELS and REGIMENS, spread evenly
        from 0 to 1; Ki-67 is percent / 100.

        Raises:
            InputError: a variable is not known: it is never taken to be 0.
        """
        subtype, er, ki67, regimen = self._known()
        return np.array(
            [
                SUBTYPES.index(subtype) / (len(SUBTYPES) - 1),
                ER_LEVELS.index(er) / (len(ER_LEVELS) - 1),
                ki67 / 100.0,
                REGIMENS.index(regimen) / (len(REGIMENS) - 1),
            ],
            dtype=np.float32,
        )

    def one_hot(self) -> NDArray[np.float32]:
        """Twelve numbers in [0, 1], named by `one_hot_names`: no order is put into the classes.

        Raises:
            InputError: a variable is not known.
        """
        subtype, er, ki67, regimen = self._known()
        return np.array(
            [
                *(float(one == subtype) for one in SUBTYPES),
                *(float(one == er) for one in ER_LEVELS),
                ki67 / 100.0,
                *(float(one == regimen) for one in REGIMENS),
            ],
            dtype=np.float32,
        )

    def contradictions(self) -> tuple[str, ...]:
        """What does not fit together, in words; variables that are not known contradict nothing.

        The paper excludes HER2-positive patients who were not given trastuzumab; its Table 1 yet
        counts 207 of them and 166 with anti-HER2 agents. So that is said, and is no refusal.
        """
        out = []
        her2, hormone = _receptors_of(self.subtype)
        if self.regimen == "anti-HER2" and her2 == "-":
            out.append(f"anti-HER2 treatment of a HER2-negative tumour ({self.subtype})")
        if self.regimen not in (None, "anti-HER2") and her2 == "+":
            out.append(
                f"a HER2-positive tumour ({self.subtype}) treated without anti-HER2 agents "
                f"({self.regimen}): the study excluded such patients"
            )
        if self.er in ("low", "positive") and hormone == "-":
            level = "low positive" if self.er == "low" else "positive"
            out.append(
                f"ER is {level} and the subtype is hormone-receptor-negative ({self.subtype})"
            )
        if self.er == "negative" and hormone == "+":
            out.append(
                f"ER is negative and the subtype is hormone-receptor-positive ({self.subtype}): "
                "possible only where PR is positive"
            )
        if self.ki67 is not None and 0 < self.ki67 < 1:
            out.append(f"Ki-67 is {self.ki67:g} %: is it a fraction instead of percent?")
        return tuple(out)

    def _known(self) -> tuple[Subtype, Er, float, Regimen]:
        if self.subtype is None or self.er is None or self.ki67 is None or self.regimen is None:
            raise InputError(
                f"Not known of the clinical variables: {', '.join(self.missing)}",
                remedy="Give them, or use a model that was trained without clinical variables",
            )
        return self.subtype, self.er, self.ki67, self.regimen


def one_hot_names() -> tuple[str, ...]:
    """The names of the numbers of `PcrClinical.one_hot`."""
    return (
        *(f"subtype {one}" for one in SUBTYPES),
        *(f"er {one}" for one in ER_LEVELS),
        "ki67",
        *(f"regimen {one}" for one in REGIMENS),
    )


def parse_subtype(text: str | None) -> Subtype | None:
    """Such as ``HR+/HER2-``, ``HR-positive/HER2-negative``, ``HER2+ HR-``, ``TNBC``, ``HR-/HER2-``.

    Intrinsic names (luminal, HER2-enriched) are refused: they come from genes or from other cuts.

    Returns:
        None for an empty text, NA and "unknown".

    Raises:
        InputError: none of SUBTYPES.
    """
    if (plain := _plain(text)) is None:
        return None
    joined = re.sub(r"[\s/,;&_()]|\band\b", "", plain)
    if joined in _TRIPLE:
        return "TN"
    found = _RECEPTORS.fullmatch(joined)
    if found is None:
        raise _not_one_of("subtype", text, SUBTYPES)
    hormone, her2 = found[1] or found[4], found[2] or found[3]
    names: dict[tuple[str, str], Subtype] = {
        ("+", "-"): "HR+/HER2-",
        ("+", "+"): "HR+/HER2+",
        ("-", "+"): "HR-/HER2+",
        ("-", "-"): "TN",
    }
    return names[hormone, her2]


def parse_er(text: str | None) -> Er | None:
    """Such as ``positive``, ``+``, ``ER low``, ``low positive``, or a percentage such as ``5 %``.

    Percent of stained nuclei: below 1 is negative, 1 to 10 low, above 10 positive (ASCO/CAP 2020).
    A number without its sign is refused: it may be a code or a score.

    Returns:
        None for an empty text, NA and "unknown".

    Raises:
        InputError: none of ER_LEVELS, or more than 100 %.
    """
    if (plain := _plain(text)) is None:
        return None
    joined = re.sub(r"[\s_]", "", plain).removeprefix("er")
    name = _ER.get(joined)
    if joined.endswith("%") and (percent := _number(joined[:-1])) is not None and percent <= 100:
        name = "negative" if percent < 1 else "low" if percent <= 10 else "positive"
    if name is None:
        raise _not_one_of("er", text, ER_LEVELS)
    return name


def parse_ki67(value: str | float | None) -> float | None:
    """Percent: a number from 0 to 100, with or without its sign; a decimal comma is understood.

    Returns:
        None for an empty text, NA and "unknown".

    Raises:
        InputError: no number from 0 to 100.
    """
    if isinstance(value, (int, float)):
        number: float | None = float(value)
    else:
        if (plain := _plain(value)) is None:
            return None
        number = _number(plain.removesuffix("%").strip())
    if number is None or not 0 <= number <= 100:
        raise InputError(f"ki67 is {value!r}", remedy="Use percent, from 0 to 100")
    return number


def parse_regimen(text: str | None) -> Regimen | None:
    """Such as ``anthracycline+taxane``, ``Taxane- and platinum-based``, ``AC-T``, ``TCbHP``.

    Classes of agents, their commonest substances and unambiguous acronyms are understood; wherever
    an anti-HER2 agent is among them, that is the class. TC is refused: it may stand for
    cyclophosphamide or carboplatin.

    Returns:
        None for an empty text, NA and "unknown".

    Raises:
        InputError: none of REGIMENS.
    """
    if (plain := _plain(text)) is None:
        return None
    joined = re.sub(r"[^a-z0-9]", "", plain)
    for known in REGIMENS:
        if joined == re.sub(r"[^a-z0-9]", "", known.lower()) or _ACRONYMS.get(joined) == known:
            return known
    # The paper's own words: "Use of anti-HER2 agents in HER2-positive cancer".
    plain = re.sub(r"\buse of\b|\bin her2\+ cancer\b|\bbased\b|\bagents?\b", " ", plain)
    plain = re.sub(r"anti[\s-]?her[\s-]?2", "antiher2", plain).replace("nab-", "nab")
    words = [w for w in re.split(r"[^a-z0-9]+", plain) if w not in ("", "and", "with", "plus")]
    agents = {_AGENTS.get(word, "") for word in words}
    if "" not in agents:
        found = "anti-HER2" if "anti-HER2" in agents else _CLASSES.get(frozenset(agents))
        for known in REGIMENS:
            if found == known:
                return known
    raise _not_one_of("regimen", text, REGIMENS)


def pcr_label(
    pcr: str | bool | None = None,
    miller_payne: str | int | None = None,
    nodes: str | None = None,
) -> bool | None:
    """Whether the response was complete (papers.md B18).

    pCR is no invasive cancer in the breast (Miller–Payne 5) and no tumour in the nodes at surgery.
    So Miller–Payne 1 to 4 is none, and so are positive nodes, whatever else is known; Miller–Payne
    5 with nodes that are not known leaves it to what was typed.

    Args:
        pcr: as typed: 1 or 0, True or False, empty where not known.
        miller_payne: grade 1 to 5.
        nodes: "+" or "-" in the surgical specimen.

    Returns:
        None where it is not known.

    Raises:
        InputError: another value, or what was typed contradicts the grade or the nodes.
    """
    typed = _one_of("pcr", pcr, {"1": True, "0": False})
    grade = _one_of("miller_payne", miller_payne, {str(n): n for n in range(1, 6)})
    positive = _one_of("nodes", nodes, {"+": True, "-": False})
    derived: bool | None = None
    if positive or (grade is not None and grade < 5):
        derived = False
    elif grade == 5 and positive is False:
        derived = True
    if typed is not None and derived is not None and typed != derived:
        known = [] if grade is None else [f"Miller–Payne {grade}"]
        known += [] if positive is None else [f"nodes {'positive' if positive else 'negative'}"]
        raise InputError(
            f"pcr is {int(typed)}, against {' and '.join(known)}",
            remedy="Correct them, or leave pcr empty: it is derived",
        )
    return typed if derived is None else derived


def _one_of(name: str, value: Any, meanings: dict[str, Any]) -> Any:
    text = str(int(value)) if isinstance(value, bool) else str("" if value is None else value)
    text = text.strip().replace("−", "-").replace("–", "-")
    if text.casefold() in _UNKNOWN:
        return None
    if text not in meanings:
        raise InputError(
            f"{name} is {text!r}", remedy=f"Use one of {', '.join(meanings)}, or leave it empty"
        )
    return meanings[text]


def _receptors_of(subtype: Subtype | None) -> tuple[str, str]:
    """The signs of HER2 and of the hormone receptors; empty where not known."""
    if subtype is None:
        return "", ""
    if subtype == "TN":
        return "-", "-"
    return subtype[-1], subtype[2]


def _plain(text: str | None) -> str | None:
    """Lower case, one kind of minus, signs instead of words; None where nothing is stated."""
    plain = (text or "").strip().casefold()
    if plain in _UNKNOWN:
        return None
    plain = re.sub(r"[\u2010-\u2015\u2212]", "-", plain)
    plain = re.sub(r"[\s_-]*\b(positive|pos)\b", "+", plain)
    return re.sub(r"[\s_-]*\b(negative|neg)\b", "-", plain)


def _number(text: str) -> float | None:
    if not re.fullmatch(r"\d{1,3}([.,]\d+)?", text):
        return None
    number = float(text.replace(",", "."))
    return number if math.isfinite(number) else None


def _not_one_of(name: str, text: str | None, known: tuple[str, ...]) -> InputError:
    return InputError(f"{name} is {text!r}", remedy=f"Use one of {', '.join(known)}")
