"""Recipes of other programs: carried over, or told line by line; never dropped in silence, never weaker."""

from __future__ import annotations

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from farm.deid import resolve
from farm.deid.policy import Action
from farm.errors import BadRecipe
from farm.recipe import ctp, deid, rules, tags
from farm.recipe.recipe import Recipe, preset

STUDY_DATE, KERNEL, SEX, INSTITUTION = 0x00080020, 0x00181210, 0x00100040, 0x00080080


def script(*lines: str) -> tuple[Recipe, dict[int, str]]:
    """Return what a CTP script becomes, and what is lost by line; its first line is 2."""
    imported = ctp.read("\n".join(["<script>", *lines, "</script>"]))
    return Recipe.from_dict(imported.recipe), {lost.line: str(lost) for lost in imported.lost}


def header(*lines: str) -> tuple[Recipe, dict[int, str]]:
    """Return what a deid header becomes, and what is lost by line; its first line is 3."""
    imported = deid.read("\n".join(["FORMAT dicom", "%header", *lines]))
    return Recipe.from_dict(imported.recipe), {lost.line: str(lost) for lost in imported.lost}


def element(tag: str, text: str, on: str = "T") -> str:
    """Return an element of a CTP script."""
    return f'<e en="{on}" t="{tag}" n="X">{text}</e>'


def test_what_the_profile_does_anyway_needs_no_words() -> None:
    """Lost otherwise: an imported recipe would hide its few rules among hundreds."""
    recipe, lost = script(
        element("00080080", "@remove()"),
        element("00100020", "@hashptid(@SITEID,PatientID)"),
        element("00080018", "@hashuid(@UIDROOT,this)"),
        element("00400275", "@remove()"),
        '<r en="T" t="privategroups">Remove private groups</r>',
        '<r en="T" t="curves"/>',
    )
    assert recipe.digest == preset("basic").digest
    assert lost == {4: "line 4: @hashuid: its root is no UID, too long, or another than before: see uids.root"}


def test_rules_of_ctp() -> None:
    """Lost otherwise: what a site has tuned for years would be gone, or weaker."""
    recipe, lost = script(
        '<p t="DATEINC" n="x">-10</p>',
        '<p t="UIDROOT">1.2.840.113654.2.70.1</p>',
        element("00080018", "@hashuid(@UIDROOT,this)"),
        element("00080020", "@incrementdate(this,@DATEINC)"),
        element("(0008,0021)", "@remove()"),
        element("[0018,1210]", "@always()@remove()"),
        element("00080070", "@keep()"),
        element("00181020", "@remove()", on="F"),
    )
    assert recipe.uid_root == "1.2.840.113654.2.70.1"
    assert (recipe.strategy, recipe.days) == ("fixed", -10)
    assert recipe.policy.temporal == "MODIFIED"
    assert dict(recipe.policy.own) == {0x00080021: Action.DUMMY, KERNEL: Action.REMOVE}
    assert lost == {}


def test_what_is_switched_off_is_told_where_the_profile_changes_it() -> None:
    """Lost otherwise: values that a site keeps would be gone, and the import say that nothing was lost."""
    off = [element("00101030", "@remove()", on="F"), element("00181020", "@remove()", on="F")]
    recipe, lost = script(*off)
    assert list(lost) == [2]
    assert "PatientWeight: is kept there; here E.1-1 X; the option retain-patient-characteristics" in lost[2]
    assert recipe.policy.own == ()
    assert script(*off, '<r en="T" t="unspecifiedelements">x</r>')[1].keys() == {4}


def test_unspecified_elements_become_unlisted_and_the_keep_list() -> None:
    """Lost otherwise: CTP's strictest rule would become the loosest."""
    recipe, lost = script(
        '<r en="T" t="unspecifiedelements"/>',
        element("00181210", "@keep()"),
        element("00280010", "@keep()"),
        element("00209312", "@keep()"),  # Volume Frame of Reference UID
    )
    assert recipe.policy.unlisted_removed
    assert recipe.policy.keep == {KERNEL}
    assert list(lost) == [2, 5]


@pytest.mark.parametrize(
    "text",
    [
        "a constant",
        "",
        "@param(@X)",
        "@date()",
        "@time()",
        "@contents(StudyID)",
        "@if(this,exists){@keep()}{@remove()}",
        "@lookup(this,k)",
        "@initials(this)",
        "@hash(this,8)",
        "@hashname(this,6)",
        "@quarantine()",
        "@require()",
        "@nonsense()",
        "@hashuid(@UIDROOT,this)",
        "@incrementdate(this,@NONE)",
    ],
)
@pytest.mark.parametrize("tag", ["00181210", "00080080", "0009[GEMS]01"])
def test_what_ctp_says_otherwise_is_told_and_leaves_nothing(text: str, tag: str) -> None:
    """Lost otherwise: a value that the site's script replaces would go out as it is."""
    recipe, lost = script(element(tag, text))
    assert 2 in lost
    if "[" not in tag and text != "@require()":
        found = recipe.policy.decide(int(tag, 16), "SH", (), resolve.types(""))
        assert found.action in {Action.REMOVE, Action.DUMMY}


