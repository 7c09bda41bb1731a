// One file: as text with line numbers, as a document, as a picture, or as a download.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { wordsOf } from '@/api/http'
import { CodeLines } from '@/components/code-lines'
import { Prose } from '@/components/prose'
import { toast } from '@/ui/toasts'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { Button, ButtonLink, IconButton } from '@/ui/button'
import { CopyButton } from '@/ui/copy'
import { Confirm } from '@/ui/dialog'
import { Icon } from '@/ui/icons'
import { Empty, Failure, Skeleton, Strip } from '@/ui/state'
import { bytes } from '@/util/format'
import { isBinary, lookOf } from './paths'

export function FileView({ path, onGone }: { path: string; onGone: () => void }) {
  const { live, id } = useProject()
  const client = useQueryClient()
  const stopped = useMachineState().machine?.state === 'stopped'
  const [asking, setAsking] = useState(false)
  const [source, setSource] = useState(false)
  const look = lookOf(path)
  const name = path.split('/').at(-1) ?? path
  const url = live.bridge.contentUrl(path)

  const remove = async () => {
    try {
      await live.bridge.deleteFile(path)
      onGone()
    } catch (error) {
      toast.error(`${name} was not deleted`, wordsOf(error))
    }
    void client.invalidateQueries({ queryKey: ['files', id] })
  }

  return (
    <>
      <div className="flex h-8 shrink-0 items-center gap-0.5 border-b pr-0.5 pl-3 max-md:h-11">
        <span className="min-w-0 truncate font-mono text-sm text-ink-2" title={path} dir="rtl">
          <bdi>{path}</bdi>
        </span>
        <div className="grow" />
        {look === 'markdown' && (
          <Button variant="ghost" onClick={() => setSource(!source)}>
            {source ? 'Document' : 'Source'}
          </Button>
        )}
        <CopyButton text={() => path} label="Copy path" />
        <a
          href={url}
          download={name}
          aria-label="Download"
          title="Download"
          className="inline-flex size-7 items-center justify-center rounded-md text-ink-2 hover:bg-hover max-md:size-9"
        >
          <Icon name="download" />
        </a>
        <IconButton
          icon="trash"
          label="Delete"
          disabled={stopped}
          onClick={() => setAsking(true)}
        />
      </div>
      <Confirm
        open={asking}
        title={`Delete ${name}?`}
        touches={
          <>
            The file <span className="font-mono text-sm break-all">{path}</span> is deleted from the
            machine.
          </>
        }
        verb="Delete"
        onConfirm={() => void remove()}
        onClose={() => setAsking(false)}
      />
      <div className="flex min-h-0 grow flex-col">
        {look === 'image' ? (
          <div className="flex min-h-0 grow items-center justify-center overflow-auto bg-sunk p-4">
            <img src={url} alt={name} className="max-h-full max-w-full object-contain" />
          </div>
        ) : (
          <TextFile path={path} document={look === 'markdown' && !source} />
        )}
      </div>
    </>
  )
}

function TextFile({ path, document }: { path: string; document: boolean }) {
  const { id, live } = useProject()
  const { data, error, refetch } = useQuery(queries.content(id, path))
  const name = path.split('/').at(-1) ?? path
  if (error && !data) {
    return (
      <Failure
        title="The file could not be read"
        message={wordsOf(error)}
        action={<Button onClick={() => void refetch()}>Try again</Button>}
      />
    )
  }
  if (!data) return <Skeleton className="p-4" words="Reading the file…" />
  const download = (
    <ButtonLink href={live.bridge.contentUrl(path)} download={name} icon="download">
      Download
    </ButtonLink>
  )
  if (isBinary(data.text)) {
    return (
      <Empty title="Not text" drawing={false} action={download}>
        {name} is {bytes(data.size)} of something that cannot be shown here.
      </Empty>
    )
  }
  if (data.size === 0) {
    return (
      <Empty title="Empty file" drawing={false}>
        {name} holds nothing.
      </Empty>
    )
  }
  return (
    <>
      {data.cut && (
        <Strip action={download}>
          The first {bytes(data.text.length)} of {bytes(data.size)}.
        </Strip>
      )}
      <div className="min-h-0 grow">
        {document ? (
          <div className="h-full overflow-y-auto px-6 py-5">
            <div className="mx-auto max-w-[72ch]">
              <Prose text={data.text} />
            </div>
          </div>
        ) : (
          <CodeLines text={data.text} label={name} />
        )}
      </div>
    </>
  )
}
