// One way to talk to the server: JSON in, data or an ApiError out. Both answer shapes are known here:
// the `/v1` envelope and the bridge's RPC shape.

/** A failed call: a stable code, and words for people. */
export class ApiError extends Error {
  readonly code: string
  readonly status: number
  constructor(code: string, message: string, status: number) {
    super(message)
    this.name = 'ApiError'
    this.code = code
    this.status = status
  }
  /** The server could not be reached at all. */
  get offline(): boolean {
    return this.code === 'offline'
  }
}

/** A machine may have to wake and a package list may be long; a person waits no longer. */
const CALL_TIMEOUT_MS = 60_000
/** The server tries to deliver a message for a minute, and says then what became of it. */
const MESSAGE_TIMEOUT_MS = 100_000

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

let onSignedOut: () => void = () => {}

/** Called whenever the server says that nobody is signed in. */
export function whenSignedOut(listener: () => void): void {
  onSignedOut = listener
}

/** Says that a request found nobody signed in. */
export function signedOut(): void {
  onSignedOut()
}

interface Way {
  /** Names a message: sent again under it, it is not said again. */
  key?: string
  /** For what takes longer than other calls. */
  timeoutMs?: number
}

/** Sends one request and gives back the `data` of its answer. */
export async function call<T>(
  method: Method,
  path: string,
  body?: unknown,
  way: Way = {},
): Promise<T> {
  const response = await send(method, path, body, way)
  let answer: unknown
  try {
    answer = await response.json()
  } catch {
    throw new ApiError(
      'internal',
      `The server answered ${response.status} without JSON. Try again; if it stays, look at its log.`,
      response.status,
    )
  }
  const failure = failureOf(answer, response.status)
  if (failure) {
    if (response.status === 401 && !path.startsWith('/v1/auth/')) onSignedOut()
    throw failure
  }
  // `inspect` and `files/*` answer bare; the two shapes carry `data`.
  return isShape(answer) ? (answer.data as T) : (answer as T)
}

async function send(
  method: Method,
  path: string,
  body: unknown,
  { key, timeoutMs = key === undefined ? CALL_TIMEOUT_MS : MESSAGE_TIMEOUT_MS }: Way,
): Promise<Response> {
  const raw = body instanceof Blob
  try {
    return await fetch(path, {
      method,
      headers: {
        accept: 'application/json',
        ...(body === undefined
          ? {}
          : { 'content-type': raw ? 'application/octet-stream' : 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    })
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'TimeoutError') {
      throw new ApiError('timeout', 'The server did not answer in time. Try again.', 0)
    }
    throw new ApiError(
      'offline',
      'Toft cannot be reached. Start it with “toft up”, then try again.',
      0,
    )
  }
}

/** Fetches raw text, at most `bytesMax` of it, with the size of the whole. */
export async function text(
  path: string,
  bytesMax: number,
): Promise<{ text: string; size: number; cut: boolean }> {
  let response: Response
  try {
    response = await fetch(path, {
      headers: { range: `bytes=0-${bytesMax - 1}` },
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    })
  } catch {
    throw new ApiError(
      'offline',
      'Toft cannot be reached. Start it with “toft up”, then try again.',
      0,
    )
  }
  // An empty file has no range to give.
  if (response.status === 416) return { text: '', size: 0, cut: false }
  if (!response.ok) {
    const answer: unknown = await response.json().catch(() => null)
    throw (
      failureOf(answer, response.status) ??
      new ApiError('internal', `The server answered ${response.status}.`, response.status)
    )
  }
  const body = await response.arrayBuffer()
  const total = Number(/\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1])
  const size = Number.isFinite(total) && total > 0 ? total : body.byteLength
  const shown = body.byteLength > bytesMax ? body.slice(0, bytesMax) : body
  return { text: new TextDecoder().decode(shown), size, cut: size > shown.byteLength }
}

function isShape(answer: unknown): answer is { data: unknown } {
  return (
    typeof answer === 'object' &&
    answer !== null &&
    (('ok' in answer && 'meta' in answer) ||
      ('type' in answer && answer.type === 'response' && 'success' in answer))
  )
}

/** The failure in an answer of either shape, if it is one. */
function failureOf(answer: unknown, status: number): ApiError | null {
  if (typeof answer === 'object' && answer !== null) {
    if ('ok' in answer && answer.ok === false && 'error' in answer) {
      const error = answer.error as { code?: string; message?: string }
      return new ApiError(error.code ?? 'internal', error.message ?? 'It failed.', status)
    }
    if ('success' in answer && answer.success === false) {
      const rpc = answer as { error?: string; code?: string }
      return new ApiError(rpc.code ?? 'internal', rpc.error ?? 'It failed.', status)
    }
  }
  if (status >= 400) {
    return new ApiError('internal', `The server answered ${status}. Try again.`, status)
  }
  return null
}

/** Words for anything that was thrown. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
