"""What can go wrong, named by who must act.

    AgreementsError
    ├── SettingsError         whoever deploys: settings are missing or wrong
    ├── DeploymentError       whoever deploys: something around the app is not as it needs it
    ├── ConsentError          whoever consents: the token that came of it would be of no use
    ├── EventError            the publisher: the event cannot be confirmed as it is
    ├── TokenError            whoever runs the app: no token for Partner Center
    ├── TopicError            whoever runs the app: nobody could be told of an outcome
    ├── OversizeError         operations: with our properties the copy does not fit into a message
    ├── BusyError             wait: Service Bus takes no message just now
    └── PartnerCenterError    the call did not end in an agreement
        ├── GateClosedError   we did not ask: the service wants to be left alone, or the app is refused
        ├── AnswerError       it answered, and the answer was no
        │   └── TemplateError     … to a template that it has replaced meanwhile
        └── NoAnswerError     it gave no answer that can be used

No message and no attribute holds a value of an event: names, addresses and bodies stay out of logs.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Self


@unique
class Actor(StrEnum):
    """Who must act before an event can end."""

    NOBODY = "nobody"
    PUBLISHER = "publisher"
    CRM_OWNER = "CRM owner"
    OPERATIONS = "operations"
    APP_OWNER = "whoever runs the app"


@unique
class Reason(StrEnum):
    """Why an event was not confirmed at once: a closed list; each has who acts and a sentence of advice."""

    actor: Actor
    advice: str

    def __new__(cls, value: str, actor: Actor, advice: str) -> Self:
        """Make a member that is its value and carries its advice."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.actor = actor
        member.advice = advice
        return member

    NOT_JSON = "NotJson", Actor.PUBLISHER, "Send the event as one JSON object in UTF-8."
    NOT_AN_OBJECT = "NotAnObject", Actor.PUBLISHER, "Send exactly one event, as a JSON object."
    EMPTY = "Empty", Actor.PUBLISHER, "Send the event as the message's body."
    XML = "Xml", Actor.PUBLISHER, "Send JSON: XML, text or binary, is not read."
    SEVERAL_EVENTS = "SeveralEvents", Actor.PUBLISHER, "Send one message for each event."
    CLOUD_EVENT_INVALID = (
        "CloudEventInvalid",
        Actor.PUBLISHER,
        "Send the event plainly, or in a CloudEvents 1.0 envelope as its specification has it.",
    )
    DATAVERSE_CONTEXT = (
        "DataverseContext",
        Actor.PUBLISHER,
        "Map the fields in a flow or plug-in: Dataverse's execution context is not an event.",
    )
    FIELD_TWICE = (
        "FieldTwice",
        Actor.PUBLISHER,
        "Send each field once: nobody can know which of two values is meant.",
    )
    FIELD_MISSING = "FieldMissing", Actor.PUBLISHER, "Add the field that is named and send the event again."
    FIELD_INVALID = (
        "FieldInvalid",
        Actor.PUBLISHER,
        "Correct the field that is named and send the event again.",
    )
    DATE_IN_FUTURE = (
        "DateInFuture",
        Actor.PUBLISHER,
        "Correct dateAgreed: a customer cannot have agreed later than now.",
    )
    SUPERSEDED = (
        "Superseded",
        Actor.OPERATIONS,
        "Nothing to confirm: a later acceptance of this customer is on record already.",
    )
    REFUSED = (
        "Refused",
        Actor.OPERATIONS,
        "Look up the error code, mend the event's data and replay it.",
    )
    NO_RELATIONSHIP = (
        "NoRelationship",
        Actor.OPERATIONS,
        "Establish the reseller relationship with the customer in Partner Center, then replay.",
    )
    CUSTOMER_UNKNOWN = (
        "CustomerUnknown",
        Actor.OPERATIONS,
        "Check customerTenantId against the customer's Microsoft ID in Partner Center.",
    )
    CUSTOMER_UNDER_REVIEW = (
        "CustomerUnderReview",
        Actor.OPERATIONS,
        "Wait until Microsoft has vetted the customer's account, then replay.",
    )
    OTHER_TYPE_RECORDED = (
        "OtherTypeRecorded",
        Actor.OPERATIONS,
        "Microsoft recorded it as another type of agreement: check the template, then confirm anew.",
    )
    COPY_TOO_LARGE = (
        "CopyTooLarge",
        Actor.OPERATIONS,
        "Too large to come back as a retry: shrink its properties or its body and send it again.",
    )
    RETRIES_EXHAUSTED = (
        "RetriesExhausted",
        Actor.OPERATIONS,
        "Find out from the last error why it never went through, mend that, then replay.",
    )

    ALREADY_RECORDED = (
        "AlreadyRecorded",
        Actor.NOBODY,
        "No action is needed: the same acceptance is on record.",
    )
    OTHER_RECORDED = (
        "OtherRecorded",
        Actor.CRM_OWNER,
        "This contact's acceptance is on record with other data: compare the two and correct the CRM.",
    )
    RECORD_UNKNOWN = (
        "RecordUnknown",
        Actor.CRM_OWNER,
        "An acceptance is on record, but it could not be read: compare it in Partner Center.",
    )

    NOT_YET_VALID = (
        "NotYetValid",
        Actor.NOBODY,
        "Wait: dateAgreed lies just ahead of the service's clock and is sent when it has come.",
    )
    TEMPLATE_REPLACED = (
        "TemplateReplaced",
        Actor.NOBODY,
        "Wait: Microsoft has replaced the template, and the new one is sent next.",
    )
    THROTTLED = "Throttled", Actor.NOBODY, "Wait: Partner Center asked for fewer calls."
    UNAVAILABLE = "Unavailable", Actor.NOBODY, "Wait: Partner Center is failing for the moment."
    NO_DEFINITE_ANSWER = (
        "NoDefiniteAnswer",
        Actor.NOBODY,
        "Wait: the call may have been recorded; the record is read before it is tried again.",
    )
    REFRESH_TOKEN_MISSING = (
        "RefreshTokenMissing",
        Actor.APP_OWNER,
        "Run agreements consent: the vault holds no refresh token under REFRESH_TOKEN_SECRET_NAME.",
    )
    REFRESH_TOKEN_EXPIRED = (
        "RefreshTokenExpired",
        Actor.APP_OWNER,
        "Run agreements consent, and find out why nobody renewed the refresh token before it died.",
    )
    REFRESH_TOKEN_REVOKED = (
        "RefreshTokenRevoked",
        Actor.APP_OWNER,
        "Run agreements consent: a new password or an administrator revoked the refresh token.",
    )
    MFA_DEMANDED = (
        "MfaDemanded",
        Actor.APP_OWNER,
        "Run agreements consent and sign in with MFA: Entra demands it anew.",
    )
    CONDITIONAL_ACCESS = (
        "ConditionalAccess",
        Actor.APP_OWNER,
        "Have the Conditional Access policy let the service user through, then run agreements consent.",
    )
    CONSENT_MISSING = (
        "ConsentMissing",
        Actor.APP_OWNER,
        "Grant the app Microsoft Partner Center's user_impersonation, then run agreements consent.",
    )
    SERVICE_USER_REFUSED = (
        "ServiceUserRefused",
        Actor.APP_OWNER,
        "Enable the user who consented and assign the app to them, or run agreements consent as another.",
    )
    CLIENT_SECRET_WRONG = (
        "ClientSecretWrong",
        Actor.APP_OWNER,
        "Set PARTNER_CLIENT_SECRET to a secret's value of this app registration; its id is something else.",
    )
    CLIENT_SECRET_EXPIRED = (
        "ClientSecretExpired",
        Actor.APP_OWNER,
        "Make a new secret for PARTNER_CLIENT_SECRET, or go over to the managed identity, which needs none.",
    )
    CLIENT_CREDENTIAL_MISSING = (
        "ClientCredentialMissing",
        Actor.APP_OWNER,
        "Give the app a credential: a managed identity, PARTNER_CLIENT_CERTIFICATE or PARTNER_CLIENT_SECRET.",
    )
    CLIENT_IS_PUBLIC = (
        "ClientIsPublic",
        Actor.APP_OWNER,
        "Register the redirect URI under Web, not as a public client: the app must be a confidential one.",
    )
    CLIENT_ASSERTION_REFUSED = (
        "ClientAssertionRefused",
        Actor.APP_OWNER,
        "Upload the certificate to the app registration, and check its dates and this machine's clock.",
    )
    FEDERATION_MISSING = (
        "FederationMissing",
        Actor.APP_OWNER,
        "Add the managed identity to the app registration as a federated credential, by its object id.",
    )
    MANAGED_IDENTITY_MISSING = (
        "ManagedIdentityMissing",
        Actor.APP_OWNER,
        "Assign the identity of AZURE_CLIENT_ID here; on a person's machine sign in with az login and "
        "set PARTNER_CLIENT_CERTIFICATE or PARTNER_CLIENT_SECRET.",
    )
    APP_UNKNOWN = (
        "AppUnknown",
        Actor.APP_OWNER,
        "Check PARTNER_CLIENT_ID and PARTNER_TENANT_ID: that tenant has no such app, or disabled it.",
    )
    TOKEN_ENDPOINT_UNREACHABLE = (
        "TokenEndpointUnreachable",
        Actor.APP_OWNER,
        "Check PARTNER_AUTHORITY_URL, PARTNER_TENANT_ID, and the way there: DNS, firewall, proxy, TLS.",
    )
    TOKEN_ENDPOINT_FAILING = (
        "TokenEndpointFailing",
        Actor.NOBODY,
        "Wait: Microsoft Entra ID is failing for the moment.",
    )
    VAULT_UNREACHABLE = (
        "VaultUnreachable",
        Actor.APP_OWNER,
        "Check KEY_VAULT_URL and the way there: DNS, firewall, private endpoint, TLS.",
    )
    VAULT_FAILING = (
        "VaultFailing",
        Actor.NOBODY,
        "Wait: the key vault is failing for the moment, or asked for fewer calls.",
    )
    VAULT_SECRET_DISABLED = (
        "VaultSecretDisabled",
        Actor.APP_OWNER,
        "Run agreements consent, or enable the secret's newest version if it was disabled by mistake.",
    )
    VAULT_SECRET_DELETED = (
        "VaultSecretDeleted",
        Actor.APP_OWNER,
        "Recover or purge the deleted secret of that name (az keyvault secret recover), then go on.",
    )
    VAULT_REFUSED = (
        "VaultRefused",
        Actor.APP_OWNER,
        "Give the identity the role Key Vault Secrets Officer, and let it through the vault's firewall.",
    )
    TOKEN_UNAVAILABLE = (
        "TokenUnavailable",
        Actor.APP_OWNER,
        "Look up the error code and mend the app's sign-in; events wait meanwhile.",
    )
    MFA_MISSING = (
        "MfaMissing",
        Actor.APP_OWNER,
        "Run agreements consent and sign in with MFA: the consent in use was given without.",
    )
    AUDIENCE_REFUSED = (
        "AudienceRefused",
        Actor.APP_OWNER,
        "Check PARTNER_CENTER_URL, then update this app: the audience of its token is no longer accepted.",
    )
    APP_KIND_REFUSED = (
        "AppKindRefused",
        Actor.APP_OWNER,
        "Run agreements consent: Partner Center takes this call only for a user, not for an app alone.",
    )
    TOKEN_REFUSED = (
        "TokenRefused",
        Actor.APP_OWNER,
        "Check that the user who consented is an Admin agent or Sales agent of the partner's tenant.",
    )
    ACCESS_REFUSED = (
        "AccessRefused",
        Actor.APP_OWNER,
        "Partner Center refuses the app itself: check its token, MFA, consent, role and address.",
    )
    OUTCOME_NOT_SENT = (
        "OutcomeNotSent",
        Actor.APP_OWNER,
        "Check OUTCOMES_TOPIC: that the topic exists, is enabled and has room, and the right to send to it.",
    )


