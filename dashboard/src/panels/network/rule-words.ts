// Why a connection was blocked, in a sentence.
import type { EgressLine } from '@/api/machine-types'

const WORDS: Record<string, string> = {
  'level-none': 'Blocked: nothing but models is allowed.',
  'not-listed': 'Blocked: it is not on the allow-list.',
  'invalid-host': 'Blocked: that is no host.',
  'local-name': 'Blocked at every level: the name is local.',
  'single-label': 'Blocked at every level: the name has no domain.',
  'own-address': 'Blocked at every level: it is an address of this host.',
  'host-unchecked': 'Cut when the level changed; a new connection is checked.',
  unnamed: 'Cut: it does not show whom it is for.',
  several: 'Blocked: more at once than the log tells apart.',
}

/** What is known of it in our words; else in those of the gateway. */
export function ruleWords({ rule, reason, bytesIn, bytesOut }: EgressLine): string {
  if (bytesIn + bytesOut > 0 && (rule === 'not-listed' || rule === 'level-none')) {
    return 'Cut when the level changed: it is no longer allowed.'
  }
  const known = WORDS[rule]
  if (known !== undefined) return known
  return reason === null ? `Blocked: ${rule}.` : `Blocked: ${reason}.`
}

/** That a host said the value of a secret back. */
export function echoWords({ secrets }: EgressLine): string {
  return `It said the value of ${secrets.join(', ')} back. The value was taken out of the answer.`
}
