"""The host's own address, by which a timer's function is called without waiting for its time."""

from collections.abc import Mapping

from aiohttp import web

from local.functions_host.timers import Timer


def application(timers: Mapping[str, Timer]) -> web.Application:
    """Build the application: ``POST /admin/functions/NAME``, as the real host has it, for timers."""

    async def post(request: web.Request) -> web.Response:
        timer = timers.get(request.match_info["name"])
        if timer is None:
            known = ", ".join(timers) or "none"
            return web.json_response({"error": f"no such timer here; there are: {known}"}, status=404)
        timer.call_now()
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/admin/functions/{name}", post)
    return app
