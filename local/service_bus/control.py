"""The door by which faults are asked for: http on this machine, beside the AMQP port."""

from aiohttp import web

from local.faults import InvalidRulesError, read
from local.service_bus.faults import BrokerFaults, BrokerRule


def application(faults: BrokerFaults) -> web.Application:
    """Build the application: ``PUT`` and ``DELETE`` of ``/_control/faults``."""

    async def put_faults(request: web.Request) -> web.Response:
        try:
            faults.replace(read(await request.read(), BrokerRule))
        except InvalidRulesError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(status=204)

    async def delete_faults(_: web.Request) -> web.Response:
        faults.replace([])
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.put("/_control/faults", put_faults), web.delete("/_control/faults", delete_faults)])
    return app
