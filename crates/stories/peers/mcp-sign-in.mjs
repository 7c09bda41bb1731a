// An MCP server that wants a sign-in, and who gives it: those of the protocol's own SDK, behind a front that speaks
// TLS for both names. What the SDK's example leaves out (renewing, revoking) is added. The story looks and
// meddles below /control. Made by the test: MADE = {sdk, port, issuer, mcp}.
import { randomUUID } from 'node:crypto'
import { pathToFileURL } from 'node:url'

const { sdk, port, issuer, mcp } = JSON.parse(process.env.MADE)
const of = (path) => import(pathToFileURL(`${sdk}/dist/esm/${path}`).href)
const { default: express } = await import(pathToFileURL(`${sdk}/../../express/index.js`).href)
const { mcpAuthRouter, getOAuthProtectedResourceMetadataUrl } = await of('server/auth/router.js')
const { requireBearerAuth } = await of('server/auth/middleware/bearerAuth.js')
const { InvalidGrantError, InvalidTokenError } = await of('server/auth/errors.js')
const { DemoInMemoryAuthProvider } = await of('examples/server/demoInMemoryOAuthProvider.js')
const { McpServer } = await of('server/mcp.js')
const { StreamableHTTPServerTransport } = await of('server/streamableHttp.js')

const seen = { authorization: [], resources: [], given: [], renewed: 0, revoked: [], clients: [] }
let lifeS = 3600
let renews = true
let described = mcp

class Provider extends DemoInMemoryAuthProvider {
  refreshTokens = new Map()

  give(client, scopes, resource) {
    const token = `at-${randomUUID()}`
    const refresh = `rt-${randomUUID()}`
    const expiresAt = Date.now() + lifeS * 1000
    this.tokens.set(token, { token, clientId: client.client_id, scopes, expiresAt, resource, type: 'access' })
    this.refreshTokens.set(refresh, { scopes, resource })
    seen.given.push(token, refresh)
    seen.resources.push(String(resource))
    return { access_token: token, token_type: 'bearer', expires_in: lifeS, refresh_token: refresh, scope: scopes.join(' ') }
  }

  async exchangeAuthorizationCode(client, code, verifier) {
    const { params } = this.codes.get(code) ?? {}
    // Its own checks.
    const { access_token } = await super.exchangeAuthorizationCode(client, code, verifier)
    this.tokens.delete(access_token)
    seen.clients.push(client.client_id)
    return this.give(client, params.scopes ?? [], params.resource)
  }

  async exchangeRefreshToken(client, refreshToken, scopes, resource) {
    const known = this.refreshTokens.get(refreshToken)
    if (!known || !renews) throw new InvalidGrantError('it was taken back')
    // Of one use.
    this.refreshTokens.delete(refreshToken)
    seen.renewed += 1
    return this.give(client, known.scopes, resource)
  }

  async verifyAccessToken(token) {
    try {
      return await super.verifyAccessToken(token)
    } catch {
      throw new InvalidTokenError('it has ended')
    }
  }

  async revokeToken(_client, { token }) {
    seen.revoked.push(token)
    this.tokens.delete(token)
    this.refreshTokens.delete(token)
  }
}

const provider = new Provider((resource) => String(resource) === mcp)
const app = express()
app.use(express.json())
app.get('/control/seen', (_req, res) => res.json(seen))
app.post('/control', (req, res) => {
  const { expire, ...rest } = req.body
  if (expire) provider.tokens.clear()
  if ('lifeS' in rest) lifeS = rest.lifeS
  if ('renews' in rest) renews = rest.renews
  if ('described' in rest) described = rest.described
  if ('authorizationServer' in rest) seen.authorizationServer = rest.authorizationServer
  res.json({})
})
app.use('/.well-known/oauth-protected-resource', (_req, res, next) => {
  if (described === mcp && !seen.authorizationServer) return next()
  res.json({ resource: described, authorization_servers: [seen.authorizationServer ?? issuer] })
})
const unlimited = { rateLimit: false }
app.use(
  mcpAuthRouter({
    provider,
    issuerUrl: new URL(issuer),
    resourceServerUrl: new URL(mcp),
    scopesSupported: ['mcp:tools'],
    authorizationOptions: unlimited,
    tokenOptions: unlimited,
    clientRegistrationOptions: unlimited,
    revocationOptions: unlimited,
  }),
)
const guard = requireBearerAuth({
  verifier: provider,
  requiredScopes: ['mcp:tools'],
  resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(new URL(mcp)),
})
const note = (req, _res, next) => {
  seen.authorization.push(req.headers.authorization ?? null)
  next()
}
app.post('/mcp', note, guard, async (req, res) => {
  const server = new McpServer({ name: 'tracker', version: '1' })
  server.registerTool('whoami', { description: 'Says who is signed in' }, () => ({
    content: [{ type: 'text', text: `signed in with ${req.headers.authorization}` }],
  }))
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined })
  res.on('close', () => {
    transport.close()
    server.close()
  })
  await server.connect(transport)
  await transport.handleRequest(req, res, req.body)
})
app.all('/mcp', (_req, res) => res.status(405).end())
app.listen(port, '127.0.0.1', () => console.log('listening'))
