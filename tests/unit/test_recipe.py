"""Recipes: what they may say, and what is said of a wrong one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from farm.deid.dates import Strategy
from farm.deid.policy import EXCLUSIVE, OPTIONS, Action
from farm.errors import BadRecipe, Reason
from farm.recipe import extends, rules, schema, tags
from farm.recipe.recipe import Recipe, preset, presets
from farm.transcoding.targets import EXPLICIT, KEEP, TARGETS


def refused(given: object) -> str:
    """Return the text with which a recipe is refused."""
    with pytest.raises(BadRecipe) as raised:
        Recipe.from_dict(given)
    assert raised.value.reason is Reason.BAD_RECIPE
    return str(raised.value)


@pytest.mark.parametrize("name", presets())
def test_presets_read_back_as_they_are(name: str) -> None:
    """Lost otherwise: the recipe that a run records would not be the one that it ran."""
    recipe = preset(name)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_json()).digest == recipe.digest
    assert recipe.name == name


@pytest.mark.parametrize(
    ("given", "place", "nearest"),
    [
        ({"outptu": {"path": "x"}}, "outptu", "output.path"),
        ({"output": {"pth": "{instance}"}}, "output.pth", "output.path"),
        ({"output": {"transfer_sytax": "keep"}}, "output.transfer_sytax", "output.transfer_syntax"),
        ({"subject": {"when_mising": "study"}}, "subject.when_mising", "subject.when_missing"),
        ({"nmae": "x"}, "nmae", "name"),
        ({"policy": {"option": []}}, "policy.option", "policy.options"),
        ({"policy": {"attributs": {}}}, "policy.attributs", "policy.attributes"),
        ({"dates": {"stategy": "weeks"}}, "dates.stategy", "dates.strategy"),
        ({"uids": {"rot": "1.2"}}, "uids.rot", "uids.root"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(given: object, place: str, nearest: str) -> None:
    """Lost otherwise: a misspelt rule would be ignored in silence, and that is a leak."""
    told = refused(given)
    assert place in told
    assert f"did you mean {nearest}?" in told or place == "outptu"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"output": {"transfer_syntax": "jpeg"}}, "output.transfer_syntax"),
        ({"pixels": {"at_risk": True}}, "pixels.at_risk"),
        ({"pixels": "pass"}, "pixels"),
        ({"name": None}, "name: must be text"),
        ({"name": "a\x1bb"}, "name: must hold no control characters"),
        ({"name": "\ud800"}, "name: must hold no control characters"),
        ({"policy": {"options": "retain-uids"}}, "policy.options: must be a list"),
        ({"policy": {"options": ["retain-uids", "retain-uids"]}}, "policy.options: must not name anything twice"),
        ({"policy": {"options": ["retain-uid"]}}, "policy.options[0]: must be one of"),
        ({"policy": {"options": ["retain-uid"]}}, "did you mean retain-uids?"),
        ({"policy": {"options": ["+retain-uids", "clean-graphics"]}}, "policy.options: either"),
        ({"policy": {"options": ["+retain-uids", "-retain-uids"]}}, "both added and taken off"),
        ({"policy": {"options": sorted(EXCLUSIVE)}}, "exclude each other"),
        ({"policy": {"unlisted": "drop"}}, "policy.unlisted: must be one of keep, remove"),
        ({"policy": {"keep": ["ConvolutionKernle"]}}, "policy.keep[0]: ConvolutionKernle is no attribute; did you"),
        ({"policy": {"keep": ["PatientName"]}}, "policy.keep: PatientName: the keep-list is for attributes without"),
        ({"policy": {"keep": ["(0009,1001)"]}}, "policy.keep: (0009,1001)"),
        ({"policy": {"keep": ["VolumeFrameOfReferenceUID"]}}, "policy.keep: VolumeFrameOfReferenceUID"),
        ({"policy": {"attributes": {"PatientNmae": "X"}}}, "did you mean PatientName?"),
        ({"policy": {"attributes": {"StudyID": "Q"}}}, "policy.attributes.StudyID: must be one of"),
        ({"policy": {"attributes": {"StudyID": "X", "00200010": "Z"}}}, "under another spelling"),
        ({"policy": {"attributes": {"(0029,1010)": "X"}}}, "private attributes are told apart by creator"),
        ({"policy": {"attributes": {"StudyID": "U"}}}, "U is for UIDs"),
        ({"policy": {"attributes": {"SOPClassUID": "X"}}}, "a rule would not change it"),
        ({"policy": {"allow_weaken": 1}}, "policy.allow_weaken: must be true or false"),
        ({"dates": {"days": 1.5}}, "dates.days: must be a whole number"),
        ({"dates": {"days": True}}, "dates.days: must be a whole number"),
        ({"dates": {"days": 10**9}}, "dates.days: must be from -36500 to 36500"),
        ({"dates": {"strategy": "fixed"}}, "dates.days: a shift of 0 days is none"),
        ({"dates": {"days": float("nan")}}, "dates.days: must be a number"),
        ({"coding": {"step": float("nan")}}, "coding.step: must be a number"),
        ({"dates": {"range": [1]}}, "dates.range: must be a list of two numbers"),
        ({"dates": {"range": [0, 0]}}, "dates.range: holds no shift"),
        ({"dates": {"strategy": "weeks", "range": [1, 6]}}, "dates.range: holds no shift"),
        ({"dates": {"anchor": "2000-01-01"}}, "dates.anchor: must be eight digits"),
        ({"dates": {"strategy": "anchor", "anchor": "20000230"}}, "dates.anchor: must be a day"),
        ({"dates": {"strategy": "crosswalk"}}, "dates.strategy: crosswalk needs"),
        ({"uids": {"root": "1.2.3."}}, "uids.root"),
        ({"subject": {"pseudonym": "number", "prefix": "A/B"}}, "subject.prefix"),
        ([], "a recipe"),
        ("basic", "a recipe"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(given: object, place: str) -> None:
    """Lost otherwise: people would have to guess which of their lines is wrong."""
    assert place in refused(given)


@pytest.mark.parametrize(
    "path",
    [
        "/{instance}.dcm",
        "../{instance}.dcm",
        "a/../{instance}",
        "{subject}.dcm",
        "{instance}/{patient_name}",
        "{instance!r}",
        "{instance.__class__}",
        "{instance:>200}",
        "{0}/{instance}",
        "{}",
        "{instance",
        "",
        "a b/{instance}",
        "ä/{instance}",
        "a//{instance}",
        "{instance}\n",
    ],
)
def test_a_path_that_could_leave_the_destination_or_name_a_patient_is_refused(path: str) -> None:
    """Lost otherwise: outputs would land elsewhere, collide, or carry what identifies."""
    assert "output.path" in refused({"output": {"path": path}})


def test_not_json_is_refused_without_quoting_it() -> None:
    """Lost otherwise: a recipe's text could reach a log."""
    with pytest.raises(BadRecipe) as raised:
        Recipe.from_json('{"name": SECRET}')
    assert "SECRET" not in str(raised.value)
    assert raised.value.fields == {"line": 1}


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    """Lost otherwise: a typing error on the command line would end in a riddle."""
    with pytest.raises(BadRecipe, match="did you mean basic"):
        preset("basci")


