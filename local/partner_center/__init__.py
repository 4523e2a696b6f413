"""Partner Center on one machine: the agreements API, and everything by which an app signs in to it.

``README.md`` beside this file has the rules that it obeys, fixed and chosen, and the test of each.

How the files fit, lowest first::

    options        what may be chosen: the rules that no page tells
    refusals       how it says no
    answers        how it writes an answer
    stamps         the ids of a call, and what stands on every answer
    recent         the last calls
    throttle       how many calls are let through
    admission      who may call
    ledger         what is kept and what is refused, without HTTP or a clock
    confirmations  metadata, confirm, list, direct acceptance
    documents      the document of a template, by country and language
    compliance     whether a partner signed
    page           the page for a person
    api            all of it as a web application
    serving        that, and Entra, the vault and the managed identity beside it
"""

from local.partner_center.serving import serve

__all__ = ["serve"]
