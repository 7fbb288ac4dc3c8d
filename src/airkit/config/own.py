"""Settings of classes from outside airkit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, model_validator

from airkit.config.sections import Section, as_tuple

Plain = bool | int | float | str


class OwnConfig(Section):
    """Settings of your own classes, by any names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Plain | tuple[Plain, ...], BeforeValidator(as_tuple)]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.__pydantic_extra__:
            if not name.isidentifier() or hasattr(Section, name):
                raise ValueError(f"config.own.{name} cannot be read; use another name")
        return self
