// What comes with a request to the test server.

/** All of it; null when who asked is gone: a page that was closed or left waits for no answer. */
export async function bodyOf(request) {
  const chunks = []
  try {
    for await (const chunk of request) chunks.push(chunk)
  } catch {
    return null
  }
  return Buffer.concat(chunks)
}
