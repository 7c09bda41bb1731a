// localStorage behind a version and a try: a full or forbidden store loses a convenience, not work.

interface Stored<T> {
  v: number
  data: T
}

/** What was stored under the key in this version, else null. Other versions are left alone. */
export function load<T>(key: string, version: number): T | null {
  try {
    const text = localStorage.getItem(key)
    if (text === null) return null
    const stored = JSON.parse(text) as Stored<T>
    return stored.v === version ? stored.data : null
  } catch {
    return null
  }
}

/** Stores; null removes. */
export function save<T>(key: string, version: number, data: T | null): void {
  try {
    if (data === null) localStorage.removeItem(key)
    else localStorage.setItem(key, JSON.stringify({ v: version, data } satisfies Stored<T>))
  } catch {
    // Full or forbidden: the page works without.
  }
}
