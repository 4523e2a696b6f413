"""A stand-in for the Azure Functions host: runs an app's Service Bus triggers and timers on one machine.

The app runs inside Microsoft's own Python worker library, with its decoder and its thread pool, in a process
of its own, and sees of a message what the real host shows of it. Beneath is the real Service Bus SDK::

    from local.functions_host.host import serve

How the files fit, lowest first::

    errors          what ends a start
    protocol        what host and worker say to each other
    library         Microsoft's library, driven without gRPC   } the worker: a process
    worker          the library as a program                   }
    worker_process  the worker as the host sees it: started, given calls, replaced
    invoking        one call, which ends the worker when it runs over functionTimeout
    host_json       the settings that this host obeys
    triggers        a function's bindings and the app's settings
    messages        a message as the host hands it over
    traces          the trace of a call
    listener        receive, call, settle: one for each queue trigger
    timers          the timer triggers
    admin           the address at which a timer is called on demand
    logs            who says what where
    host            all of it, from start to drain
"""
