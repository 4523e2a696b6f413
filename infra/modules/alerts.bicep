// Who is told, and of what. Each alert names its runbook.
//
// Depths of queues and throttling come from platform metrics: they are there without any telemetry of the app, beyond the daily
// cap too. Dead letters and depths can only be seen there: diagnostic settings export neither them nor the EntityName dimension.
// Outcomes come from the workspace, since only the app knows them. Their window is longer than the time between two evaluations:
// a line that arrives minutes late is still seen, and autoMitigate keeps one cause from being told twice.

@description('Azure region of the log alerts; metric alerts are global.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the action group.')
@minLength(1)
@maxLength(260)
param actionGroupName string

@description('E-mail addresses to tell, separated by commas; empty for the owners of the subscription.')
param emails string

@description('Name of the Service Bus namespace.')
@minLength(6)
@maxLength(50)
param namespaceName string

@description('Names of all queues and topics.')
param entityNames array

@description('Names of the topics.')
param topicNames array

@description('Names of the queues that trigger a function.')
param triggerQueues array

@description('Name of the Log Analytics workspace.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Events that wait in a queue above which there is a backlog.')
@minValue(1)
param backlogThreshold int

@description('Events scheduled for another attempt above which retries pile up.')
@minValue(1)
param scheduledThreshold int

@description('Duplicates within an hour below which a rise is not worth a look.')
@minValue(1)
param duplicatesThreshold int

@description('Times within an hour that Partner Center may ask for fewer calls.')
@minValue(1)
param throttledThreshold int

var roles = loadJsonContent('../roles.json')
var deliveries = loadTextContent('../queries/deliveries.kql')
var renewals = loadTextContent('../queries/renewals.kql')

// Splitting nothing gives one empty address.
var addresses = take(split(emails, ','), empty(emails) ? 0 : 100)

// An alert that reaches nobody is none: without addresses it goes to the owners of the subscription.
var owners = [
  {
    name: 'owners'
    roleId: roles.owner
    useCommonAlertSchema: true
  }
]

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'agreements'
    enabled: true
    armRoleReceivers: empty(emails) ? owners : []
    emailReceivers: [for address in addresses: {
      name: trim(address)
      emailAddress: trim(address)
      useCommonAlertSchema: true
    }]
  }
}

var everyEntity = [
  {
    name: 'EntityName'
    operator: 'Include'
    values: entityNames
  }
]

var everyTrigger = [
  {
    name: 'EntityName'
    operator: 'Include'
    values: triggerQueues
  }
]

var everyTopic = [
  {
    name: 'EntityName'
    operator: 'Include'
    values: topicNames
  }
]

var metricAlerts = [
  {
    name: 'dead-lettered'
    description: 'The broker gave up on a message: no function could handle it, or it expired.'
    runbook: 'docs/operations.md#alert-dead-lettered'
    severity: 1
    metric: 'DeadletteredMessages'
    aggregation: 'Maximum'
    threshold: 0
    dimensions: everyEntity
    window: 'PT5M'
    frequency: 'PT1M'
  }
  {
    name: 'backlog'
    description: 'More events wait than are confirmed.'
    runbook: 'docs/operations.md#alert-backlog'
    severity: 2
    metric: 'ActiveMessages'
    aggregation: 'Average'
    threshold: backlogThreshold
    dimensions: everyTrigger
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    // A few events that nobody takes never make a backlog; the least of an hour tells that the queue was never empty.
    name: 'waiting'
    description: 'A queue was not empty for an hour: its function takes nothing, or not enough.'
    runbook: 'docs/operations.md#alert-waiting'
    severity: 1
    metric: 'ActiveMessages'
    aggregation: 'Minimum'
    threshold: 0
    dimensions: everyTrigger
    window: 'PT1H'
    frequency: 'PT5M'
  }
  {
    name: 'retries-piling-up'
    description: 'Many events are scheduled for another attempt.'
    runbook: 'docs/operations.md#alert-retries-piling-up'
    severity: 2
    metric: 'ScheduledMessages'
    aggregation: 'Average'
    threshold: scheduledThreshold
    dimensions: everyTrigger
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    // In bytes, four fifths of what service-bus.json gives the topic: a full one takes nothing, and events wait to be told.
    name: 'topic-filling'
    description: 'Outcomes fill the topic: a subscription keeps what nobody reads, or what expired is not yet removed.'
    runbook: 'docs/operations.md#alert-topic-filling'
    severity: 2
    metric: 'Size'
    aggregation: 'Average'
    threshold: 4294967296
    dimensions: everyTopic
    window: 'PT1H'
    frequency: 'PT15M'
  }
  {
    // While the broker throttles, the depths above read 0.
    name: 'service-bus-throttled'
    description: 'Service Bus refuses operations of this namespace for being too many.'
    runbook: 'docs/operations.md#alert-service-bus-throttled'
    severity: 2
    metric: 'ThrottledRequests'
    aggregation: 'Total'
    threshold: 10
    dimensions: []
    window: 'PT5M'
    frequency: 'PT1M'
  }
]

