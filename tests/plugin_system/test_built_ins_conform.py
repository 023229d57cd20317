"""Every component that comes with ganflow keeps the contract: ganflow.testing over the catalogue."""

from contextlib import nullcontext

import pytest
from built_ins import CATALOGUE, COMPONENTS, DATA, MATCHED, PARTNERS, VALUES, made, write_files

from ganflow.testing import RunsEagerly, check_component

MORE = {
    "critic dcgan": [{"width": 4, "classifier": "label"}, {"width": 4, "conditioning": "concat"}],
    "generator dcgan": [{"width": 4, "conditioning": "concat"}],
    "data captioned_folder": [{"path": "captioned", "size": 16, "encoder": MATCHED}],
}
"""Further values, in which another part of the component is at work."""
ELSEWHERE = {"sentence_transformer": "needs a model and a package that is an extra: tests/plugins/text/test_encoders.py",
             "wandb": "needs a package that is an extra: tests/runs/test_wandb.py",
             "hub": "needs a package that is an extra: tests/plugins/test_hub.py"}  # fmt: skip
EAGER = {"generator stackgan_stage2": "the generator's optimizer is not one that a trace can follow"}  # a part of it is frozen


def cases():
    for component in COMPONENTS:
        key = f"{component.role} {component.name}"
        marks = [pytest.mark.skip(reason=ELSEWHERE[component.name])] if component.name in ELSEWHERE else []
        yield pytest.param(component, VALUES.get(key, {}), id=key, marks=marks)
        for values in MORE.get(key, []):
            yield pytest.param(component, values, id=f"{key} with {list(values)[-1]}", marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    write_files(root)
    return root


@pytest.mark.parametrize(("component", "values"), list(cases()))
def test_it_keeps_the_contract(component, values, files, monkeypatch):
    monkeypatch.chdir(files)
    key = f"{component.role} {component.name}"
    partners = {role: (CATALOGUE.find(role, name), theirs) for role, (name, theirs) in PARTNERS.get(key, {}).items()}
    data = made("data", DATA[key][0], **DATA[key][1]).data() if key in DATA else None
    with pytest.warns(RunsEagerly, match=EAGER[key]) if key in EAGER else nullcontext():
        check_component(component, data, partners, **values)


def test_the_tables_name_components_that_there_are():
    there = {f"{component.role} {component.name}" for component in COMPONENTS}
    assert {*VALUES, *PARTNERS, *DATA, *MORE, *EAGER} <= there