def test_the_digest_tells_recipes_apart_by_what_they_do() -> None:
    """Lost otherwise: outputs of two recipes could mix in one destination, or a new name would forbid the old one."""
    basic = preset("basic")
    assert Recipe.from_dict({"name": "of another name"}).digest == basic.digest
    others = [
        {"output": {"transfer_syntax": "explicit"}},
        {"output": {"path": "{instance}"}},
        {"subject": {"domain": "CLINIC"}},
        {"subject": {"when_missing": "quarantine"}},
        {"pixels": {"at_risk": "quarantine"}},
    ]
    assert len({basic.digest, *(Recipe.from_dict(given).digest for given in others)}) == 6


def test_the_digest_does_not_hang_on_the_order_of_keys() -> None:
    """Lost otherwise: the same recipe, written another way, would count as a new one."""
    given = {"subject": {"domain": "A", "when_missing": "study"}, "pixels": {"at_risk": "pass"}}
    turned = {key: dict(reversed(value.items())) for key, value in reversed(given.items())}
    assert Recipe.from_dict(given).digest == Recipe.from_json(json.dumps(turned)).digest


def test_the_digest_of_the_basic_preset_stays() -> None:
    """Lost otherwise: an unnoticed change would shut every user's destinations against their own runs."""
    assert preset("basic").digest == preset("basic").digest
    assert len(preset("basic").digest) == 64


def settled(**policy: object) -> Recipe:
    """Return basic with another policy."""
    return Recipe.from_dict({"policy": policy})


def test_a_rule_that_leaves_more_is_refused_by_attribute_and_row() -> None:
    """Lost otherwise: one line of a recipe could undo the profile without anybody noticing."""
    given: dict[str, Any] = {"policy": {"attributes": {"(0008,0080)": "K"}}}
    told = refused(given)
    assert "policy.attributes.InstitutionName: K leaves more than D (profile: E.1-1 X/Z/D)" in told
    assert "allow_weaken" in told
    given["policy"]["allow_weaken"] = True
    assert Recipe.from_dict(given).policy.own == ((0x00080080, Action.KEEP),)
    assert settled(attributes={"InstitutionName": "K"}, options=["retain-institution-identity"])


