"""What pyproject.toml can't say: that the hot path of a verification is compiled. The package is whole without it."""

from setuptools import Extension, setup

fast_path = Extension("audit._fast_path", ["audit/_fast_path.pyx"], libraries=["crypto"], optional=True)

setup(ext_modules=[fast_path])
