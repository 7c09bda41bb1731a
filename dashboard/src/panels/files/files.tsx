// The project's files: a tree, and beside it what is in the chosen one.
import { useEffect, useRef, useState } from 'react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { toast } from '@/ui/toasts'
import type { PanelProps } from '@/hooks/dock'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button, IconButton } from '@/ui/button'
import { Empty, Failure, Skeleton } from '@/ui/state'
import { FileView } from './file-view'
import { RestStrip } from './rest-strip'
import { Tree } from './tree'
import { absolutePath, joinPath } from './paths'

export function FilesPanel({ params, setParams, setTitle }: PanelProps<'files'>) {
  const { id, live } = useProject()
  const client = useQueryClient()
  const state = useMachineState().machine?.state
  const stopped = state === 'stopped'
  const seen = useRef(state)
  const root = useQuery(queries.files(id, null))
  const [upload, setUpload] = useState<HTMLInputElement | null>(null)
  const rootPath = root.data?.path ?? null
  const path = params.path && rootPath ? absolutePath(rootPath, params.path) : null

  useEffect(() => setTitle(path?.split('/').at(-1) ?? 'Files'), [path, setTitle])

  useEffect(() => {
    const before = seen.current
    seen.current = state
    if (before === undefined || state === undefined || before === state) return
    // Some of it can be read only while the machine runs.
    void client.invalidateQueries({ queryKey: ['files', id] })
    void client.invalidateQueries({ queryKey: ['content', id] })
  }, [client, id, state])

  const put = async (files: FileList | null) => {
    for (const file of files ?? []) {
      try {
        // One after the other: each may be large.
        // oxlint-disable-next-line no-await-in-loop
        await live.bridge.putFile(joinPath(rootPath ?? '.', file.name), file)
        toast.success(`${file.name} is in the project`)
      } catch (error) {
        toast.error(`${file.name} was not stored`, wordsOf(error))
      }
    }
    void client.invalidateQueries({ queryKey: ['files', id] })
  }

  if (root.error && !root.data) {
    return (
      <Failure
        title="The files could not be read"
        message={wordsOf(root.error)}
        kept="They lie on the machine's disk, running or not."
        action={<Button onClick={() => void root.refetch()}>Try again</Button>}
      />
    )
  }
  if (!root.data || rootPath === null) {
    return <Skeleton className="p-4" words="Reading the folder…" />
  }
  return (
    <div className="flex min-h-0 grow flex-col">
      <RestStrip />
      <div className="flex min-h-0 grow max-md:flex-col">
        <div className="flex w-54 shrink-0 flex-col border-r max-md:max-h-[40%] max-md:w-full max-md:border-r-0 max-md:border-b">
          <div className="flex h-8 shrink-0 items-center border-b pr-0.5 pl-3 max-md:h-11">
            <span className="min-w-0 grow truncate text-sm text-ink-3" title={rootPath}>
              {rootPath}
            </span>
            <IconButton
              icon="arrowUp"
              label="Put a file here"
              disabled={stopped}
              onClick={() => upload?.click()}
            />
            <IconButton
              icon="reload"
              label="Read again"
              onClick={() => void client.invalidateQueries({ queryKey: ['files', id] })}
            />
            <input
              ref={setUpload}
              type="file"
              multiple
              hidden
              onChange={(event) => {
                void put(event.target.files)
                event.target.value = ''
              }}
            />
          </div>
          {root.data.entries?.length === 0 ? (
            <div className="p-3 text-ink-3">The folder is empty.</div>
          ) : (
            <Tree root={rootPath} chosen={path} onChoose={(next) => setParams({ path: next })} />
          )}
        </div>
        <div className="flex min-h-0 min-w-0 grow flex-col">
          {path ? (
            <FileView key={path} path={path} onGone={() => setParams({})} />
          ) : (
            <Empty title="No file chosen" drawing={false}>
              Choose one in the list to read it here.
            </Empty>
          )}
        </div>
      </div>
    </div>
  )
}