def test_a_rule_for_what_is_removed_as_unlisted_hints_at_the_keep_list() -> None:
    """Lost otherwise: people would switch off the protection to keep a kernel's name."""
    told = refused({"policy": {"unlisted": "remove", "attributes": {"ConvolutionKernel": "K"}}})
    assert "policy.keep spares it" in told


@pytest.mark.parametrize("tag", sorted(rules.FIXED))
@pytest.mark.parametrize("action", list(Action))
def test_no_rule_is_accepted_that_would_not_act(tag: int, action: Action) -> None:
    """Lost otherwise: a recipe would say of Patient ID, UIDs or markers what does not happen."""
    refused({"policy": {"attributes": {tags.written(tag): action.value}, "allow_weaken": True}})


def test_whole_numbers_are_written_one_way() -> None:
    """Lost otherwise: 30 and 30.0 would be two recipes, and shut each other's destinations."""
    one, other = (Recipe.from_dict({"$extends": "research", "dates": {"days": days}}) for days in (30, 30.0))
    assert one.digest == other.digest
    numbers = {"near": 3, "quality": 80, "psnr": 50, "distance": 2}
    decimal = {name: float(number) for name, number in numbers.items()}
    one, other = (Recipe.from_dict({"coding": coding}) for coding in (numbers, decimal))
    assert one.digest == other.digest
    assert isinstance(other.wanted.options.near, int)


def test_the_digest_covers_every_key_but_the_name() -> None:
    """Lost otherwise: outputs of recipes that differ in one key could mix."""
    changes: dict[str, object] = {
        "policy.options": ["retain-uids"],
        "policy.unlisted": "remove",
        "policy.keep": ["ConvolutionKernel"],
        "policy.attributes": {"ConvolutionKernel": "X"},
        "policy.private_sop_classes": "refuse",
        "policy.allow_weaken": True,
        "dates.strategy": "weeks",
        "dates.days": 7,
        "dates.range": [-100, -8],
        "dates.anchor": "20100101",
        "uids.method": "recorded",
        "uids.root": "1.2.3",
        "subject.domain": "CLINIC",
        "subject.when_missing": "quarantine",
        "subject.pseudonym": "number",
        "subject.prefix": "OTHER-",
        "pixels.at_risk": "quarantine",
        "output.path": "{instance}",
        "output.transfer_syntax": "explicit",
        "coding.near": 3,
        "coding.quality": 80,
        "coding.psnr": 50,
        "coding.step": 0.01,
        "coding.distance": 2,
        "coding.lossy_again": "encode",
        "coding.unable": "quarantine",
    }
    assert changes.keys() == set(schema.keys()) - {"name", "$extends", "policy.profile"}
    moving: dict[str, object] = {"policy": {"options": [MODIFIED]}}
    digests = {preset("basic").digest, Recipe.from_dict(moving).digest}
    for key, value in changes.items():
        part, name = key.split(".")
        digests.add(Recipe.from_dict((moving if part == "dates" else {}) | {part: {name: value}}).digest)
    assert len(digests) == len(changes) + 2


def test_the_schema_and_the_code_know_the_same() -> None:
    """Lost otherwise: an editor would approve of what the farm refuses, or the other way round."""
    parts = {key: part for key, part in preset("basic").to_dict().items() if isinstance(part, dict)}
    flat = {f"{key}.{name}" for key, part in parts.items() for name in part}
    assert set(schema.keys()) == flat | {"name", "$extends"}
    policy = schema.schema()["properties"]["policy"]["properties"]
    assert set(policy["options"]["items"]["enum"]) == {sign + name for sign in ("", "+", "-") for name in OPTIONS}
    assert policy["attributes"]["additionalProperties"]["enum"] == [action.value for action in Action]
    assert set(schema.schema()["properties"]["dates"]["properties"]["strategy"]["enum"]) == set(Strategy)
    output = schema.schema()["properties"]["output"]["properties"]
    assert output["transfer_syntax"]["enum"] == [KEEP, EXPLICIT, *TARGETS]
    assert all("description" in part for part in schema.schema()["properties"].values())
    Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_by_the_schema(name: str) -> None:
    """Lost otherwise: what ships would not pass what it is checked by, as it is or settled."""
    for given in (extends.shipped(name), preset(name).to_dict()):
        assert not list(Draft202012Validator(schema.schema()).iter_errors(given))


