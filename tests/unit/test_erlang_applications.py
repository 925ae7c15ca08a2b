"""Which of the folders beside it an Erlang application needs."""

from __future__ import annotations

from pathlib import Path

from deploy.stack.rabbitmq import needed


def _lay_down(plugins: Path, name: str, needs: str) -> None:
    (plugins / f"{name}-1.0" / "ebin").mkdir(parents=True)
    described = f'{{application, {name}, [{{vsn, "1.0"}},\n {{applications, [kernel,\n  {needs}]}}]}}.'
    (plugins / f"{name}-1.0" / "ebin" / f"{name}.app").write_text(described)


def test_what_is_needed_by_something_needed_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Also where two need each other, and where something lies elsewhere or is no application."""
    _lay_down(tmp_path, "rabbit", "ranch, ra")
    _lay_down(tmp_path, "ra", "rabbit, aten")
    _lay_down(tmp_path, "aten", "stdlib")
    _lay_down(tmp_path, "rabbitmq_mqtt", "rabbit")
    (tmp_path / "ranch-2.1" / "ebin").mkdir(parents=True)
    assert ["aten-1.0", "ra-1.0", "rabbit-1.0"] == [path.name for path in needed(tmp_path)]


def test_nothing_is_found_where_it_is_packed_in_another_way(tmp_path: Path) -> None:
    """An archive, or no folder at all: the node is shown everything then."""
    (tmp_path / "rabbit-4.0.ez").write_bytes(b"")
    assert [] == needed(tmp_path)
    assert [] == needed(tmp_path / "nowhere")