def test_keeping_what_the_profile_removes_is_told_with_the_option() -> None:
    """Lost otherwise: people would not find the right way to keep what they need."""
    recipe, lost = script(element("00100040", "@keep()"), element("00080050", "@keep()"))
    assert recipe.digest == preset("basic").digest
    assert "retain-patient-characteristics" in lost[2]
    assert "policy.allow_weaken" in lost[3]


@pytest.mark.parametrize(
    "text",
    [
        "<script><e></script>",
        "not xml",
        "",
        "<other/>",
        '<!DOCTYPE script [<!ENTITY a "b">]><script>&a;</script>',
        "<script>&undefined;</script>",
    ],
)
def test_what_is_no_script_is_refused(text: str) -> None:
    """Lost otherwise: a broken file would become an empty recipe."""
    with pytest.raises(BadRecipe):
        ctp.read(text)


def test_rules_of_deid() -> None:
    """Lost otherwise: users of pydicom/deid would begin anew."""
    recipe, lost = header(
        "# a comment",
        "ADD PatientIdentityRemoved YES",
        "REPLACE SOPInstanceUID func:generate_uid",
        "REPLACE FrameOfReferenceUID deid_func:dicom_uuid",
        "JITTER StudyDate -31",
        "REMOVE ConvolutionKernel",
        "BLANK (0008,0070)",
        "KEEP Rows",
        "REMOVE InstitutionName",
    )
    assert dict(recipe.policy.own) == {0x00080070: Action.EMPTY, KERNEL: Action.REMOVE}
    assert (recipe.strategy, recipe.days) == ("fixed", -31)
    assert lost == {}


@pytest.mark.parametrize(
    "line",
    [
        "REPLACE StudyID var:study",
        "REPLACE ConvolutionKernel fixed",
        "REPLACE all func:x",
        "REPLACE PatientID var:id",
        "REMOVE allexcept:PatientID",
        "REMOVE contains:^Pat.*$",
        "REMOVE ReferencedImageSequence__ReferencedSOPInstanceUID",
        "JITTER StudyDate var:days",
        "JITTER PatientBirthDate 31",
        "JITTER StudyDate 0",
        "KEEP PatientSex",
        "KEEP Nothing",
        "ADD StudyID 1",
        "FROB StudyID",
        "REMOVE",
        "REMOVE endswith:Date",
        "REMOVE SOPInstanceUID",
    ],
)
def test_what_deid_says_otherwise_is_told(line: str) -> None:
    """Lost otherwise: a rule would be dropped in silence."""
    _, lost = header(line)
    assert list(lost) == [3]


def test_expanders_and_lists_of_fields() -> None:
    """Lost otherwise: the most common lines of such recipes would do nothing."""
    imported = deid.read(
        "FORMAT dicom\n%fields mine\nFIELD ConvolutionKernel\nFIELD Manufacturer\n"
        "%header\nREMOVE fields:mine\nBLANK endswith:Filter\n"
    )
    own = dict(Recipe.from_dict(imported.recipe).policy.own)
    assert own[KERNEL] == own[0x00080070] == Action.REMOVE
    assert own[0x00189320] == Action.EMPTY
    assert [lost.line for lost in imported.lost] == [7]


def test_sections_that_recipes_do_not_have_are_told_line_by_line() -> None:
    """Lost otherwise: a filter that blacks out pixels would vanish without a word."""
    imported = deid.read("FORMAT dicom\n%filter grey\nLABEL x\n  coordinates 0,0,1,1\n%labels\nADD A b\n%odd\nx\n")
    assert [lost.line for lost in imported.lost] == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("text", ["", "%header\nREMOVE StudyID", "FORMAT nifti"])
def test_what_is_no_recipe_of_deid_is_refused(text: str) -> None:
    """Lost otherwise: any text would become a recipe that does nothing."""
    with pytest.raises(BadRecipe):
        deid.read(text)


_KNOWN = st.sampled_from([tag for tag in tags.known() if tag >> 16 > 4])
_FUNCTIONS = st.sampled_from(["@remove()", "@empty()", "@keep()", "@hashuid(@R,this)", "@process()", "@x()", "c", ""])


@for_all(st.lists(st.tuples(_KNOWN, _FUNCTIONS), max_size=20))
def test_an_imported_script_never_leaves_more_than_basic(rows: list[tuple[int, str]]) -> None:
    """Lost otherwise: an import could weaken the profile that it extends."""
    recipe, _ = script(*(element(f"{tag:08x}", text) for tag, text in rows))
    basic = preset("basic").policy
    for tag, action in recipe.policy.own:
        assert not basic.weakens(action, rules.mandatory(basic, tag).action)
    assert not recipe.policy.allow_weaken
