// What a tool was given and what it gave back, bounded: head and tail, all of it in a window.
import { useState } from 'react'
import type { ToolRow } from '@/api/transcript/types'
import { CodeLines } from '@/components/code-lines'
import { useOpenPanel } from '@/hooks/dock'
import { CopyButton } from '@/ui/copy'
import { Dialog } from '@/ui/dialog'
import { todosIn } from '@/api/transcript/plan'
import { TodoItems } from '../todo-list'
import { diffOf } from '@/components/diff-lines'
import { detailsOf, resultText } from '../tool-words'
import { DiffView } from '@/components/diff-view'

/** Lines shown of a long output: so many from the start, so many from the end. */
const HEAD_LINES = 40
const TAIL_LINES = 40
/** One line longer than this is cut. */
const LINE_CHARS_MAX = 2000

export function ToolBody({ row }: { row: ToolRow }) {
  const todos = row.name === 'todo' ? todosIn(row.details) : null
  if (todos) return <TodoItems items={todos} className="mt-1 mb-2 rounded-md border py-1" />
  const diff = diffOf(row.details)
  const output = row.result ? resultText(row.result) : row.output
  const images = (row.result ?? []).filter((block) => block.type === 'image')
  return (
    <div className="mt-1 mb-2 overflow-hidden rounded-md border bg-sunk">
      <ToolInput row={row} hidden={diff !== null} />
      {diff && <DiffView lines={diff} />}
      {images.map((image, index) => (
        <img
          // Pictures of one result never change their order.
          // oxlint-disable-next-line react/no-array-index-key
          key={index}
          src={`data:${image.mimeType};base64,${image.data}`}
          alt={`result ${index + 1}`}
          className="max-h-80 p-2"
        />
      ))}
      {output && (!diff || row.state === 'failed') && (
        <Output text={output} failed={row.state === 'failed'} />
      )}
      <ToolLinks row={row} />
    </div>
  )
}

/** Ways on: the whole output where it was too long, the process where it goes on. */
function ToolLinks({ row }: { row: ToolRow }) {
  const open = useOpenPanel()
  const { background, id, truncated, fullOutputPath } = detailsOf(row)
  const link =
    'block w-full border-t bg-surface px-3 py-1 text-left text-sm text-blue hover:underline'
  return (
    <>
      {truncated === true && typeof fullOutputPath === 'string' && (
        <button
          type="button"
          className={link}
          onClick={() => open({ kind: 'files', path: fullOutputPath })}
        >
          The whole output, as a file
        </button>
      )}
      {background === true && typeof id === 'string' && (
        <button type="button" className={link} onClick={() => open({ kind: 'log', processId: id })}>
          Its output, as it comes
        </button>
      )}
    </>
  )
}

function ToolInput({ row, hidden }: { row: ToolRow; hidden: boolean }) {
  if (hidden) return null
  const { name, input, inputText } = row
  if (name === 'bash' && typeof input?.command === 'string') {
    return <Text text={`$ ${input.command}`} className="border-b font-medium" />
  }
  if (name === 'apply_patch' && (input || inputText)) {
    return <Output text={typeof input?.input === 'string' ? input.input : inputText} />
  }
  if (name === 'write' && typeof input?.content === 'string') return <Output text={input.content} />
  // The line above says it all for these.
  if (['read', 'ls', 'grep', 'find', 'notify_dashboard', 'web_fetch', 'process'].includes(name))
    return null
  const text = input ? JSON.stringify(input, null, 2) : inputText
  return text ? <Text text={text} className="border-b" /> : null
}

function Text({ text, className = '' }: { text: string; className?: string }) {
  return (
    <pre
      className={`max-h-60 overflow-auto px-3 py-2 text-sm leading-[18px] break-words whitespace-pre-wrap ${className}`}
    >
      {text}
    </pre>
  )
}

function clip(line: string): string {
  return line.length > LINE_CHARS_MAX ? `${line.slice(0, LINE_CHARS_MAX)} …` : line
}

function Output({ text, failed = false }: { text: string; failed?: boolean }) {
  const [all, setAll] = useState(false)
  const lines = text.replace(/\n$/, '').split('\n')
  const long = lines.length > HEAD_LINES + TAIL_LINES
  const tone = failed ? 'text-red-text' : ''
  const pre = `overflow-x-auto px-3 py-2 text-sm leading-[18px] ${tone}`
  return (
    <div className="group/out relative">
      <span className="absolute top-0.5 right-0.5 rounded-md bg-sunk opacity-0 group-hover/out:opacity-100 focus-within:opacity-100">
        <CopyButton text={() => text} label="Copy output" />
      </span>
      {long ? (
        <>
          <pre className={pre}>{lines.slice(0, HEAD_LINES).map(clip).join('\n')}</pre>
          <button
            type="button"
            onClick={() => setAll(true)}
            className="block w-full border-y bg-surface px-3 py-1 text-left text-sm text-blue hover:underline"
          >
            {lines.length - HEAD_LINES - TAIL_LINES} more lines: show all
          </button>
          <pre className={pre}>{lines.slice(-TAIL_LINES).map(clip).join('\n')}</pre>
          <Dialog
            open={all}
            onOpenChange={setAll}
            title={`${lines.length} lines`}
            className="top-[6vh] flex h-[86vh] w-[min(1000px,calc(100vw-24px))] flex-col"
          >
            <div className="mt-3 min-h-0 grow overflow-hidden rounded-md border bg-surface">
              <CodeLines text={text} label="Output" />
            </div>
          </Dialog>
        </>
      ) : (
        <pre className={pre}>{lines.map(clip).join('\n')}</pre>
      )}
    </div>
  )
}
