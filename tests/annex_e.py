"""The demands of PS3.15 annex E, clause by clause, and what holds the farm to each.

A clause is a sentence that says "shall", told in short; `tests` are the node ids (below `tests/`) that hold it, and
`why_not` says why no program holds it, or why the farm does not make what it speaks of. `tests/unit/test_annex_e.py`
sees to it that the tests exist and that every "shall" of the annex is counted here.
"""

from __future__ import annotations

from dataclasses import dataclass

_HERE = "unit/test_annex_e.py::"
_STATEMENT = "unit/test_recipe_statement.py::"
_NO_ENCRYPTION = (
    "If used: no Encrypted Attributes Data Set is made. The way back is in the registry, sealed; an output that "
    "carries the originals in itself could be opened by whoever gets the key, years later."
)
_NO_REIDENTIFIER = "The farm does not claim to be a re-identifier: it makes no Encrypted Attributes to open."
_NO_PIXELS = "The option is not offered: its name is refused, its code never claimed, its attribute never set."


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One sentence of the annex: its section, how often it says "shall", its sense, and what holds it."""

    section: str
    says: str
    shalls: int = 1
    tests: tuple[str, ...] = ()
    why_not: str = ""


CLAUSES = (
    Clause(
        section="E.1.1",
        says="what is protected is removed, or replaced by a value that tells nobody",
        tests=(
            _HERE + "test_a_protected_value_is_removed_or_replaced_at_every_level",
            "unit/test_resolve.py::test_no_action_breaks_the_iod_nor_does_less_than_the_code",
            "unit/test_dummies.py::test_every_dummy_of_the_table_is_valid",
            "unit/test_canaries_many.py::test_no_canary_survives_that_the_preset_covers",
        ),
    ),
    Clause(
        section="E.1.1",
        says="what is to be retained is retained",
        tests=(
            _HERE + "test_what_an_option_retains_stays_to_the_byte",
            _HERE + "test_a_retained_sequence_keeps_its_items_by_the_profile",
            "unit/test_splice_process.py::test_output_equals_the_oracles",
            "unit/test_corpus.py::test_kept_elements_are_byte_identical_to_the_sources",
        ),
    ),
    Clause(
        section="E.1.1",
        says="how Encrypted Attributes Data Sets are encoded and stored, and with which ciphers",
        shalls=3,
        why_not=_NO_ENCRYPTION,
    ),
    Clause(
        section="E.1.1",
        says="the SOP Instance UID and all references to instances are protected, at any level",
        tests=(
            _HERE + "test_the_instance_and_every_reference_to_one_gets_another_uid",
            _HERE + "test_no_safe_private_value_leads_back_to_the_original",
            "unit/test_references.py::test_the_graph_of_uids_is_the_same_under_the_mapping",
        ),
    ),
    Clause(
        section="E.1.1",
        says="Patient Identity Removed is YES; the method is told by codes of CID 7050, by a text, or by both",
        shalls=3,
        tests=(_HERE + "test_the_markers_say_yes_and_name_profile_and_options",),
    ),
    Clause(
        section="E.1.1",
        says="File Meta Information and preamble are replaced by the de-identifier's own",
        tests=(
            _HERE + "test_the_file_meta_information_and_the_preamble_are_the_farms",
            "unit/test_part10.py::test_the_new_header_carries_nothing_of_the_old",
            "unit/test_part10.py::test_the_header_names_the_new_instance",
        ),
    ),
    Clause(
        section="E.1.1",
        says="likewise for what is sent as DICOM Real-Time Video",
        why_not="The farm neither reads nor sends DICOM Real-Time Video; its outputs are files.",
    ),
    Clause(
        section="E.1.1",
        says="group 0004 is removed from all but a DICOMDIR",
        tests=(_HERE + "test_group_0004_goes_at_every_level",),
    ),
    Clause(
        section="E.1.1",
        says="a DICOMDIR that is needed is made anew or de-identified, and the old one leaves the File-set",
        shalls=3,
        tests=(_HERE + "test_a_dicomdir_is_never_passed_on",),
        why_not="No DICOMDIR is required of the farm, so none is made; an output is never one.",
    ),
    Clause(
        section="E.1.1",
        says="every instance of the table's attributes is protected or retained, at top level and in items",
        tests=(
            _HERE + "test_a_protected_value_is_removed_or_replaced_at_every_level",
            _HERE + "test_full_dates_and_retained_uids_reach_every_level",
            "unit/test_tables.py::test_the_tables_are_the_standards",
            "unit/test_tables.py::test_every_table_has_all_its_rows",
        ),
    ),
    Clause(section="E.1.2", says="how a re-identifier decrypts", shalls=2, why_not=_NO_REIDENTIFIER),
    Clause(section="E.1.2", says="how it puts the attributes back", why_not=_NO_REIDENTIFIER),
    Clause(section="E.1.2", says="how it takes the markers back", shalls=2, why_not=_NO_REIDENTIFIER),
    Clause(
        section="E.1.3",
        says="the Conformance Statement describes eight things",
        tests=(
            _STATEMENT + "test_every_item_and_every_row_stand_in_it",
            _STATEMENT + "test_the_options_are_those_of_the_recipe",
        ),
    ),
    Clause(
        section="E.2",
        says="Longitudinal Temporal Information Modified is REMOVED where no option retains dates",
        tests=(_HERE + "test_what_became_of_dates_is_marked_in_place_of_what_was_said",),
    ),
    Clause(
        section="E.3.1",
        says="burned-in information is removed, and Burned In Annotation is NO",
        shalls=2,
        tests=(_HERE + "test_an_option_that_is_not_offered_is_refused_and_never_claimed",),
        why_not=_NO_PIXELS,
    ),
    Clause(
        section="E.3.2",
        says="a face is removed or distorted, and Recognizable Visual Features is NO",
        shalls=2,
        tests=(_HERE + "test_an_option_that_is_not_offered_is_refused_and_never_claimed",),
        why_not=_NO_PIXELS,
    ),
    Clause(
        section="E.3.3",
        says="graphics, text annotations and overlays hold nothing that the profile removes",
        tests=(_HERE + "test_graphics_are_clean_of_text_that_identifies",),
    ),
    Clause(
        section="E.3.4",
        says="content items hold nothing that the profile removes, wherever they stand",
        tests=(
            _HERE + "test_structured_content_is_clean_wherever_it_stands",
            "unit/test_content.py::test_every_row_of_the_standard_is_answered_as_it_says",
        ),
    ),
    Clause(
        section="E.3.5",
        says="text and strings hold nothing that the profile removes",
        tests=(
            _HERE + "test_descriptors_lose_what_identifies_and_keep_what_describes",
            "unit/test_text_laws.py::test_no_token_is_outside_the_vocabulary_and_the_number_rule",
            "unit/test_text_laws.py::test_no_identifying_value_survives_in_any_case",
        ),
    ),
    Clause(
        section="E.3.5",
        says="the Conformance Statement tells how text is cleaned",
        tests=(_STATEMENT + "test_every_item_and_every_row_stand_in_it",),
    ),
    Clause(
        section="E.3.6",
        says="full dates: dates and times stay, and the marker is UNMODIFIED",
        shalls=2,
        tests=(
            _HERE + "test_what_an_option_retains_stays_to_the_byte",
            _HERE + "test_full_dates_and_retained_uids_reach_every_level",
            _HERE + "test_what_became_of_dates_is_marked_in_place_of_what_was_said",
        ),
    ),
    Clause(
        section="E.3.6",
        says="modified dates: all are modified, so that intervals stay and nobody is found by a date",
        shalls=2,
        tests=(
            _HERE + "test_modified_dates_are_all_modified",
            "unit/test_intervals.py::test_every_interval_of_a_subject_stays",
            "unit/test_intervals.py::test_the_uptake_values_of_pet_stay",
        ),
    ),
    Clause(
        section="E.3.6",
        says="the marker is MODIFIED",
        tests=(_HERE + "test_what_became_of_dates_is_marked_in_place_of_what_was_said",),
    ),
    Clause(
        section="E.3.6",
        says="the Conformance Statement tells how dates are modified",
        tests=(
            _STATEMENT + "test_every_strategy_is_described",
            _STATEMENT + "test_dates_are_told_as_they_are_marked",
        ),
    ),
    Clause(
        section="E.3.7",
        says="age, sex, height, weight and other characteristics stay as the table says",
        tests=(
            _HERE + "test_what_an_option_retains_stays_to_the_byte",
            _HERE + "test_what_an_option_cleans_has_no_name_left",
        ),
    ),
    Clause(
        section="E.3.7",
        says="the Conformance Statement tells how retained attributes are cleaned",
        tests=(_STATEMENT + "test_every_item_and_every_row_stand_in_it",),
    ),
    Clause(
        section="E.3.8",
        says="the device's identity stays as the table says",
        tests=(
            _HERE + "test_what_an_option_retains_stays_to_the_byte",
            _HERE + "test_what_an_option_cleans_has_no_name_left",
        ),
    ),
    Clause(
        section="E.3.9",
        says="UIDs stay as the table says",
        tests=(
            _HERE + "test_what_an_option_retains_stays_to_the_byte",
            _HERE + "test_full_dates_and_retained_uids_reach_every_level",
            _HERE + "test_where_uids_are_retained_all_references_are",
        ),
    ),
    Clause(
        section="E.3.10",
        says="private attributes known to be safe stay with their creators, all others go",
        shalls=2,
        tests=(
            _HERE + "test_private_attributes_stay_where_they_are_known_to_be_safe_and_asked_for",
            _HERE + "test_an_instance_says_which_of_its_private_attributes_are_safe",
        ),
    ),
    Clause(
        section="E.3.10",
        says="without the option all private attributes go",
        tests=(_HERE + "test_private_attributes_stay_where_they_are_known_to_be_safe_and_asked_for",),
    ),
    Clause(
        section="E.3.10",
        says="a private sequence is parsed, and each attribute in it handled on its own merits",
        tests=(_HERE + "test_a_private_sequence_is_parsed_and_each_attribute_judged",),
    ),
    Clause(
        section="E.3.10",
        says="the Conformance Statement lists the safe private attributes",
        tests=(_STATEMENT + "test_safe_private_attributes_are_listed_only_where_they_stay",),
    ),
    Clause(
        section="E.3.11",
        says="the institution's identity stays as the table says",
        tests=(_HERE + "test_what_an_option_retains_stays_to_the_byte",),
    ),
)
