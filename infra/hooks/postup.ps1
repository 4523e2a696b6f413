# After azd up: what is still to be done by a person.
Write-Host @"

The function app runs, and confirms at most $env:CONCURRENT_CALLS_CEILING events at once.
Still to be done, once: give the partner's consent, as docs/deploy.md says under "The one-time consent".
"@
