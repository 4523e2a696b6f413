"""What may be chosen of Partner Center: the rules that no page tells, or that pages tell differently.

``README.md`` beside this file has every rule, these and the fixed ones, with its test.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from local import steering
from local.faults import described

type KeyPart = Literal["type", "templateId", "dateAgreed", "partner"]
type Shape = Literal["A", "B", "empty", "text"]
type _Status = Annotated[int, Field(ge=400, le=599)]
type _Seconds = Annotated[float, Field(ge=0)]


class InvalidOptionsError(ValueError):
    """An option does not exist or cannot have that value; the text names it."""


class Options(BaseModel):
    """The choices, each with what is most likely as its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    duplicate_status: _Status = Field(400, description="HTTP status of 600061, the duplicate")
    future_date_status: _Status = Field(400, description="HTTP status of 600002, the date ahead of the clock")
    no_agreement_status: _Status = Field(404, description="HTTP status of 600009, no agreement")
    no_agreement: Literal["empty", "600009"] = Field(
        "empty", description="what a customer without agreements is listed as: an empty envelope or 600009"
    )
    another_contact: Literal["any", "all"] = Field(
        "any", description="how many of the four contact fields must differ for another agreement"
    )
    contact_case: Literal["matters", "ignored"] = Field(
        "matters", description="whether a contact that differs in case alone is another"
    )
    duplicate_key: tuple[KeyPart, ...] = Field(
        ("type",),
        description="what else makes another agreement: any of type, templateId, dateAgreed, partner",
    )
    replay: Literal["refuse", "repeat"] = Field(
        "refuse", description="what a recorded MS-RequestId, sent again, gets: 600061 or the first answer"
    )
    replay_seconds: _Seconds | None = Field(
        None, description="how long an MS-RequestId is remembered; null means for good"
    )
    other_type: Literal["template-wins", "refuse"] = Field(
        "template-wins", description="what a type gets that is not its template's: recorded as that, or 3000"
    )
    read_delay_seconds: _Seconds = Field(0, description="how long after its 201 an agreement is listed")
    retired_status: _Status | None = Field(
        None, description="HTTP status of every POST of an agreement, as if retired; null means it works"
    )
    retired_body: Shape = Field("empty", description="the body of that answer")
    mfa_answer: Literal["A", "B", "2019"] = Field(
        "A", description="how a token without MFA is refused: 900421 in shape A or B, or as in 2019"
    )
    mfa_compliance: Literal["header", "body", "absent"] = Field(
        "header", description="where isMfaCompliant stands for a call with ValidateMfa: true"
    )
    caller: Literal["agent", "other-role", "indirect-reseller"] = Field(
        "agent", description="who the token's user is: an Admin or Sales agent, or somebody who gets 403"
    )
    calls_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, description="calls allowed in the long run, beyond which is 429; null means any number"
    )
    burst: Annotated[float, Field(ge=1)] = Field(10, description="calls allowed at once")
    write_cost: Annotated[float, Field(gt=0)] = Field(1, description="how many calls a POST counts for")
    budget: Literal["partner", "customer"] = Field(
        "partner", description="whether all calls share one budget, or each customer has its own"
    )
    refused_calls: Literal["count", "free"] = Field(
        "count", description="whether a throttled call takes from the budget too"
    )
    retry_after_seconds: Annotated[int, Field(ge=0)] | None = Field(
        None, description="the Retry-After of 429; null means the time until the budget allows a call"
    )


class Choice:
    """The options in force."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()


def changed(options: Options, document: object) -> Options:
    """Return options with other values for some.

    Raises:
        InvalidOptionsError: The document is no object, or one of its options or values does not exist.
    """
    if not isinstance(document, dict):
        raise InvalidOptionsError("not a JSON object")
    try:
        return Options.model_validate({**options.model_dump(by_alias=True), **document})
    except ValidationError as error:
        raise InvalidOptionsError(described(error)) from None


def read(settings: Iterable[str]) -> Options:
    """Read ``NAME=VALUE``, the value as JSON or, where it is none, as text.

    Raises:
        InvalidOptionsError: One of them is not of this form, or does not exist.
    """
    return changed(Options(), dict(map(_setting, settings)))


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidOptionsError(f"{text}: not NAME=VALUE")
    try:
        found: object = json.loads(value)
    except ValueError:
        found = value
    # 600009 is a choice by its code.
    return name, value if isinstance(found, int) and _is_text(name) else found


def _is_text(name: str) -> bool:
    field = next((one for one in Options.model_fields.values() if one.alias == name), None)
    return field is not None and isinstance(field.default, str)


def help_lines() -> Iterator[str]:
    """Yield a line for each option, for people."""
    for field in Options.model_fields.values():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        shown = default if isinstance(default, str) else json.dumps(default)
        yield f"  {field.alias:<20} {field.description} ({shown})"


def routes(choice: Choice) -> list[web.RouteDef]:
    """Build the control routes by which options are looked at and changed."""

    async def get_options(_: web.Request) -> web.Response:
        return web.json_response(choice.options.model_dump(by_alias=True))

    async def patch_options(request: web.Request) -> web.Response:
        try:
            choice.options = changed(choice.options, json.loads(await request.read()))
        except InvalidOptionsError as error:
            return web.json_response({"error": str(error)}, status=400)
        except ValueError:
            return web.json_response({"error": "not a JSON object"}, status=400)
        return await get_options(request)

    return [
        web.get(f"{steering.CONTROL}options", get_options),
        web.patch(f"{steering.CONTROL}options", patch_options),
    ]
