// Everything that the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

import type * as several from './several'
import type * as agent from './agent'
import type * as checkpoints from './checkpoints'
import type * as comparisons from './comparisons'
import type * as conversations from './conversations'
import type * as egress from './egress'
import type * as extensions from './extensions'
import type * as files from './files'
import type * as images from './images'
import type * as machines from './machines'
import type * as model_gateway from './model-gateway'
import type * as models from './models'
import type * as money from './money'
import type * as programs from './programs'
import type * as projects from './projects'
import type * as runs from './runs'
import type * as schedules from './schedules'
import type * as secrets from './secrets'
import type * as server from './server'
import type * as services from './services'
import type * as settings from './settings'
import type * as sign_in_and_keys from './sign-in-and-keys'
import type * as webhooks from './webhooks'

/** What answers are made of. */
export interface Schemas
  extends several.Schemas,
    checkpoints.Schemas,
    comparisons.Schemas,
    egress.Schemas,
    images.Schemas,
    machines.Schemas,
    model_gateway.Schemas,
    models.Schemas,
    money.Schemas,
    programs.Schemas,
    projects.Schemas,
    runs.Schemas,
    schedules.Schemas,
    secrets.Schemas,
    server.Schemas,
    settings.Schemas,
    sign_in_and_keys.Schemas,
    webhooks.Schemas {}

/** What each operation takes, and the data of its answer. */
export interface Operations
  extends agent.Operations,
    checkpoints.Operations,
    comparisons.Operations,
    conversations.Operations,
    egress.Operations,
    extensions.Operations,
    files.Operations,
    images.Operations,
    machines.Operations,
    model_gateway.Operations,
    models.Operations,
    money.Operations,
    programs.Operations,
    projects.Operations,
    runs.Operations,
    schedules.Operations,
    secrets.Operations,
    server.Operations,
    services.Operations,
    settings.Operations,
    sign_in_and_keys.Operations,
    webhooks.Operations {}