class AgreementsError(Exception):
    """The root of all errors of this package."""


class SettingsError(AgreementsError):
    """Settings are missing or wrong; ``problems`` has a line for each, with its name, never its value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("settings are missing or wrong:\n  " + "\n  ".join(problems))
        self.problems = problems


class DeploymentError(AgreementsError):
    """Something around the app is not as it needs it; ``advice`` is what to do about it."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class ConsentError(AgreementsError):
    """A person signed in, and the token lacks what Partner Center asks for: each of ``problems``."""

    def __init__(self, problems: tuple[str, ...], advice: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.advice = advice


class EventError(AgreementsError):
    """The event cannot be confirmed as it is; ``field`` is the path of the field at fault, if one is."""

    def __init__(self, reason: Reason, field: str | None = None, expected: str | None = None) -> None:
        super().__init__(" ".join(part for part in (reason, field, expected) if part))
        self.reason = reason
        self.field = field


class TokenError(AgreementsError):
    """No token for Partner Center; ``code`` is the token endpoint's own, if it gave one.

    ``grant_refused`` tells that it was the refresh token which was refused, and not the app.
    """

    def __init__(
        self,
        message: str,
        code: str | None = None,
        reason: Reason = Reason.TOKEN_UNAVAILABLE,
        *,
        grant_refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.grant_refused = grant_refused


class TopicError(AgreementsError):
    """The topic did not take what was to be told; nobody knows whether it arrived. The message says why."""


class OversizeError(AgreementsError):
    """The copy that was to come back, for that reason, does not fit into a message."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the copy does not fit into a message: {reason}")
        self.reason = reason


class BusyError(AgreementsError):
    """Service Bus takes no message just now; it may after so many ``seconds``."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


class PartnerCenterError(AgreementsError):
    """A call to Partner Center did not end in an agreement.

    ``write`` tells whether it was the one that records an agreement, and ``maybe_recorded`` whether that may
    have happened all the same.
    """

    def __init__(self, message: str, *, write: bool, maybe_recorded: bool = False) -> None:
        super().__init__(message)
        self.write = write
        self.maybe_recorded = maybe_recorded


class GateClosedError(PartnerCenterError):
    """We may not ask for longer than this delivery may wait: ``retry_after`` seconds, and the reason."""

    def __init__(self, retry_after: float, reason: Reason = Reason.THROTTLED) -> None:
        super().__init__(f"the gate to Partner Center is closed for {retry_after:.0f} s", write=False)
        self.retry_after = retry_after
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service said besides its body: all that its support asks for.

    ``code`` is kept as text, since the service writes it as a number or as text. Codes are not unique: read
    one together with ``status`` and ``error_name``. ``retry_after`` is in seconds.
    """

    status: int
    code: str | None = None
    error_name: str | None = None
    retryable: bool | None = None
    retry_after: float | None = None
    request_id: str | None = None
    correlation_id: str | None = None
    cv: str | None = None


class AnswerError(PartnerCenterError):
    """The service answered, and the answer was no.

    ``about_event`` is false for a call that concerns no customer: its refusal says nothing about the event.
    """

    def __init__(self, answer: Answer, *, write: bool, about_event: bool = True) -> None:
        # A failure or a time-out of the service's own says nothing about what it had done by then, and a 2xx
        # that is not one of the documented ones says that it did something.
        indefinite = answer.status < 300 or answer.status >= 500 or answer.status == 408
        super().__init__(
            f"Partner Center answered {answer.status}, code {answer.code}",
            write=write,
            maybe_recorded=write and indefinite,
        )
        self.answer = answer
        self.about_event = about_event


class TemplateError(AnswerError):
    """The write was refused, and the template that we had looked up for it is no longer the current one."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer, write=True)


class NoAnswerError(PartnerCenterError):
    """No connection, no answer in time, or one that cannot be used."""
