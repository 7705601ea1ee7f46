"""Compares our SAM transform with AWS's own, the package aws-sam-translator, on every template in `examples`.

    compare.py BINARY [DIRECTORY …]         BINARY is the example `sam_transform` of nilas-deploy
    compare.py BINARY invented COUNT FIRST  compares COUNT templates that are made up, from this seed on

Prints what differs and how many are equal; exits 1 if one differs that `DIFFERENT` does not name, or is equal and named.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ["AWS_DEFAULT_REGION"] = REGION = "us-east-1"

import logging  # noqa: E402
import warnings  # noqa: E402

from invented import Inventor  # noqa: E402
from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

# Examples that are not equal, with the reason.
DIFFERENT = {}


class NoPolicies:
    """Stands for the list of managed policies that the service keeps beyond those in the package."""

    def load(self):
        return {}


def expected(template, parameters):
    try:
        return {"template": transform(template, parameters, NoPolicies())}
    except InvalidDocumentException as error:
        return {"causes": [cause.message for cause in error.causes]}


def without_order(value, key=None):
    """Python's sets come out in any order; so do the lists that are made of them."""
    if isinstance(value, dict):
        return {name: without_order(member, name) for name, member in value.items()}
    if isinstance(value, list):
        items = [without_order(item) for item in value]
        return sorted(items, key=json.dumps) if key in ("DependsOn", "Fn::Or") else items
    return value


def differences(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            if key not in ours:
                yield f"{path}/{key}: missing: {json.dumps(theirs[key])[:300]}"
            elif key not in theirs:
                yield f"{path}/{key}: too much: {json.dumps(ours[key])[:300]}"
            else:
                yield from differences(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{path}/{index}")
    elif ours != theirs:
        yield f"{path}: ours {json.dumps(ours)[:400]}, theirs {json.dumps(theirs)[:400]}"


def read(directories):
    files = sorted(file for directory in directories for file in Path(directory).glob("*.y*ml"))
    return {file.name: json.loads(json.dumps(yaml_parse(file.read_text()), default=str)) for file in files}


def main(binary, *directories):
    if directories[:1] == ("invented",):
        count, first = map(int, directories[1:])
        templates = {f"seed {seed}": Inventor(seed).template() for seed in range(first, first + count)}
    else:
        templates = read(directories or [Path(__file__).parent / "examples"])
    requests, answers, crashes = [], [], 0
    for template in templates.values():
        parameters = template.pop("TestParameters", {})
        requests.append(json.dumps({"template": template, "region": REGION, "parameters": parameters}))
        try:
            answers.append(expected(template, parameters))
        except Exception as error:  # The translator fails on some faulty templates; then anything but a crash will do.
            answers.append({"crash": repr(error)})
    ran = subprocess.run([binary], input="\n".join(requests), capture_output=True, text=True, check=True)
    wrong, equal = [], 0
    for name, line, theirs in zip(templates, ran.stdout.splitlines(), answers, strict=True):
        if "crash" in theirs:
            crashes += 1
            continue
        found = list(differences(without_order(json.loads(line)), without_order(theirs)))
        equal += not found
        if bool(found) != (name in DIFFERENT):
            wrong.append(name)
        if found:
            print(f"== {name}: {DIFFERENT.get(name, 'differs')}", *found[:8], sep="\n   ")
    faulty = sum("causes" in theirs for theirs in answers)
    print(
        f"{equal} of {len(templates)} templates are equal ({faulty} of all are faulty and compared by their messages); "
        f"AWS's translator crashes on {crashes}"
    )
    return f"unexpected: {', '.join(wrong)}" if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
