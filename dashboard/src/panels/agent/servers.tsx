// Servers of tools (MCP): what the project declares, how each stands, its tools, and signing in.
import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import type { McpList } from '@/api/mcp'
import { useAskAgent } from '@/hooks/ask-agent'
import { useProject } from '@/hooks/live'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Faults, Listing, type Gate } from './listing'
import { Part } from './part'
import { ServerRow } from './server-row'

export function Servers({
  query,
  gate,
  readOnly,
}: {
  query: UseQueryResult<McpList>
  gate: Gate
  readOnly: boolean
}) {
  return (
    <Part
      anchor="tools"
      title="Tools of servers"
      note={
        <>
          MCP servers, declared in <code>.mcp.json</code>, <code>.toft/mcp.json</code> or the secret{' '}
          <code>MCP_SERVERS</code>. They start with a prompt, and end when nobody uses them.
        </>
      }
    >
      <Listing what="servers" query={query} gate={gate}>
        {(list) => <ServerRows list={list} readOnly={readOnly} />}
      </Listing>
    </Part>
  )
}

function ServerRows({ list: { servers, faults }, readOnly }: { list: McpList; readOnly: boolean }) {
  const { id } = useProject()
  const ask = useAskAgent()
  const { data: connections } = useQuery(queries.mcpConnections(id))
  return (
    <>
      {servers.length === 0 ? (
        <div className="flex flex-wrap items-center gap-2">
          <span className="text-ink-2">None in this project.</span>
          <Button
            icon="chat"
            onClick={() => ask('Declare this MCP server in .toft/mcp.json and try it: ')}
          >
            Ask the agent to add one
          </Button>
        </div>
      ) : (
        <ul aria-label="Servers" className="divide-y divide-line border-y">
          {servers.map((server) => (
            <ServerRow
              key={server.name}
              server={server}
              connection={connections?.find((each) => each.server === server.name) ?? null}
              readOnly={readOnly}
            />
          ))}
        </ul>
      )}
      <Faults faults={faults.map((message) => ({ path: null, message }))} />
    </>
  )
}
