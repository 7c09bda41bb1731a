// Markdown as prose: what an agent wrote, or a document. It comes with the panel that shows it, so that
// nobody sees the marks in place of what they mean.
import { createContext, memo, use, type ReactNode } from 'react'
import ReactMarkdown, { type Components } from 'react-markdown'
import remarkGfm from 'remark-gfm'
import { CopyButton } from '@/ui/copy'
import { splitMarkdown } from '@/util/markdown-blocks'
import { marking, type Mark } from '@/util/markdown-marks'

const PLUGINS = [remarkGfm]

/** Draws the words of a mark, by its place in the list. */
export type DrawMark = (at: number, words: ReactNode) => ReactNode
const MarkContext = createContext<DrawMark>((_, words) => words)

function Marked({ at, children }: { at: number; children: ReactNode }) {
  return use(MarkContext)(at, children)
}

/** A link, or its words alone when its address was refused (`javascript:`, `data:`). */
function Link({ href, children }: { href: string | undefined; children: ReactNode }) {
  if (!href) return <>{children}</>
  return (
    <a href={href} target="_blank" rel="noreferrer">
      {children}
    </a>
  )
}

const PARTS: Components = {
  a: ({ href, children }) => <Link href={href}>{children}</Link>,
  // Pictures from elsewhere would tell that host who reads; they become links.
  img: ({ src, alt }) =>
    typeof src === 'string' && /^(data|blob):/.test(src) ? (
      <img src={src} alt={alt ?? ''} />
    ) : (
      <Link href={typeof src === 'string' ? src : undefined}>{alt || 'image'}</Link>
    ),
  table: ({ children }) => (
    <div className="table w-full">
      <table>{children}</table>
    </div>
  ),
  pre: ({ children }) => <Fence>{children}</Fence>,
  mark: ({ children, ...rest }) => (
    <Marked at={Number((rest as Record<string, unknown>)['data-mark'])}>{children}</Marked>
  ),
}

function Fence({ children }: { children?: ReactNode }) {
  const code =
    typeof children === 'object' && children !== null && 'props' in children
      ? (children.props as { className?: string; children?: ReactNode })
      : null
  const language = /language-(\S+)/.exec(code?.className ?? '')?.[1] ?? ''
  const text = typeof code?.children === 'string' ? code.children.replace(/\n$/, '') : ''
  return <CodeBlock language={language} text={text} />
}

/** Code as it is, with its language and a button to copy it. */
function CodeBlock({ language, text }: { language: string; text: string }) {
  return (
    <div className="group/code relative rounded-md border bg-sunk">
      <span className="absolute top-2 right-2.5 text-sm text-ink-3 group-hover/code:hidden">
        {language}
      </span>
      <span className="absolute top-0.5 right-0.5 rounded-md bg-sunk opacity-0 group-hover/code:opacity-100 focus-within:opacity-100">
        <CopyButton text={() => text} label="Copy code" />
      </span>
      <pre className="overflow-x-auto px-3 py-2 text-sm leading-[18px]">
        <code>{text}</code>
      </pre>
    </div>
  )
}

const Block = memo(function Block({
  text,
  openFence,
  marks,
}: {
  text: string
  openFence: boolean
  /** As JSON: the same marks are nothing new. */
  marks: string
}) {
  if (openFence) {
    const [first = '', ...rest] = text.split('\n')
    return (
      <div className="block">
        <CodeBlock language={first.replaceAll(/[`~\s]/g, '')} text={rest.join('\n')} />
      </div>
    )
  }
  return (
    <div className="block">
      <ReactMarkdown remarkPlugins={pluginsFor(marks)} components={PARTS} skipHtml>
        {text}
      </ReactMarkdown>
    </div>
  )
})

function pluginsFor(marks: string) {
  return marks === '' ? PLUGINS : [...PLUGINS, marking(JSON.parse(marks) as Mark[])]
}

/** The marks within a block, counted from its beginning. */
function marksIn(marks: readonly Mark[], from: number, length: number): string {
  const own = marks
    .map(({ at, start, end }) => ({ at, start: start - from, end: end - from }))
    .filter(({ start, end }) => start < length && end > 0)
  return own.length === 0 ? '' : JSON.stringify(own)
}

const NO_MARKS: readonly Mark[] = []

/** Draws markdown; of a growing text only the last block is drawn again. */
export function Prose({
  text,
  marks = NO_MARKS,
  drawMark,
}: {
  text: string
  /** Parts of the text that are more than words. */
  marks?: readonly Mark[]
  drawMark?: DrawMark
}) {
  const blocks = (
    <div className="prose">
      {splitMarkdown(text).map((block) => (
        <Block
          key={block.at}
          text={block.text}
          openFence={block.openFence}
          marks={marksIn(marks, block.at, block.text.length)}
        />
      ))}
    </div>
  )
  return drawMark ? <MarkContext value={drawMark}>{blocks}</MarkContext> : blocks
}
