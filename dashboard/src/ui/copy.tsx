// Copies text and says so for a moment.
import { useEffect, useState } from 'react'
import { copyText } from '@/util/plain-http'
import { IconButton } from './button'

const SAID_MS = 1500

export function CopyButton({ text, label = 'Copy' }: { text: () => string; label?: string }) {
  const [done, setDone] = useState(false)
  useEffect(() => {
    if (!done) return
    const timer = setTimeout(() => setDone(false), SAID_MS)
    return () => clearTimeout(timer)
  }, [done])
  return (
    <IconButton
      icon={done ? 'check' : 'copy'}
      label={done ? 'Copied' : label}
      onClick={() => {
        void copyText(text()).then(setDone)
      }}
    />
  )
}
