// xterm in our colours, tied to its line. A chunk of its own.
import '@xterm/xterm/css/xterm.css'
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import { useEffect, useRef, useState } from 'react'
import { useTheme } from '@/stores/theme'
import { isMac, matches } from '@/util/keys'
import { copyText } from '@/util/plain-http'
import { TerminalLink } from './link'
import { terminalColours } from './colours'

const SCROLLBACK_LINES = 5000

interface Props {
  url: string
  exists: () => Promise<boolean | null>
  visible: boolean
  onEnd: (words: string) => void
}

export function Screen({ url, exists, visible, onEnd }: Props) {
  const holder = useRef<HTMLDivElement>(null)
  const shown = useRef<{ terminal: Terminal; fit: FitAddon } | null>(null)
  const latest = useRef({ exists, onEnd })
  const [lost, setLost] = useState(false)
  const theme = useTheme((state) => state.theme)

  useEffect(() => {
    latest.current = { exists, onEnd }
  })

  useEffect(() => {
    const element = holder.current
    if (!element) return
    const style = getComputedStyle(document.documentElement)
    const terminal = new Terminal({
      fontFamily: style.getPropertyValue('--font-code'),
      fontSize: 12.5,
      lineHeight: 1.25,
      scrollback: SCROLLBACK_LINES,
      cursorBlink: false,
      cursorStyle: 'bar',
      cursorInactiveStyle: 'outline',
      allowProposedApi: false,
      screenReaderMode: false,
      theme: terminalColours(),
    })
    const fit = new FitAddon()
    terminal.loadAddon(fit)
    terminal.open(element)
    shown.current = { terminal, fit }

    const link = new TerminalLink({
      url,
      exists: () => latest.current.exists(),
      onOpen: () => terminal.reset(),
      onBytes: (bytes) => terminal.write(bytes),
      onEnd: (words) => {
        terminal.options.disableStdin = true
        latest.current.onEnd(words)
      },
      onLost: setLost,
    })
    terminal.onData((data) => link.send(data))
    terminal.onBinary((data) => link.sendBinary(data))
    terminal.onResize(({ cols, rows }) => link.resize(cols, rows))
    terminal.attachCustomKeyEventHandler((event) => ownKeys(event, terminal))

    const resize = () => {
      // A hidden panel has no size; fitting it would tell the machine a terminal of two columns.
      if (element.clientWidth > 40 && element.clientHeight > 20) fit.fit()
    }
    const observer = new ResizeObserver(resize)
    observer.observe(element)
    void document.fonts.ready.then(resize)
    resize()
    terminal.focus()

    const media = matchMedia('(prefers-color-scheme: dark)')
    const recolour = () => {
      terminal.options.theme = terminalColours()
    }
    media.addEventListener('change', recolour)
    return () => {
      media.removeEventListener('change', recolour)
      observer.disconnect()
      link.close()
      terminal.dispose()
      shown.current = null
    }
  }, [url])

  useEffect(() => {
    if (shown.current) shown.current.terminal.options.theme = terminalColours()
  }, [theme])
  useEffect(() => {
    if (visible) shown.current?.terminal.focus()
  }, [visible])

  return (
    <div className="relative h-full">
      <div ref={holder} className="absolute inset-0 py-1.5 pl-2.5" />
      {lost && (
        <div
          role="status"
          className="appear absolute top-2 right-4 rounded-full bg-amber-soft px-2.5 py-0.5 text-sm text-amber-text"
        >
          Not connected. The terminal lives on; trying again…
        </div>
      )}
    </div>
  )
}

/** Copy and paste as terminals have them. True lets xterm handle the key. */
function ownKeys(event: KeyboardEvent, terminal: Terminal): boolean {
  if (event.type !== 'keydown' || isMac) return true
  if (matches(event, 'mod+shift+c')) {
    event.preventDefault()
    void copyText(terminal.getSelection())
    return false
  }
  // The browser's own paste comes in as a paste event.
  return !matches(event, 'mod+shift+v')
}
