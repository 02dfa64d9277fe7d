"""No module imports another that imports it, however far around."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp


def test_no_import_circles() -> None:
    graph = grimp.build_graph("privaudit", exclude_type_checking_imports=True, cache_dir=None)
    imports = {
        # A package's own file hands out the names of its modules, which may be loaded on demand.
        module: {one for one in graph.find_modules_directly_imported_by(module) if one != module}
        for module in graph.modules
    }
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        raise AssertionError(f"an import circle: {' -> '.join(error.args[1])}") from None
