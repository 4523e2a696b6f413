"""What Microsoft's pages show of the agreements API, by the names of the pages; the values are theirs."""

from typing import Any

TEMPLATE_ID = "117a77b0-9360-443b-8795-c6dedc750cf9"

# Confirm customer acceptance of the Microsoft Customer Agreement
CUSTOMER = "14876998-c0dc-46e6-9d0c-65a57a6c32ec"
IDS = {
    "MS-RequestId": "94e4e214-6b06-4fb7-96d1-94d559f9b47f",
    "MS-CorrelationId": "ab993325-1605-4cf4-bac4-fb584142a31b",
}
CONFIRMATION = """
{
    "primaryContact": {
        "firstName": "Tania",
        "lastName": "Carr",
        "email": "someone@example.com",
        "phoneNumber": "1234567890"
    },
    "templateId": "117a77b0-9360-443b-8795-c6dedc750cf9",
    "dateAgreed": "2018-06-14T00:00:00.000Z",
    "type": "MicrosoftCustomerAgreement"
}
"""
CREATED = """
{
    "userId": "3d6f2c09-eb40-48ca-a4b3-d24c9c007531",
    "primaryContact": {
        "firstName": "Tania",
        "lastName": "Carr",
        "email": "someone@example.com",
        "phoneNumber": "1234567890"
    },
    "templateId": "117a77b0-9360-443b-8795-c6dedc750cf9",
    "dateAgreed": "2018-06-14T00:00:00.000Z",
    "type": "MicrosoftCustomerAgreement"
}
"""
DUPLICATE = {
    "code": 600061,
    "message": "A partner confirmed agreement already exists for the customer.",
    "description": "A partner confirmed agreement already exists for the customer.",
    "errorName": "PartnerConfirmedAgreementAlreadyExists",
    "isRetryable": False,
    "parameters": {},
    "errorMessageExtended": "InternalErrorCode=600061",
}

# Get agreement metadata for the Microsoft Customer Agreement, and for the Microsoft Cloud Agreement
METADATA = {
    "totalCount": 1,
    "items": [
        {
            "templateId": TEMPLATE_ID,
            "agreementType": "MicrosoftCustomerAgreement",
            "agreementLink": "https://aka.ms/customeragreement",
            "versionRank": 0,
        }
    ],
    "links": {"self": {"uri": "/agreements", "method": "GET", "headers": []}},
    "attributes": {"objectType": "Collection"},
}
CLOUD_METADATA = {
    **METADATA,
    "items": [
        {
            "templateId": "998b88de-aa99-4388-a42c-1b3517d49490",
            "agreementType": "MicrosoftCloudAgreement",
            "agreementLink": "https://docs.microsoft.com/partner-center/agreements",
            "versionRank": 0,
        }
    ],
}

# Get confirmation of customer acceptance of the Microsoft Customer Agreement
LISTED = {
    "totalCount": 1,
    "items": [
        {
            "primaryContact": {
                "firstName": "Tania",
                "lastName": "Carr",
                "email": "someone@example.com",
                "phoneNumber": "1234567890",
            },
            "templateId": TEMPLATE_ID,
            "dateAgreed": "2018-06-14T00:00:00",
            "type": "MicrosoftCustomerAgreement",
            "agreementLink": "https://aka.ms/customeragreement",
        }
    ],
}

# Download the Microsoft Customer Agreement template; the links differ by call
DOCUMENT = {"displayUri": "", "downloadUri": "", "language": "en-US", "country": "US"}

# Get the direct sign (direct acceptance) status of a customer
SIGNED = {"isSigned": True}

# Verify an indirect reseller's Microsoft Partner Agreement status
PARTNER_SIGNED = {"isAgreementSigned": True}

# API throttling guidance; the number of seconds differs
THROTTLED = {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 57 seconds."}

# Partner Center REST error codes: the fields of an error, in their order
ERROR = ("code", "description", "data", "source")

# A recorded session with GET /v1/agreements
SESSION_HEADERS = (
    "MS-RequestId",
    "MS-CorrelationId",
    "X-Locale",
    "MS-CV",
    "MS-ServerId",
    "Request-Context",
    "Date",
)


def confirmation() -> dict[str, Any]:
    """Build the request example of the page on confirming acceptance."""
    return {
        "primaryContact": {
            "firstName": "Tania",
            "lastName": "Carr",
            "email": "someone@example.com",
            "phoneNumber": "1234567890",
        },
        "templateId": TEMPLATE_ID,
        "dateAgreed": "2018-06-14T00:00:00.000Z",
        "type": "MicrosoftCustomerAgreement",
    }
