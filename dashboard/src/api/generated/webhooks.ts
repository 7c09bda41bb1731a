// Webhooks: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** Something that was sent, or is to be. Times are RFC 3339. */
  Delivery: {
    /** The same however often it is sent. */
    id: string
    runId: string
    projectId: string
    attempts: number
    delivered: boolean
    /** What the last attempt came to. */
    said: string | null
    /** Null when it is over. */
    nextAt: string | null
    doneAt: string | null
    createdAt: string
  }
  /** A webhook that was just made. */
  NewWebhook: {
    id: string
    /** Null: of all projects. */
    projectId: string | null
    url: string
    /** RFC 3339. */
    createdAt: string
    /** What is signed with: told this once. */
    secret: string
  }
  /** An address that is told of runs that are over. */
  Webhook: {
    id: string
    /** Null: of all projects. */
    projectId: string | null
    url: string
    /** RFC 3339. */
    createdAt: string
  }
  /** A webhook, with what was sent there. */
  WebhookDeliveries: {
    id: string
    /** Null: of all projects. */
    projectId: string | null
    url: string
    /** RFC 3339. */
    createdAt: string
    /** Newest first. */
    deliveries: Schemas['Delivery'][]
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/webhooks` */
  getWebhooks: {
    data: Schemas['Webhook'][]
  }
  /** `POST /v1/webhooks` */
  postWebhooks: {
    body: {
      url: string
    }
    data: Schemas['NewWebhook']
  }
  /** `GET /v1/webhooks/{webhook}` */
  getWebhooksWebhook: {
    data: Schemas['WebhookDeliveries']
  }
  /** `DELETE /v1/webhooks/{webhook}` */
  deleteWebhooksWebhook: {
    data: Several['Done']
  }
  /** `GET /v1/projects/{id}/webhooks` */
  getProjectsIdWebhooks: {
    data: Schemas['Webhook'][]
  }
  /** `POST /v1/projects/{id}/webhooks` */
  postProjectsIdWebhooks: {
    body: {
      url: string
    }
    data: Schemas['NewWebhook']
  }
  /** `GET /v1/projects/{id}/webhooks/{webhook}` */
  getProjectsIdWebhooksWebhook: {
    data: Schemas['WebhookDeliveries']
  }
  /** `DELETE /v1/projects/{id}/webhooks/{webhook}` */
  deleteProjectsIdWebhooksWebhook: {
    data: Several['Done']
  }
}
