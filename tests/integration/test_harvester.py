"""The harvester and a PACS that does as it is told: what it may say of each of its ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fix_harvest import Harvests, harvests
from fix_pacs import Study
from fix_peers import free_port
from fix_scripted import Scripted

from farm.errors import Reason

__all__ = ["harvests"]
pytestmark = pytest.mark.servers
ONE = Study(number=1, accession="A1", patient="P1", sizes=(3, 2))
TWO = Study(number=2, accession="A2", patient="P1", date="20200301")
THREE = Study(number=3, accession="DOUBLE", patient="P2")
FOUR = Study(number=4, accession="DOUBLE", patient="P2", date="20210101")
WHOLE = [f"1,{ONE.uid},"]
ROWS = ("complete", "5", "5")


def moving(harvests: Harvests, pacs: Scripted, **facts: object) -> object:
    """Describe a PACS that moves to us."""
    port = free_port()
    pacs.destinations["FARMMOVE"] = port
    return harvests.pacs(pacs.port, retrieve="move", move_destination="FARMMOVE", move_port=port, **facts)


@pytest.mark.parametrize("how", ["get", "move"])
def test_every_row_gets_the_verdict_that_is_true(harvests: Harvests, how: str) -> None:
    """If it fails, people are told something else than what the PACS has and the farm got."""
    rows = [
        f"1,{ONE.uid},,,",
        "2,1.2.3.4,,,",
        f"3,{ONE.uid},,,",
        "4,,A1,,",
        "5,,DOUBLE,,",
        "6,,,P1,2020-02-01",
        "7,,,,",
    ]
    rows += ["8,,NONE,,", "9,x.y,,,", "10,,,P2,"]
    with Scripted(studies=[ONE, TWO, THREE, FOUR]).running() as pacs:
        described = moving(harvests, pacs) if how == "move" else harvests.pacs(pacs.port, retrieve="get")
        said = harvests(described, rows, header="n,study_instance_uid,accession_number,patient_id,from")
    assert said.complete
    assert said.error is None
    assert said.verdicts() == {
        "1": "complete",
        "2": "not-found",
        "3": "complete",
        "4": "complete",
        "5": "ambiguous",
        "6": "complete",
        "7": "bad-row",
        "8": "not-found",
        "9": "bad-row",
        "10": "complete",
    }
    assert set(pacs.sent.values()) == {1}
    assert said.arrivals == said.came == sum(pacs.sent.values()) == 20
    assert (said.rows["10"].expected, said.rows["4"].expected) == (10, 5)


@pytest.mark.parametrize("how", ["get", "move"])
def test_a_success_without_data_is_short_and_names_what_is_missing(harvests: Harvests, how: str) -> None:
    """If it fails, a PACS that drops instances and says success has them lost for good."""
    with Scripted(studies=[ONE], hides={ONE.instances[1], ONE.instances[4]}).running() as pacs:
        described = moving(harvests, pacs) if how == "move" else harvests.pacs(pacs.port, retrieve="get")
        said = harvests(described, WHOLE)
        assert said.verdicts() == {"1": "short by 2"}
        assert set(said.rows["1"].missing) == pacs.hides
        assert said.arrivals == 3
        pacs.hides.clear()
        pacs.sent.clear()
        again = harvests(described, WHOLE, retry=True)
    assert again.verdicts() == {"1": "complete"}
    assert dict(pacs.sent) == {ONE.instances[1]: 1, ONE.instances[4]: 1}
    assert again.came == 2


def test_data_that_comes_after_the_success_is_waited_for(harvests: Harvests) -> None:
    """If it fails, a PACS that answers a C-MOVE at once makes every study short."""
    with Scripted(studies=[ONE], late=1.0).running() as pacs:
        said = harvests(moving(harvests, pacs, settle_s=5.0), WHOLE)
    assert said.verdicts() == {"1": "complete"}
    assert set(pacs.sent.values()) == {1}


def test_a_study_that_grows_meanwhile_is_complete_with_what_it_grew_by(harvests: Harvests) -> None:
    """If it fails, a study of today is called complete without its last instances."""
    pacs = Scripted(studies=[ONE], unlisted={ONE.instances[0]})
    pacs.before_retrieval = lambda _: pacs.unlisted.clear()
    with pacs.running():
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), WHOLE)
    assert said.verdicts() == {"1": "complete"}
    assert (said.rows["1"].expected, said.arrivals) == (5, 5)


def test_a_study_that_grows_for_ever_is_not_complete(harvests: Harvests) -> None:
    """If it fails, what the PACS listed last was never fetched and the study is complete all the same."""
    pacs = Scripted(studies=[ONE], unlisted=set(ONE.instances[1:]))
    pacs.before_retrieval = lambda _: pacs.hides.update(pacs.unlisted) or pacs.unlisted.clear()
    with pacs.running():
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), WHOLE)
    assert said.verdicts()["1"] in {"short by 4", "changed"}
    assert set(said.rows["1"].missing) == set(ONE.instances[1:])


def test_what_is_offline_is_said_to_be(harvests: Harvests) -> None:
    """If it fails, people look for an error where a tape has to be mounted."""
    pacs = Scripted(studies=[ONE], availability="OFFLINE", hides=set(ONE.instances))
    with pacs.running():
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), WHOLE)
    assert said.verdicts() == {"1": "offline"}
    assert said.arrivals == 0


def test_a_pacs_that_cannot_list_leaves_its_studies_unverified(harvests: Harvests) -> None:
    """If it fails, a study of which nobody knows the instances is called complete, or is not fetched."""
    pacs = Scripted(studies=[ONE], refuses=lambda asked: asked.QueryRetrieveLevel == "IMAGE")
    with pacs.running():
        for described in (harvests.pacs(pacs.port, retrieve="get"), moving(harvests, pacs)):
            said = harvests(described, WHOLE, retry=True)
            assert said.verdicts() == {"1": "unverified"}
            assert said.arrivals == ONE.count


def test_a_row_and_a_retrieval_that_are_refused_are_said_to_be(harvests: Harvests) -> None:
    """If it fails, a PACS that does not want to is taken for one that has nothing."""
    pacs = Scripted(studies=[ONE], refuses=lambda asked: bool(asked.get("AccessionNumber")))
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="move", move_destination="NOBODY")
        said = harvests(described, [*WHOLE, "2,,A1"])
    assert said.verdicts() == {"1": "refused", "2": "refused"}
    assert set(said.rows["1"].missing) == set(ONE.instances)


def test_a_pacs_that_does_not_take_c_get_is_asked_by_c_move(harvests: Harvests) -> None:
    """If it fails, `auto` gets nothing from a PACS without C-GET."""
    with Scripted(studies=[ONE, TWO]).running(gets=False) as pacs:
        described = replace(moving(harvests, pacs), retrieve="auto")
        said = harvests(described, [*WHOLE, f"2,{TWO.uid},"])
    assert said.verdicts() == {"1": "complete", "2": "complete"}


def test_a_pacs_that_ignores_a_key_does_not_give_everything(harvests: Harvests) -> None:
    """If it fails, the one study of a PACS that passes over accession numbers is fetched for anybody's."""
    pacs = Scripted(studies=[ONE])
    pacs._matching = lambda _: pacs.studies  # type: ignore[method-assign]
    with pacs.running():
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), ["1,,OTHER", f"2,{TWO.uid},"])
    assert said.verdicts() == {"1": "not-found", "2": "not-found"}
    assert said.arrivals == 0


def test_a_pacs_that_is_away_costs_no_attempt(harvests: Harvests) -> None:
    """If it fails, an hour without the PACS turns a whole list into refusals."""
    pacs = Scripted(studies=[ONE])
    described = harvests.pacs(pacs.port, retrieve="get")
    said = harvests(described, WHOLE)
    assert said.error is not None
    assert said.error.reason is Reason.PEER_AWAY
    assert said.verdicts() == {"1": "pending"}
    with pacs.running():
        again = harvests(described, WHOLE)
    assert again.verdicts() == {"1": "complete"}
