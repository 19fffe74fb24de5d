"""The rights that the doctor looks for are those that the chart gives the steps."""

from tests.contract.chart.conftest import Helm, only

from visionthink.doctor.need import RIGHTS


def test_role_has_every_right_that_the_doctor_asks_for(helm: Helm) -> None:
    rules = only(helm.objects(), "Role", "visionthink-pipeline")["rules"]
    given = {
        (group, resource, verb)
        for rule in rules
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    missing = [str(one) for one in RIGHTS if (one.group, one.resource, one.verb) not in given]
    assert missing == []
