// Egress: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type { Schemas as Several } from './several'

/** What answers are made of. */
export interface Schemas {
  /** What a machine may reach. */
  Egress: {
    level: Several['EgressName']
    /** Hosts, for the level `allow-list`. */
    rules: string[]
    /** Whether nobody has set it. */
    isDefault: boolean
    /** The widest level that it may have. */
    ceiling: Several['EgressName']
    /** Whether that is the server's. */
    ceilingIsDefault: boolean
    /** The narrower one of both. */
    inForce: Several['EgressName']
    /** Whether all that it sends passes the gateway. */
    enforced: boolean
    /** Open connections that this has ended. */
    cut: number
  }
  /** What went out, or was refused. */
  EgressLine: {
    /** Its place in the log. */
    seq: number
    /** RFC 3339; of several, of the first. */
    at: string
    /** RFC 3339; of several, of the last. */
    lastAt: string | null
    /** How many it stands for. */
    count: number
    via: 'connect' | 'http' | 'direct' | 'https'
    host: string | null
    port: number | null
    /** `allow` or `deny`. */
    verdict: 'allow' | 'deny'
    /** What decided. */
    rule: string
    /** Names of the brokered secrets whose values were put in. */
    secrets: string[]
    /** Of a refusal, in words. */
    reason: string | null
    bytesIn: number
    bytesOut: number
    durationMs: number
    /** What went wrong. */
    error: string | null
    /** The rule that would allow what was refused. */
    allowRule: string | null
  }
  /** A part of the log of the way out. */
  EgressLog: {
    /** Newest first. */
    lines: Schemas['EgressLine'][]
    open: Schemas['OpenConnection'][]
    /** Ask for what comes after it. */
    end: number
  }
  /** A connection that is open. */
  OpenConnection: {
    id: number
    /** RFC 3339. */
    at: string
    /** What was asked: a request, a tunnel, a connection, … */
    via: 'connect' | 'http' | 'direct' | 'https'
    host: string
    port: number
    /** What allowed it. */
    rule: string
    bytesIn: number
    bytesOut: number
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/egress` */
  getProjectsIdEgress: {
    data: Schemas['Egress']
  }
  /** `PUT /v1/projects/{id}/egress` */
  putProjectsIdEgress: {
    body: {
      level?: 'none' | 'allow-list' | 'open' | null
      rules?: string[] | null
      /** `null`: the server's. */
      ceiling?: 'none' | 'allow-list' | 'open' | null
    }
    data: Schemas['Egress']
  }
  /** `POST /v1/projects/{id}/egress/rules` */
  postProjectsIdEgressRules: {
    body: {
      rule: string
    }
    data: Schemas['Egress']
  }
  /** `GET /v1/projects/{id}/egress/log` */
  getProjectsIdEgressLog: {
    data: Schemas['EgressLog']
  }
}
