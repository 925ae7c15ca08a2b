"""What pyproject.toml can't say: that the hot path of a verification is compiled. The package is whole without it."""

from pathlib import Path
from zlib import crc32

from setuptools import Extension, setup

SOURCE = "audit/_fast_path.pyx"
checksum = crc32((Path(__file__).parent / SOURCE).read_bytes())  # a build knows its source
fast_path = Extension(
    "audit._fast_path", [SOURCE], libraries=["crypto"], define_macros=[("SOURCE_CHECKSUM", f"{checksum}UL")], optional=True
)

# by times alone an older build would be taken for that of a source which was unpacked with its own time
setup(ext_modules=[fast_path], options={"build_ext": {"force": True}})
