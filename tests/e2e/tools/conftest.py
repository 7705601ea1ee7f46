"""Unmodified deploy tools against the built binary, each through its whole cycle: deploy, update, invoke, logs, info, remove.

NILAS_TOOLS names the directory they are installed in (`./test.sh` installs the two fastest, `./test.sh tools` all of
them); the tests of a tool that is not there are skipped.
"""

import json
import os
import pathlib
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import running

TOOLS = pathlib.Path(os.environ.get("NILAS_TOOLS", pathlib.Path(__file__).parents[3] / ".tools"))

NODE_HANDLER = """
let count = 0;
exports.hello = async (event) => {
  console.log('a line of the function');
  return { statusCode: 200, headers: { 'content-type': 'application/json' },
           body: JSON.stringify({ answer: 'ANSWER', path: event.path || event.rawPath, count: ++count }) };
};
"""


class Tool:
    """One tool, run in a project's directory against one server."""

    def __init__(self, server, program: pathlib.Path, cwd: pathlib.Path, **environment):
        self.server, self.program, self.cwd = server, program, cwd
        self.environment = {
            **server.environment_variables(),
            "HOME": str(cwd),
            "CI": "true",
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            **environment,
        }

    def run(self, *arguments, check=True, timeout=240, typed="", **kwargs) -> str:
        """What it printed, to stdout and to stderr; `typed` answers its questions."""
        done = subprocess.run(
            [str(self.program), *arguments], cwd=self.cwd, env=self.environment, text=True, timeout=timeout,
            input=typed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.program.name} {' '.join(arguments)} ended {done.returncode}:\n{done.stdout}")
        return done.stdout


def installed(path: str) -> pathlib.Path:
    program = TOOLS / path
    if not program.exists():
        pytest.skip(f"{program.name} is not installed; ./test.sh tools installs it")
    return program


def get(server, url: str) -> dict:
    """GET of a URL that names the server as people and templates do, whatever resolves names here."""
    found = re.match(r"https?://([^/]+)(/.*)?$", url.strip())
    host, path = found.group(1).split(":")[0], found.group(2) or "/"
    request = urllib.request.Request(f"{server.url}{path}", headers={"host": f"{host}:{server.port}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def status_of(server, url: str) -> int:
    try:
        get(server, url)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.fixture(scope="module")
def own_server():
    """Tools make buckets, roles and stacks of fixed names: each has a server of its own."""
    with running("root" if os.geteuid() == 0 else "user") as server:
        yield server
