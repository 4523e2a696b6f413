"""The triggers; each hands over what came and does nothing else.

Binary, because with the string binding a JSON body overwrites the broker's metadata. Settings are read at
import: with one missing, no function starts and the messages wait.
"""

import azure.functions as func

from agreements import settings, wiring

app = func.FunctionApp()
given = settings.read(settings.FunctionAppSettings)
consumers = wiring.consumers(given)
renewal = wiring.renewal(given)


@app.service_bus_queue_trigger(
    arg_name="message",
    connection="ServiceBus",
    queue_name="%ACCEPTANCES_QUEUE%",
    data_type=func.DataType.BINARY,
)
def confirm_acceptance(message: func.ServiceBusMessage, context: func.Context) -> None:
    """Confirm an acceptance as it arrives from a publisher."""
    consumers.acceptances(message, context.trace_context)


@app.service_bus_queue_trigger(
    arg_name="message",
    connection="ServiceBus",
    queue_name="%RETRIES_QUEUE%",
    data_type=func.DataType.BINARY,
)
def retry_acceptance(message: func.ServiceBusMessage, context: func.Context) -> None:
    """Confirm an acceptance whose time to be tried again has come."""
    consumers.retries(message, context.trace_context)


@app.timer_trigger(arg_name="timer", schedule="0 17 3 * * *")
def renew_refresh_token(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the host hands it over by name
    """Renew the refresh token once a day, long before it dies of disuse."""
    renewal()
