"""Who is compared: the farm with each of its presets, and other tools with their defaults."""

from __future__ import annotations

from dataclasses import dataclass

from farm.recipe.recipe import presets
from tests.bench.contenders import Contender

_OF_THE_FARM = ("basic", "research", "strict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool and the command that its defaults stand for; it runs in process where it is a Python package."""

    contender: Contender
    command: str


def tools() -> list[Tool]:
    """Return all tools, the farm's presets first."""
    farm = [
        Tool(
            contender=Contender(name="farm", title=f"farm, `{name}`", arguments=(name,)),
            command=f"farm deid --recipe {name} SRC DST",
        )
        for name in _OF_THE_FARM
        if name in presets()
    ]
    return farm + list(_PEERS)


_PEERS = (
    Tool(
        contender=Contender(name="orthanc", title="Orthanc", program="Orthanc", package="orthanc"),
        command="POST /instances/{id}/anonymize {}",
    ),
    Tool(
        contender=Contender(name="deid", title="pydicom/deid 0.4.13", requirement="deid==0.4.13"),
        command="deid -o DST identifiers --action all --input SRC",
    ),
    Tool(
        contender=Contender(name="dcmanon", title="dcmanon 0.3.1", requirement="dcmanon==0.3.1"),
        command="dcmanon.Anonymizer().anonymize(path)",
    ),
    Tool(
        contender=Contender(
            name="dicom-anonymizer", title="dicom-anonymizer 2.1.0", requirement="dicom_anonymizer==2.1.0"
        ),
        command="dicom-anonymizer SRC DST",
    ),
    Tool(
        contender=Contender(name="dicognito", title="dicognito 0.19.0", requirement="dicognito==0.19.0"),
        command="dicognito --output-directory DST SRC",
    ),
    Tool(
        contender=Contender(name="dcm-anonymizer", title="dcm-anonymizer 0.5.0", requirement="dcm-anonymizer==0.5.0"),
        command="dcm-anon SRC DST",
    ),
    Tool(
        contender=Contender(name="gdcmanon", title="gdcmanon", program="gdcmanon", needs_certificate=True),
        command="gdcmanon --de-identify --certificate PEM -i SRC -o DST",
    ),
)