resource metricRules 'Microsoft.Insights/metricAlerts@2018-03-01' = [for alert in metricAlerts: {
  name: 'agreements-${alert.name}'
  location: 'global'
  tags: tags
  properties: {
    description: '${alert.description} Runbook: ${alert.runbook}'
    severity: alert.severity
    enabled: true
    autoMitigate: true
    scopes: [
      namespace.id
    ]
    targetResourceType: 'Microsoft.ServiceBus/namespaces'
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: alert.name
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: alert.metric
          timeAggregation: alert.aggregation
          operator: 'GreaterThan'
          threshold: alert.threshold
          dimensions: alert.dimensions
          // No entity has a data point before its first message.
          skipMetricValidation: true
        }
      ]
    }
    actions: [
      {
        actionGroupId: actionGroup.id
        webHookProperties: {
          runbook: alert.runbook
        }
      }
    ]
  }
}]

var byReason = [
  {
    name: 'reason'
    operator: 'Include'
    values: [
      '*'
    ]
  }
]

var byFunction = [
  {
    name: 'FunctionName'
    operator: 'Include'
    values: [
      '*'
    ]
  }
]

// A rule fires on every row that its query returns.
var logAlerts = [
  {
    name: 'rejected'
    description: 'Events cannot be confirmed as they are.'
    runbook: 'docs/operations.md#alert-rejected'
    severity: 2
    query: '${deliveries}\nDeliveries | where outcome == "Rejected"'
    dimensions: byReason
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    // The last hour against the mean of the five before it: some publish twice every day, and that is no news.
    name: 'duplicates-rising'
    description: 'Far more events than usual were on record already.'
    runbook: 'docs/operations.md#alert-duplicates-rising'
    severity: 3
    query: '${deliveries}\nDeliveries | where outcome == "Duplicate" | summarize LastHour = countif(TimeGenerated > ago(1h)), Before = countif(TimeGenerated <= ago(1h)) | where LastHour >= ${duplicatesThreshold} and LastHour > 3.0 * Before / 5'
    dimensions: []
    window: 'PT6H'
    frequency: 'PT15M'
  }
  {
    name: 'app-refused'
    description: 'The app itself is refused: no token, or no access to Partner Center. Events wait; none is rejected.'
    runbook: 'docs/operations.md#alert-app-refused'
    severity: 1
    query: '${deliveries}\nDeliveries | where outcome == "Retry" and retryKind == "service"'
    dimensions: byReason
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'untold'
    description: 'Publishers cannot be told what became of their events. Customers are confirmed all the same.'
    runbook: 'docs/operations.md#alert-untold'
    severity: 2
    query: '${deliveries}\nDeliveries | where isnotempty(untold)'
    dimensions: []
    window: 'PT1H'
    frequency: 'PT15M'
  }
  {
    name: 'partner-center-throttles'
    description: 'Partner Center asks for fewer calls.'
    runbook: 'docs/operations.md#alert-partner-center-throttles'
    severity: 3
    query: '${deliveries}\nDeliveries | where outcome == "Retry" and retryKind == "throttled" | summarize Throttled = count() | where Throttled > ${throttledThreshold}'
    dimensions: []
    window: 'PT1H'
    frequency: 'PT15M'
  }
  {
    // No renewal at all counts too, unless the first telemetry is younger than a day: a new deployment has had no time for one.
    // No telemetry at all is no excuse: a dead app would otherwise be taken for a new one as soon as its last line is two days old.
    name: 'refresh-token'
    description: 'The refresh token is not renewed any more, or has less than 14 days left.'
    runbook: 'docs/operations.md#alert-refresh-token'
    severity: 1
    query: '${renewals}\nlet Heard = toscalar(AppTraces | summarize min(TimeGenerated)); Renewals | summarize Runs = count(), arg_max(TimeGenerated, renewal, daysLeft) | where (Runs == 0 and (isnull(Heard) or Heard < ago(25h))) or renewal == "failed" or daysLeft < 14 | project Runs, renewal, daysLeft'
    dimensions: []
    window: 'P2D'
    frequency: 'PT1H'
  }
  {
    name: 'failed-executions'
    description: 'A function failed instead of ending its event; the broker delivers it again.'
    runbook: 'docs/operations.md#alert-failed-executions'
    severity: 2
    query: 'AppRequests | where Success == false | project TimeGenerated, FunctionName = Name'
    dimensions: byFunction
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    // Beyond the cap no log alert can fire any more; those of the metrics still do.
    name: 'telemetry-capped'
    description: 'The workspace took its daily amount of telemetry: log alerts are blind until the next day.'
    runbook: 'docs/operations.md#alert-telemetry-capped'
    severity: 2
    query: '_LogOperation | where Category =~ "Ingestion" and Detail contains "OverQuota"'
    dimensions: []
    window: 'PT1H'
    frequency: 'PT15M'
  }
]

resource logRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for alert in logAlerts: {
  name: 'agreements-${alert.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'agreements-${alert.name}'
    description: '${alert.description} Runbook: ${alert.runbook}'
    severity: alert.severity
    enabled: true
    autoMitigate: true
    // The tables of a new workspace are empty, and its query is refused.
    skipQueryValidation: true
    scopes: [
      workspace.id
    ]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      allOf: [
        {
          query: alert.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: alert.dimensions
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        actionGroup.id
      ]
      customProperties: {
        runbook: alert.runbook
      }
    }
  }
}]

@description('Resource id of the action group.')
output actionGroupId string = actionGroup.id
