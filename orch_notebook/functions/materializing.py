"""``@materialize``: a task that makes assets.

In: the keys of what it makes, and the options of any task.  Out: a task like others, of which the store also keeps what
it made, from what, and what it said of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from orch_notebook.errors import UsageError
from orch_notebook.functions.assets import Asset
from orch_notebook.functions.options import MaterializeOptions, make
from orch_notebook.functions.tasks import FunctionTask

__all__ = ["materialize"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def materialize(function: Callable[P, R], /) -> FunctionTask[P, R]: ...
@overload
def materialize(
    *assets: str | Asset, by: str | None = None, **options: Any
) -> Callable[[Callable[P, R]], FunctionTask[P, R]]: ...
def materialize(*given: Any, by: str | None = None, **options: Any) -> Any:
    """Make a function a task that makes assets: ``@materialize("s3://lake/rows.csv")``.

    That the task run ended well or badly is recorded for each of them, with what they were made from: the assets that
    the tasks before it have made, and those that `asset_deps` names.

    Parameters
    ----------
    *assets : str or Asset
        What it makes, by key.
    by : str, optional
        The tool that does the work, such as ``dbt``.
    **options
        Those of ``@task``.

    Raises
    ------
    UsageError
        A key names no asset, or an option makes no sense.

    Examples
    --------
    >>> @materialize("file:///tmp/rows.csv", asset_deps=["postgres://db/rows"])
    ... def rows():
    ...     return 3
    >>> rows.assets
    (Asset(key='file:///tmp/rows.csv'),)
    """
    is_bare = len(given) == 1 and (callable(given[0]) or isinstance(given[0], classmethod))
    assets = () if is_bare else given
    for each in assets:
        if not isinstance(each, str | Asset):
            raise UsageError(f"@materialize takes the keys of assets, or assets, not {each!r}.")
    made = make(MaterializeOptions, {**options, "assets": assets, "materialized_by": by})
    if is_bare:
        return FunctionTask(given[0], made)
    return lambda function: FunctionTask(function, made)
