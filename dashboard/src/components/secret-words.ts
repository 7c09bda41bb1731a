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

/** A value as it was meant: what is copied often brings a line break along. */
export function pasted(value: string): string {
  return value.replace(/\r?\n$/, '')
}
