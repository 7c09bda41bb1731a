// What a machine of the test server may reach, and the log of what it tried.

/** Longer than a test waits, shorter than its end. */
const WAIT_MS_MAX = 400

export class Network {
  level = 'open'
  rules = []
  isDefault = true
  ceiling = 'open'
  ceilingIsDefault = true
  lines = []
  open = []
  #waiting = new Set()

  setting() {
    return { level: this.level, rules: this.rules, inForce: this.inForce() }
  }

  inForce() {
    const widths = ['none', 'allow-list', 'open']
    return widths[Math.min(widths.indexOf(this.level), widths.indexOf(this.ceiling))]
  }

  answer(cut = 0) {
    const { isDefault, ceiling, ceilingIsDefault } = this
    return { ...this.setting(), isDefault, ceiling, ceilingIsDefault, enforced: true, cut }
  }

  change({ level, rules, ceiling }) {
    const wrong = rules?.find((rule) => /^https?:|localhost|\s/.test(rule))
    if (wrong !== undefined) {
      const message = `the egress rule "${wrong}" is not understood: write a host name`
      throw { status: 400, code: 'invalid_argument', message }
    }
    this.level = level ?? this.level
    this.rules = [...new Set(rules ?? this.rules)]
    this.isDefault = this.isDefault && level === undefined && rules === undefined
    if (ceiling !== undefined) {
      this.ceilingIsDefault = ceiling === null
      this.ceiling = ceiling ?? 'open'
    }
    const cut = this.open.filter((one) => !this.allows(one.host))
    this.open = this.open.filter((one) => this.allows(one.host))
    for (const one of cut) this.tell(one.host, { bytesIn: one.bytesIn })
    return this.answer(cut.length)
  }

  allows(host) {
    const level = this.inForce()
    return level === 'open' || (level === 'allow-list' && this.rules.includes(host))
  }

  /** A connection, judged. */
  tell(host, more = {}) {
    const allowed = this.allows(host)
    const rule = { open: 'open', 'allow-list': allowed ? host : 'not-listed', none: 'level-none' }
    this.lines.unshift({
      seq: (this.lines[0]?.seq ?? 0) + 100,
      at: new Date().toISOString(),
      lastAt: null,
      count: 1,
      via: 'connect',
      host,
      port: 443,
      verdict: allowed ? 'allow' : 'deny',
      rule: rule[this.inForce()],
      secrets: [],
      reason: null,
      bytesIn: allowed ? 5320 : 0,
      bytesOut: allowed ? 812 : 0,
      durationMs: 240,
      error: null,
      allowRule: allowed ? null : host,
      ...more,
    })
    for (const wake of this.#waiting) wake()
  }

  async log(query) {
    const end = () => this.lines[0]?.seq ?? 0
    const after = query.get('after')
    if (after === null) {
      const before = Number(query.get('before') ?? Infinity)
      const lines = this.lines.filter((line) => line.seq < before).slice(0, 100)
      return { lines, open: this.open, end: end() }
    }
    if (end() <= Number(after)) {
      await new Promise((resolve) => {
        this.#waiting.add(resolve)
        setTimeout(resolve, Math.min(WAIT_MS_MAX, Number(query.get('waitMs') ?? 0)))
      })
      this.#waiting.clear()
    }
    return {
      lines: this.lines.filter((line) => line.seq > Number(after)),
      open: this.open,
      end: end(),
    }
  }
}

/** Routes below `/v1/projects/{id}/egress`; undefined when there is none. */
export function networkRoute({ network, method, rest, query, body }) {
  switch (`${method} ${rest}`) {
    case 'GET egress':
      return network.answer()
    case 'PUT egress':
      return network.change(body)
    case 'POST egress/rules':
      return network.change({ rules: [...network.rules, body.rule] })
    case 'GET egress/log':
      return network.log(query)
    default:
      return undefined
  }
}