def test_what_the_presets_promise() -> None:
    """Lost otherwise: a preset would be looser than its name."""
    research, strict = preset("research"), preset("strict")
    assert preset("basic").policy.options == frozenset()
    assert not preset("basic").policy.unlisted_removed
    assert strict.policy.unlisted_removed
    assert not strict.policy.keep
    assert not strict.policy.options
    assert research.policy.unlisted_removed
    assert 60 <= len(research.policy.keep) <= 150
    assert research.quarantine_at_risk
    assert strict.quarantine_at_risk
    assert preset("retain-dates").policy.temporal == "UNMODIFIED"
    dose = {"retain-safe-private", "retain-device-identity", "clean-structured-content"}
    assert preset("ct-dose").policy.options == research.policy.options | dose
    assert preset("pet-suv").policy.options == research.policy.options | {"retain-safe-private"}
    for name in presets():
        assert preset(name).policy.own == ()
        assert preset(name).policy.private_classes == (name == "basic")


MODIFIED = "retain-longitudinal-modified-dates"
_TAGS = st.sampled_from([tag for tag in tags.known() if tag not in rules.FIXED and tag >> 16 > 4])


@st.composite
def _recipes(draw: st.DrawFn) -> dict[str, Any]:
    options = draw(st.sets(st.sampled_from(sorted(OPTIONS.keys() - EXCLUSIVE))))
    options |= draw(st.sampled_from([set(), *({one} for one in EXCLUSIVE)]))
    unlisted = draw(st.sampled_from(["keep", "remove"]))
    own = draw(st.dictionaries(_TAGS.map(tags.named), st.sampled_from(["X", "Z", "D"]), max_size=4))
    strategies = ["subject", "weeks", "random", "month", "year", "remove"] if MODIFIED in options else ["remove"]
    return {
        "name": draw(st.text(st.characters(categories=["L", "N"]), max_size=5)),
        "$extends": draw(st.sampled_from(presets())),
        "policy": {
            "options": sorted(options),
            "attributes": own,
            "unlisted": unlisted,
        },
        "dates": {"strategy": draw(st.sampled_from(strategies))},
        "subject": {"pseudonym": draw(st.sampled_from(["keyed", "number", "crosswalk"]))},
        "pixels": {"at_risk": draw(st.sampled_from(["pass", "quarantine"]))},
    }


@for_all(_recipes())
def test_settling_twice_is_settling_once(given: dict[str, Any]) -> None:
    """Lost otherwise: what a run stores would not be what its workers read."""
    recipe = Recipe.from_dict(given)
    again = Recipe.from_dict(recipe.to_dict())
    assert again == recipe
    assert again.digest == recipe.digest
    assert again.to_dict() == recipe.to_dict()
    assert "$extends" not in recipe.to_dict()
    assert recipe.directions.policy == recipe.policy


@pytest.mark.parametrize(
    "given",
    [
        {"$extends": "strict", "dates": {"strategy": "fixed", "days": 3}},
        {"$extends": "strict", "dates": {"strategy": "subject"}},
        {"dates": {"range": [-100, -8]}},
        {"$extends": "retain-dates", "dates": {"strategy": "weeks"}},
    ],
)
def test_how_dates_move_is_not_said_in_vain(given: dict[str, object]) -> None:
    """Lost otherwise: dates would be removed, or kept as they are, where a recipe says how they move."""
    with pytest.raises(BadRecipe, match=rf"dates: has no effect without the option {MODIFIED}"):
        Recipe.from_dict(given)
    assert Recipe.from_dict(given | {"dates": {"strategy": "remove"}}).scheme.shifts is False
    settled = Recipe.from_dict({"$extends": "strict"}).to_dict()
    assert Recipe.from_dict(settled).to_dict() == settled


def test_what_is_removed_is_not_cleaned_by_a_rule() -> None:
    """Lost otherwise: a recipe would be taken, and each worker refuse it as it reads it again."""
    given = {"$extends": "research", "dates": {"strategy": "remove"}, "policy": {"attributes": {"StudyDate": "C"}}}
    assert "policy.attributes.StudyDate: C leaves more than Z" in refused(given)


def test_without_modified_dates_no_shift_is_asked_for() -> None:
    """Lost otherwise: the registry would hold date shifts of subjects whose dates are removed."""
    assert not preset("basic").scheme.shifts
    assert preset("research").scheme.shifts
    assert not Recipe.from_dict({"$extends": "research", "dates": {"strategy": "remove"}}).scheme.in_registry
