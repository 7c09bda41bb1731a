// What may be a secret's name and value, in words. The server says the last word.

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/
const VALUE_BYTES_MAX = 32 * 1024

/** What is wrong with a name; null: nothing. */
export function nameFault(name: string): string | null {
  if (name === '') return 'Give it the name of a variable.'
  return NAME.test(name) ? null : 'Letters, digits and _ only, and no digit first: STRIPE_KEY'
}

/** What is wrong with a value; null: nothing. */
export function valueFault(value: string): string | null {
  if (value === '') return 'Paste its value.'
  const bytes = new TextEncoder().encode(value).length
  return bytes > VALUE_BYTES_MAX ? 'At most 32 KiB: put larger things into a file.' : null
}

/** What is wrong with a value that is sent in a header; null: nothing. */
export function brokeredFault(value: string): string | null {
  const fault = valueFault(value)
  if (fault !== null) return fault
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value)) {
    return 'One line of plain characters: it is sent in a header.'
  }
  return value.length < 8 || value.length > 4096 ? 'It has 8 to 4096 characters.' : null
}

/** A list as it is typed: words between commas and spaces. */
export function listed(typed: string): string[] {
  return typed.split(/[\s,]+/).filter((word) => word !== '')
}

/** A value as it was meant: what is copied often brings a line break along. */
export function pasted(value: string): string {
  return value.replace(/\r?\n$/, '')
}
